"""The local engine: a GGUF model in this process, served by llama.cpp."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from llmtool.engine.chat_prompt import ChatPrompt
from llmtool.engine.devices import devices, fit_layers
from llmtool.engine.interrupts import run_cancellable
from llmtool.engine.llama import Context, Weights
from llmtool.engine.machine import default_threads, memory_bytes
from llmtool.engine.scheduler import serve
from llmtool.engine.text_stream import ThoughtMarks
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    Cancellation,
    EngineInfo,
    Event,
    OnProgress,
    Prompt,
    Request,
    Tokenized,
)
from llmtool.errors import ContextOverflow, EngineError, ModelUnreadable
from llmtool.models.gguf import list_parts
from llmtool.models.memory import estimate
from llmtool.models.reader import read_header

_POLL_SECONDS = 0.05
_LARGE_TEXT = 1 << 16  # bytes; smaller texts are tokenised within milliseconds
_LARGE_CTX = 16384  # from here on memory is looked at first; smaller ones take less than a check
_CTX_STEP = 256  # contexts are made in steps, so that a batch of like prompts shares one


class LocalEngine:
    """Answers requests with a model file.

    Args:
        path: the model, already checked (`models.gguf.check`).
        n_ctx: the context size; None sizes it by each request, which costs the least.
        n_threads: None takes the cores that this process may use.
        n_gpu_layers: layers on the GPU, -1 for all; None fits them to its free memory. Without a
            GPU backend it changes nothing.
        cancellation: stops loading, prefill and decoding.
        on_progress: called with (done, 1.0) while the model is loaded.

    Raises:
        ModelUnreadable: llama.cpp refuses the file, or it is an encoder that cannot write.

    Example:
        engine = LocalEngine(path)
        for event in engine.stream([Request(prompt=Prompt(text="Once upon a"))]):
            if isinstance(event, Token):
                text += event.text
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int | None = None,
        n_threads: int | None = None,
        n_gpu_layers: int | None = None,
        cancellation: Cancellation | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.cancellation = cancellation or Cancellation()
        self._n_ctx = n_ctx
        self._turn, self._turn_of = threading.Lock(), 0
        self._n_threads = n_threads or default_threads()
        started = time.perf_counter()
        if n_gpu_layers is None:
            size_bytes = sum(part.stat().st_size for part in list_parts(path))
            n_gpu_layers = fit_layers(path, size_bytes, devices())
        self._n_gpu_layers = n_gpu_layers
        self.weights = Weights(
            path,
            n_gpu_layers=n_gpu_layers,
            cancellation=self.cancellation,
            on_progress=on_progress,
        )
        self._load_seconds = time.perf_counter() - started
        self._context_seconds = 0.0
        self._context: Context | None = None
        if self.weights.is_encoder:
            self.close()
            raise ModelUnreadable(
                f"{path}: an encoder model, which cannot write text (use a text generation model)"
            )

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self.weights.close()

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            n_ctx=self._context.n_ctx if self._context else self._n_ctx or 0,
            n_ctx_train=self.weights.n_ctx_train,
            n_threads=self._n_threads,
            n_gpu_layers=self._n_gpu_layers,
            load_seconds=self._load_seconds,
            context_seconds=self._context_seconds,
        )

    @cached_property
    def chat_prompt(self) -> ChatPrompt:
        return ChatPrompt(self.weights, self.weights.chat_template)

    @property
    def marks(self) -> ThoughtMarks | None:
        return self.chat_prompt.marks

    @cached_property
    def mark_tokens(self) -> frozenset[int]:
        """Control tokens that mark a thought: the reply shows them to its splitter."""
        text = "".join(self.marks or ())
        ids = self.weights.tokenize(text.encode(), add_special=False, parse_special=True)
        return frozenset(t for t in ids if self.weights.kind(t) == "control")

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the prompt as the model sees it.

        Raises:
            ContextOverflow: a text is so long that no context of this model holds it; this is
                seen by counting, before the passes that look for control tokens in it.
            Cancelled: the cancellation was set while a long text was tokenised.
        """
        texts = [prompt.text or "", *(m.content for m in prompt.messages)]
        size = sum(len(text) for text in texts)
        if size < _LARGE_TEXT:
            return self.chat_prompt.tokenize(prompt)
        return run_cancellable(lambda: self._tokenize_large(prompt, texts), self.cancellation)

    def _tokenize_large(self, prompt: Prompt, texts: list[str]) -> Tokenized:
        limit = self._n_ctx or self.weights.n_ctx_train
        n = 0
        for text in texts:
            # In pieces, so that a hopeless length is seen without reading it all.
            for at in range(0, len(text), _LARGE_TEXT):
                self.cancellation.check()
                piece = text[at : at + _LARGE_TEXT].encode("utf-8", "replace")
                n += len(self.weights.tokenize(piece, add_special=False, parse_special=False))
                if n > limit + at // _LARGE_TEXT + 1:  # a cut may split a token in two
                    raise ContextOverflow(
                        f"the input needs more than {n} tokens, {limit} are available: "
                        "shorten the input, or use a model with a longer context",
                        needed=n,
                        available=limit,
                    )
        return self.chat_prompt.tokenize(prompt)

    def fit(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        """Return (max_tokens, n_ctx) for a prompt of `n_prompt` tokens.

        Raises:
            ContextOverflow: prompt and reply do not fit; nothing is shortened.
        """
        limit = self._n_ctx or self.weights.n_ctx_train
        needed = n_prompt + (max_tokens or 1)
        if needed > limit:
            raise ContextOverflow(
                self._overflow(n_prompt, max_tokens, limit), needed=needed, available=limit
            )
        reply = max_tokens or min(DEFAULT_MAX_TOKENS, limit - n_prompt)
        n_ctx = -(-(n_prompt + reply) // _CTX_STEP) * _CTX_STEP
        return reply, self._n_ctx or min(n_ctx, max(limit, _CTX_STEP))

    def _overflow(self, n_prompt: int, max_tokens: int | None, limit: int) -> str:
        reply = f" and {max_tokens} for the reply" if max_tokens else " and room for a reply"
        if self._n_ctx and self._n_ctx < self.weights.n_ctx_train:
            advice = f"raise --ctx-size, up to {self.weights.n_ctx_train} for this model"
        elif max_tokens and n_prompt < limit:
            advice = f"lower --max-tokens to {limit - n_prompt} or less, or shorten the input"
        else:
            advice = "shorten the input, or use a model with a longer context"
        return f"the input needs {n_prompt} tokens{reply}, {limit} are available: {advice}"

    def context(self, n_ctx: int) -> Context:
        """Return a context of at least `n_ctx` tokens, made anew when it has to grow."""
        if self._context is None or self._context.n_ctx < n_ctx:
            if self._context is not None:
                self._context.close()
                self._context = None
            if n_ctx >= _LARGE_CTX:
                _check_memory(self.weights.path, n_ctx)
            started = time.perf_counter()
            self._context = Context(
                self.weights,
                n_ctx=n_ctx,
                n_threads=self._n_threads,
                cancellation=self.cancellation,
            )
            self._context_seconds = time.perf_counter() - started
        return self._context

    def stream(self, requests: Iterable[Request]) -> Iterator[Event]:
        """Answer requests in order. See `Engine.stream`. Threads take turns.

        Raises:
            Cancelled: the cancellation was set.
            EngineError: this thread has not finished an earlier stream.
        """
        self.cancellation.check()
        self._take_turn()
        try:
            yield from serve(self, requests)
        finally:
            self._turn_of = 0
            self._turn.release()

    def _take_turn(self) -> None:
        """Wait until no other thread streams: there is one context, and one sequence in it.

        Raises:
            EngineError: this thread has a stream that is not finished, so waiting had no end.
        """
        if not self._turn.acquire(blocking=False):
            if self._turn_of == threading.get_ident():
                raise EngineError("a reply is still being streamed: finish or close it first")
            while not self._turn.acquire(timeout=_POLL_SECONDS):
                self.cancellation.check()
        self._turn_of = threading.get_ident()


def _check_memory(path: Path, n_ctx: int) -> None:
    """Refuse a context that would not fit, which the system would answer by killing us.

    Raises:
        EngineError: with what is needed and what is there.
    """
    _, available = memory_bytes()
    if available is None or any(device.kind == "gpu" for device in devices()):
        return
    need = estimate(read_header(path), n_ctx=n_ctx)
    if need.kv + need.state + need.compute > available:
        raise EngineError(
            f"a context of {n_ctx} tokens needs {(need.total - need.weights) / 1e9:.1f} GB beside "
            f"the weights, {available / 1e9:.1f} GB are free: try a smaller --ctx-size"
        )
