"""The model store of a user: find, download, list, verify, import and remove models.

Finding a model needs no network, reads a few small files and takes about 10 ms. It imports neither
huggingface_hub nor the catalogue.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmtool.config import Folders
from llmtool.errors import ModelNotFound, ModelUnreadable, UsageError
from llmtool.models import registry
from llmtool.models.find import find_model
from llmtool.models.hub.callbacks import NO_CALLBACKS, Callbacks
from llmtool.models.installed import Model, list_models, list_repos
from llmtool.models.layout import Layout
from llmtool.models.reference import Reference, check_name, parse, parse_hub_file, portable

if TYPE_CHECKING:
    from llmtool.models.cleanup import Removal
    from llmtool.models.download import DownloadPlan
    from llmtool.models.hub.client import Hub
    from llmtool.models.hub.retry import RetryPolicy
    from llmtool.models.verify import VerifiedFile


class Store:
    """The model store of a user. The constructor reads no files.

    Methods take a reference as typed by the user, or as parsed by `resolve`.

    Args:
        aliases: aliases from the configuration; they override those saved by `set_alias`.
        offline: never connect to the Hub.
        endpoint: the value of HF_ENDPOINT, whose URLs are accepted as references.
        servers: the names of servers, whose models (`NAME:MODEL`) are errors.
        retry: timeouts and retries of requests to the Hub.

    Example:
        store = Store(folders)
        path = store.get("unsloth/Qwen3.5-2B-GGUF:Q4_K_M").path
    """

    def __init__(
        self,
        folders: Folders,
        aliases: Mapping[str, str] | None = None,
        *,
        offline: bool = False,
        endpoint: str | None = None,
        servers: Collection[str] = (),
        retry: RetryPolicy | None = None,
    ) -> None:
        self.layout = Layout(data=folders.data, hub_cache=folders.hub_cache)
        self.offline = offline
        self._aliases = dict(aliases or {})
        self._endpoint = endpoint or ""
        self._servers = servers
        self._retry = retry

    def resolve(self, reference: str | Reference) -> Reference:
        """Parse a reference, with the names of aliases, imported models and the catalogue.

        Raises:
            UsageError: the text is not a valid reference, or a model of a server.
            ModelNotFound: unknown name; the message suggests similar ones.
        """
        return self._resolve(reference, self._load_registry())

    def find(self, reference: str | Reference) -> Model:
        """Return an installed model.

        Raises:
            UsageError: the text is not a valid reference.
            ModelNotFound: the model is not installed; the message includes the download command.
            ModelUnreadable: the size of a file changed since it was downloaded or imported.
        """
        known = self._load_registry()
        return self._find(self._resolve(reference, known), known)

    def get(self, reference: str | Reference, callbacks: Callbacks = NO_CALLBACKS) -> Model:
        """Return a model, downloading it from the Hub if it is not installed.

        Raises:
            As `find`, `plan` and `download`.
        """
        known = self._load_registry()
        reference = self._resolve(reference, known)
        try:
            return self._find(reference, known)
        except (ModelNotFound, ModelUnreadable):
            if self.offline or reference.kind != "hub":
                raise
        return self.download(self.plan(reference, callbacks), callbacks)

    def plan(self, reference: str | Reference, callbacks: Callbacks = NO_CALLBACKS) -> DownloadPlan:
        """List the repository and return the files that `download` would fetch.

        Raises:
            UsageError: the text is not a valid reference.
            ModelNotFound: offline, or the repository, revision, file or quant does not exist.
            DownloadError: the Hub cannot be reached.
            Cancelled: `callbacks.cancelled` returned true.
        """
        from llmtool.models import download

        known = self._load_registry()
        reference = self._resolve(reference, known)
        if reference.kind != "hub":
            raise ModelNotFound(f"{reference} is a local model; nothing to download")
        if self.offline:
            raise ModelNotFound(
                f"cannot download {reference} in offline mode; run `llmtool models pull "
                f"{reference}` without --offline"
            )
        return download.plan_download(self.layout, reference, self._connect(callbacks), known)

    def download(self, plan: DownloadPlan, callbacks: Callbacks = NO_CALLBACKS) -> Model:
        """Download, verify and register the missing files of a plan, and return the model.

        Raises:
            DownloadError: not enough disk space, or a failed transfer, which the next call resumes.
            Cancelled: `callbacks.cancelled` returned true.
        """
        from llmtool.models import download

        return download.download_model(self.layout, plan, self._connect(callbacks))

    def remove(self, reference: str | Reference, *, dry_run: bool = False) -> list[Removal]:
        """Remove a model and return the removed files.

        A reference without a revision removes the files from every commit.
        """
        from llmtool.models import cleanup

        known = self._load_registry()
        reference = self._resolve(reference, known)
        model = self._find(reference, known, check_sizes=False)
        every_revision = reference.revision is None
        return cleanup.remove(self.layout, model, every_revision=every_revision, dry_run=dry_run)

    def prune(self, *, dry_run: bool = False) -> list[Removal]:
        """Remove partial downloads and imports, unused blobs, dangling links and stale records."""
        from llmtool.models import cleanup

        return cleanup.prune(self.layout, dry_run=dry_run)

    def verify(
        self, reference: str | Reference | None = None, callbacks: Callbacks = NO_CALLBACKS
    ) -> Iterator[VerifiedFile]:
        """Verify the checksums of a model, or of all models; yield one result per file."""
        from llmtool.models.verify import verify

        known = self._load_registry()
        if reference is None:
            models = list_models(self.layout, known)
        else:
            models = [self._find(self._resolve(reference, known), known, check_sizes=False)]
        return verify(self.layout, known, models, callbacks)

    def import_file(
        self, path: Path, callbacks: Callbacks = NO_CALLBACKS, *, name: str | None = None
    ) -> Model:
        """Hard-link or copy a GGUF file into the data folder, under a model name."""
        from llmtool.models.import_file import import_file

        return import_file(self.layout, path, callbacks, name=name)

    def aliases(self) -> dict[str, str]:
        """Return saved and configured aliases; configured aliases override saved ones."""
        return {**self._load_registry().aliases, **self._aliases}

    def set_alias(self, name: str, reference: str | None) -> None:
        """Save an alias, or remove it if `reference` is None. Make a relative path absolute.

        Raises:
            UsageError: the name is not valid, the aliases would form a cycle, or the model is on a
                server: only the configuration has aliases of such models.
            ModelNotFound: unknown reference, or unknown alias to remove.
        """
        check_name(name)
        if reference is not None and self._server_of(reference):
            raise UsageError(
                f"{reference!r} is a model of a server; set its alias with "
                f"`llmtool config set aliases.{name} {reference}`"
            )

        def change(known: registry.Registry) -> registry.Registry:
            aliases = {key: value for key, value in known.aliases.items() if key != name}
            if reference is not None:
                aliases[name] = reference
                target = self._parse(reference, {**self._names(known), **aliases})
                if target.path is not None and reference not in aliases:
                    path = Path(os.path.abspath(target.path))
                    aliases[name] = portable(str(msgspec.structs.replace(target, path=path)))
            elif name not in known.aliases:
                raise ModelNotFound(f"unknown alias {name!r}")
            return msgspec.structs.replace(known, aliases=aliases)

        registry.update(self.layout.registry_file, change)

    def list(self) -> list[Model]:
        """Return all installed models: the starter, imported models, then the Hub cache by name."""
        return list_models(self.layout, self._load_registry())

    def _load_registry(self) -> registry.Registry:
        return registry.load(self.layout.registry_file)

    def _resolve(self, reference: str | Reference, known: registry.Registry) -> Reference:
        if isinstance(reference, Reference):
            return reference
        return self._parse(reference, self._names(known))

    def _server_of(self, text: str) -> str | None:
        name, colon, _ = self._aliases.get(text, text).partition(":")
        return name if colon and name in self._servers else None

    def _parse(self, text: str, names: Mapping[str, str]) -> Reference:
        if server := self._server_of(text):
            raise UsageError(f"{text!r} is a model of the server {server}; name a local model")
        if reference := parse_hub_file(text):
            return reference
        try:
            return parse(text, names, endpoint=self._endpoint)
        except ModelNotFound:  # read the catalogue only if needed
            from llmtool.models import catalogue

            return parse(text, {**catalogue.names(), **names}, endpoint=self._endpoint)

    def _names(self, known: registry.Registry) -> dict[str, str]:
        imported = {
            r.name: str(self.layout.imported_folder / r.files[0].path)
            for r in known.models
            if r.source == "imported"
        }
        return {**imported, **known.aliases, **self._aliases}

    def _find(
        self, reference: Reference, known: registry.Registry, *, check_sizes: bool = True
    ) -> Model:
        return find_model(
            reference, self.layout, known, check_sizes=check_sizes, offline=self.offline
        )

    def _connect(self, callbacks: Callbacks) -> Hub:
        from llmtool.models.hub.client import Hub
        from llmtool.models.hub.retry import RetryPolicy

        layout = self.layout
        return Hub(
            retry=self._retry or RetryPolicy(),
            callbacks=callbacks,
            known_repos=lambda: list_repos(layout),
        )
