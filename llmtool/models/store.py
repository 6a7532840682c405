"""The models of one user: find, fetch, list, verify, remove and import them.

Finding one uses no network, reads a few small files and takes about 10 ms: neither huggingface_hub
nor a catalogue is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool.config import Folders
from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models import registry
from llmtool.models.find import find_model
from llmtool.models.hub.callbacks import (
    OnNote,
    OnProgress,
    Patience,
    never,
    no_note,
    no_progress,
)
from llmtool.models.installed import Model, imported_folder, list_models
from llmtool.models.reference import Reference, parse

if TYPE_CHECKING:
    from llmtool.models.cleanup import Removal
    from llmtool.models.download import Plan
    from llmtool.models.hub.client import Hub
    from llmtool.models.verify import Verified


class Store:
    """The models of one user. Construction reads nothing.

    Args:
        endpoint: the value of HF_ENDPOINT, so that its URLs are taken for references, too.
    """

    def __init__(
        self,
        folders: Folders,
        aliases: Mapping[str, str] | None = None,
        offline: bool = False,
        endpoint: str | None = None,
    ) -> None:
        self.folders = folders
        self.offline = offline
        self._aliases = dict(aliases or {})
        self._endpoint = endpoint or ""

    @property
    def registry_file(self) -> Path:
        return self.folders.data / "models.json"

    @property
    def imported_folder(self) -> Path:
        return imported_folder(self.folders)

    def load_registry(self) -> registry.Registry:
        return registry.load(self.registry_file)

    def resolve(self, text: str, more: Mapping[str, str] | None = None) -> Reference:
        """Parse a reference with this user's aliases, imported names and the catalogue.

        Args:
            more: aliases that are not saved yet.

        Raises:
            UsageError: it is no reference.
            ModelNotFound: a bare name that nobody gave; the nearest ones are named.
        """
        return self._parse(text, {**self._names(self.load_registry()), **(more or {})})

    def _parse(self, text: str, names: Mapping[str, str]) -> Reference:
        try:
            return parse(text, names, endpoint=self._endpoint)
        except ModelNotFound:  # only now is the catalogue read
            from llmtool.models import catalogue

            return parse(text, {**catalogue.names(), **names}, endpoint=self._endpoint)

    def find(self, text: str) -> Model:
        """Return the model that a reference names, if it is on this machine.

        Raises:
            UsageError: the text is no reference.
            ModelNotFound: it is not here; the message holds the command that fetches it.
            ModelUnreadable: its files are not as long as they were when they were fetched.
        """
        return self._find(text, check_sizes=True)

    def _find(self, text: str, *, check_sizes: bool) -> Model:
        known = self.load_registry()
        reference = self._parse(text, self._names(known))
        return find_model(
            reference, self.folders, known, check_sizes=check_sizes, offline=self.offline
        )

    def get(
        self,
        text: str,
        *,
        on_progress: OnProgress = no_progress,
        on_note: OnNote = no_note,
        cancelled: Callable[[], bool] = never,
    ) -> Model:
        """Return a model, fetching it first if it is on the Hub and not here.

        Raises:
            As `find` and `pull` do; offline, `ModelNotFound` for what is not here.
        """
        try:
            return self.find(text)
        except (ModelNotFound, ModelUnreadable):
            if self.offline or self.resolve(text).kind != "hub":
                raise
        return self.pull(text, on_progress=on_progress, on_note=on_note, cancelled=cancelled)

    def plan(
        self,
        text: str,
        *,
        patience: Patience | None = None,
        on_note: OnNote = no_note,
        cancelled: Callable[[], bool] = never,
    ) -> Plan:
        """Say what `pull` would fetch: files, sizes, what is here already, free disk."""
        from llmtool.models import download

        hub = self._connect(text, patience, on_note, cancelled)
        return download.plan(self, self.resolve(text), hub)[0]

    def pull(
        self,
        text: str,
        *,
        on_progress: OnProgress = no_progress,
        on_note: OnNote = no_note,
        cancelled: Callable[[], bool] = never,
        patience: Patience | None = None,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> Model:
        """Bring a model up to date from the Hub and return it; what is no model of it, as it is.

        Args:
            on_progress: is called with (done, total) bytes, at first with what is here already.
            on_note: is called with one line of text: resuming, waiting, trying again.

        Raises:
            ModelNotFound: offline, or no such repository, revision, file or quant.
            DownloadError: the transfer failed; what came is kept for the next run.
            Cancelled: `cancelled` became true.
        """
        from llmtool.models import download

        if self.resolve(text).kind != "hub":
            found = self.find(text)
            on_note(f"{text} does not come from the Hub: there is nothing to fetch")
            return found
        hub = self._connect(text, patience, on_note, cancelled)
        return download.pull(
            self,
            self.resolve(text),
            hub,
            on_progress=on_progress,
            on_note=on_note,
            cancelled=cancelled,
            free_bytes=free_bytes or download.find_free_bytes,
        )

    def remove(self, text: str, *, dry_run: bool = False) -> list[Removal]:
        """Remove a model; without a revision, from every commit. Return what was (or would be)."""
        from llmtool.models import cleanup

        model = self._find(text, check_sizes=False)
        every = self.resolve(text).revision is None
        return cleanup.remove(self, model, every_revision=every, dry_run=dry_run)

    def verify(
        self,
        text: str | None = None,
        *,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Verified]:
        """Compare the hashes of one model's files, or of all models'; yields one result a file."""
        from llmtool.models.verify import verify

        models = self.list() if text is None else [self._find(text, check_sizes=False)]
        return verify(self, models, on_progress=on_progress, cancelled=cancelled)

    def prune(self, *, dry_run: bool = False) -> list[Removal]:
        """Remove cut transfers, unused blobs, dangling links, and records of what is gone."""
        from llmtool.models import cleanup

        return cleanup.prune(self, dry_run=dry_run)

    def import_file(
        self,
        path: Path,
        *,
        name: str | None = None,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> Model:
        """Take a GGUF file into the store under a name of its own."""
        from llmtool.models import import_file as importing

        return importing.import_file(
            self, path, name=name, on_progress=on_progress, cancelled=cancelled
        )

    def set_alias(self, name: str, reference: str | None) -> None:
        """Give a reference another name, or take the name away (None)."""
        from llmtool.models import aliases

        aliases.set_alias(self, name, reference)

    def aliases(self) -> dict[str, str]:
        """Return all aliases: the saved ones, and those of the configuration, which win."""
        return {**self.load_registry().aliases, **self._aliases}

    def _connect(
        self,
        text: str,
        patience: Patience | None,
        on_note: OnNote,
        cancelled: Callable[[], bool],
    ) -> Hub:
        if self.resolve(text).kind != "hub":
            raise ModelNotFound(f"{text} is no model of the Hub; only those can be fetched")
        if self.offline:
            raise ModelNotFound(
                f"offline, so {text} cannot be fetched; `llmtool models pull {text}` "
                f"without --offline does it"
            )
        from llmtool.models.hub.client import Hub

        return Hub(
            patience=patience or Patience(),
            on_note=on_note,
            cancelled=cancelled,
            known_repos=self._known_repos,
        )

    def _known_repos(self) -> set[str]:
        from llmtool.models import catalogue
        from llmtool.models.hub import cache

        repos = {repo for repo, _ in cache.list_repos(self.folders.hub_cache)}
        fetched = {r.name for r in self.load_registry().models if r.source == "hub"}
        return repos | fetched | set(catalogue.names().values())

    def list(self) -> list[Model]:
        """Return every model on this machine: starter, imported ones, the Hub's cache by name."""
        return list_models(self.folders, self.load_registry())

    def _names(self, known: registry.Registry) -> dict[str, str]:
        imported = {
            r.name: str(self.imported_folder / r.files[0].path)
            for r in known.models
            if r.source == "imported"
        }
        return {**imported, **known.aliases, **self._aliases}
