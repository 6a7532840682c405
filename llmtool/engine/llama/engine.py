"""The local engine: a GGUF model in this process, run by llama.cpp."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from weakref import ref

from llmtool.engine.llama.context_manager import ContextManager
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.prompt_cache.states import PrefixStates
from llmtool.engine.llama.scheduler import Scheduler
from llmtool.engine.types import (
    Cancellation,
    EngineInfo,
    Event,
    Failed,
    KVType,
    Prompt,
    Request,
    ScoreRequest,
    Scores,
    Tokenized,
)
from llmtool.errors import EngineError
from llmtool.machine import default_threads
from llmtool.models.quants import list_parts

MAX_PARALLEL = 32  # sequences; batching pays from four on, and 16 to 32 is best
_POLL_SECONDS = 0.05


class LocalEngine:
    """Answers requests with a loaded model, which it owns from then on.

    Args:
        weights: the model, from `load_model`.
        n_ctx: tokens that one request may use; None is the length the model was trained with.
            Memory is allocated for what the requests need.
        n_threads: None uses the cores available to this process.
        n_parallel: how many sequences are decoded together; None is `MAX_PARALLEL`.
        kv_type: type of keys and values.
        prefix_folder: folder of the prefix cache; None disables it.
        prefix_bytes: size limit of the prefix cache.
        cancellation: stops prefill and decoding.

    Example:
        engine = LocalEngine(load_model(path))
        for event in engine.stream([Request(prompt=Prompt(text="Once upon a"))]):
            if isinstance(event, Token):
                text += event.text
    """

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_parallel: int | None = None,
        kv_type: KVType = "f16",
        prefix_folder: Path | None = None,
        prefix_bytes: int = 512_000_000,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.cancellation = cancellation or Cancellation()
        self._turn, self._turn_of = threading.Lock(), 0
        self._live: ref[Generator[Any, None, None]] | None = None
        self._closed = False
        self._n_threads = n_threads or default_threads()
        self.model = LoadedModel(weights, n_ctx=n_ctx, cancellation=self.cancellation)
        prefixes = PrefixStates(
            prefix_folder,
            weights,
            limit_bytes=prefix_bytes,
            parts=list_parts(weights.path),
            params={"threads": self._n_threads, "gpu": weights.n_gpu_layers, "kv": kv_type},
        )
        self.contexts = ContextManager(
            weights,
            n_threads=self._n_threads,
            max_parallel=n_parallel or MAX_PARALLEL,
            kv_type=kv_type,
            prefixes=prefixes,
            cancellation=self.cancellation,
        )

    def close(self) -> None:
        """Free the model. An open stream ends; one in another thread is cancelled."""
        live, self._closed = None if self._live is None else self._live(), True
        if live is not None:
            self._end(live)
        self.contexts.close()
        self.model.close()

    def _end(self, live: Generator[Any, None, None]) -> None:
        try:
            live.close()
        except ValueError:  # another thread is running it
            if self._turn_of == threading.get_ident():
                raise EngineError("a stream cannot close the engine that serves it") from None
            self.cancellation.cancel()
            with self._turn:
                self.cancellation.reset()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("the model was closed")

    @property
    def info(self) -> EngineInfo:
        sequences = self.contexts.sequences
        return EngineInfo(
            n_ctx=self.model.n_ctx,
            n_cells=sequences.context.n_ctx if sequences else 0,
            n_ctx_train=self.model.weights.n_ctx_train,
            n_threads=self._n_threads,
            n_gpu_layers=self.model.weights.n_gpu_layers,
            load_seconds=self.model.weights.load_seconds,
            context_seconds=self.contexts.context_seconds,
        )

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the rendered prompt and its ids. See `Tokenizer.tokenize`."""
        self._check_open()
        return self.model.tokenize(prompt)

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx). See `LoadedModel.check_length`."""
        return self.model.check_length(n_prompt, max_tokens)

    def save_state(self, prompt: Prompt) -> None:
        """Save the state of a conversation to disk. See `Engine.save_state`.

        Raises:
            Cancelled: the cancellation was set.
            EngineError: this thread has not finished an earlier stream.
        """
        tokenized = self.tokenize(prompt)
        if tokenized.n_fixed:
            self._take_turn()
            try:
                self.contexts.save_state(tokenized.token_ids[: tokenized.n_fixed])
            finally:
                self._turn_of = 0
                self._turn.release()

    def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests. See `Engine.stream`. Streams of several threads take turns.

        Raises:
            Cancelled: the cancellation was set.
            EngineError: this thread has not finished an earlier stream.
        """
        return cast("Iterator[Event]", self._begin(requests))

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of requests. See `Engine.score`.

        Raises:
            As `stream`.

        Example:
            engine = LocalEngine(load_model(path))
            request = ScoreRequest(prompt=Prompt(text="Text: ..."), candidates=(" yes", " no"))
            for scores in engine.score([request]):
                yes, no = scores.totals
        """
        return cast("Iterator[Scores | Failed]", self._begin(requests))

    def _begin(
        self, requests: Iterable[Request | ScoreRequest | Failed | None]
    ) -> Generator[Event | Scores, None, None]:
        # Weak, so that an abandoned stream ends and releases its turn.
        live: list[ref[Generator[Any, None, None]]] = []

        def run() -> Generator[Event | Scores, None, None]:
            self._check_open()
            self.cancellation.check()
            self._take_turn()
            try:
                self._check_open()  # it may have been closed while this waited
                self._live = live[0]
                yield from Scheduler(self.model, self.contexts, requests).run()
            finally:
                self._live, self._turn_of = None, 0
                self._turn.release()

        events = run()
        live.append(ref(events))
        return events

    def _take_turn(self) -> None:
        """Wait until no other thread streams: there is one context, and one thread may decode.

        Raises:
            EngineError: this thread has an unfinished stream, so that waiting would never end.
        """
        if not self._turn.acquire(blocking=False):
            if self._turn_of == threading.get_ident():
                raise EngineError("a reply is still being streamed: finish or close it first")
            while not self._turn.acquire(timeout=_POLL_SECONDS):
                self.cancellation.check()
        self._turn_of = threading.get_ident()
