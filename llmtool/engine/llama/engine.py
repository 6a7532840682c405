"""The local engine: runs a GGUF model in this process with llama.cpp."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from weakref import ref

from llmtool.background import acquire, waiting_thread
from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context_manager import ContextManager
from llmtool.engine.llama.draft import Speculation
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.prompt_cache.states import PrefixStates
from llmtool.engine.llama.scheduler import Scheduler
from llmtool.engine.types import (
    Adapter,
    ChatTemplateOptions,
    DraftMode,
    EngineInfo,
    Event,
    Failed,
    KVType,
    Prompt,
    ReasoningSupport,
    Request,
    ScoreRequest,
    Scores,
    StreamProgress,
    Tokenized,
)
from llmtool.errors import Cancelled, ClosedError, EngineError, invalid_unicode
from llmtool.forks import call_after_fork
from llmtool.machine import default_threads
from llmtool.models.quants import list_parts

MAX_PARALLEL = 32  # sequences; throughput improves from 4 on and is best at 16 to 32


class LocalEngine:
    """Serves requests with a loaded model; `close` frees the model.

    Args:
        weights: the model, from `load_model`.
        n_ctx: maximum number of tokens of one request; None is the model's training context. The
            context is allocated for the actual requests.
        n_threads: None uses the cores available to this process.
        n_parallel: maximum number of sequences to decode together; None is `MAX_PARALLEL`.
        reproducible: run one request at a time, in a state that depends on no other request, so
            that other requests do not change the rounding of its logits. A conversation is computed
            anew for each reply.
        kv_type: data type of the KV cache.
        prefix_folder: folder of the prompt cache; None disables it.
        prefix_bytes: size limit of the prompt cache.
        cache_bytes: size limit of conversations that are cached in memory beside the context.
        expects_more: larger requests may come while others run, so the first context is large
            enough for them, as far as this takes little memory.
        chat_template: replaces the model's chat template, and sets its variables.
        draft: which tokens of a reply are drafted and verified together: none ("off"), or those
            that repeat the prompt or the reply, where the assumed costs of a step ("auto") or the
            measured ones ("ngram") say that it is faster. "auto" is the same in each run, unless it
            would be slower than "off". Replies are the same as without drafts, except near ties
            where rounding depends on the size of a batch, as with K-quants. Recurrent and hybrid
            models, whose memory cannot be truncated, and `reproducible` turn it off.
        load_draft: loads a small model that drafts where nothing is repeated.
        adapters: the LoRA adapters of prompts that name none.
        check_adapter: checks the file of an adapter before it is loaded; raises `ModelUnreadable`.
        cancellation: stops prefill and decode.

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
        reproducible: bool = False,
        kv_type: KVType = "f16",
        prefix_folder: Path | None = None,
        prefix_bytes: int = 512_000_000,
        cache_bytes: int = 1_000_000_000,
        expects_more: bool = False,
        chat_template: ChatTemplateOptions = ChatTemplateOptions(),
        draft: DraftMode = "auto",
        load_draft: Callable[[], LlamaModel] | None = None,
        adapters: Sequence[Adapter] = (),
        check_adapter: Callable[[Path], object] = lambda path: None,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.cancellation = cancellation or Cancellation()
        self._stream_lock, self._stream_thread = threading.Lock(), 0
        self._stream: ref[Generator[Any, None, None]] | None = None
        self._closed = self._forked = False
        self._n_threads = n_threads or default_threads()
        speculation = None
        if draft != "off" and not reproducible and not weights.requires_full_snapshots:
            is_q4_0 = weights.metadata("general.file_type") == "2"
            speculation = Speculation(is_cautious=draft == "auto", is_q4_0=is_q4_0)
            if load_draft is not None:
                from llmtool.engine.llama.draft_model import SmallModel

                speculation.model = SmallModel(
                    load_draft, weights, n_threads=self._n_threads, cancellation=self.cancellation
                )
        self.model = LoadedModel(
            weights,
            n_ctx=n_ctx,
            cancellation=self.cancellation,
            chat_template=chat_template,
            speculation=speculation,
            adapters=adapters,
            check_adapter=check_adapter,
        )
        self.model.select_adapters()  # so that an invalid file is reported now
        prefixes = PrefixStates(
            prefix_folder,
            weights,
            limit_bytes=prefix_bytes,
            parts=list_parts(weights.path),
            params={
                "threads": self._n_threads,
                "gpu": weights.n_gpu_layers,
                "kv": kv_type,
                # In other contexts, the place of the prefix depends on earlier requests.
                **({"reproducible": True} if reproducible else {}),
            },
        )
        self.progress = StreamProgress()
        self.contexts = ContextManager(
            weights,
            n_threads=self._n_threads,
            max_parallel=1 if reproducible else n_parallel or MAX_PARALLEL,
            reproducible=reproducible,
            kv_type=kv_type,
            prefixes=prefixes,
            cache_bytes=cache_bytes,
            min_cells=self.model.n_ctx if expects_more else 0,
            cancellation=self.cancellation,
            progress=self.progress,
        )
        call_after_fork(self)

    def after_fork(self) -> None:
        """Refuse to run in a child, which has none of the threads that compute."""
        self._forked = True

    def close(self) -> None:
        """Free the model. Close an open stream, or cancel it if it runs in another thread."""
        if self._forked:
            return
        stream, self._closed = None if self._stream is None else self._stream(), True
        try:
            if stream is not None:
                stream.close()
        except ValueError:  # it is running
            if self._stream_thread == threading.get_ident():
                raise EngineError("a stream cannot close its own engine") from None
            self.cancellation.cancel()
            with self._stream_lock:
                self.cancellation.reset()
        self.contexts.close()
        self.model.close()

    def _check_open(self) -> None:
        if self._forked:
            raise EngineError(
                "the reply was started before this process was forked from its parent; start it "
                "again in this process"
            )
        if self._closed:
            raise ClosedError("the model was closed; create a new Toolbox")

    def _check_not_stopped(self) -> None:
        self._check_open()
        self.cancellation.check()

    @property
    def info(self) -> EngineInfo:
        sequences, weights = self.contexts.sequences, self.model.weights
        return EngineInfo(
            n_ctx=self.model.n_ctx,
            n_cells=sequences.context.n_ctx if sequences else 0,
            n_ctx_train=weights.n_ctx_train,
            n_params=weights.n_params,
            n_threads=self._n_threads,
            n_gpu_layers=weights.n_gpu_layers,
            load_seconds=weights.load_seconds,
            context_seconds=self.contexts.context_seconds,
            has_chat_template=self.model.tokenizer.chat_template.exists,
            bos_token=weights.token_text(weights.bos) if weights.bos >= 0 else None,
            eos_token=weights.token_text(weights.eos) if weights.eos >= 0 else None,
        )

    @property
    def reasoning_support(self) -> ReasoningSupport:
        return ReasoningSupport(
            has_variables=self.model.tokenizer.chat_template.switches_reasoning,
            has_tags=self.model.reasoning_tags is not None,
        )

    def tokenize(self, prompt: Prompt) -> Tokenized:
        self._check_open()
        try:
            return self.model.tokenizer.tokenize(prompt)
        except UnicodeEncodeError as exc:
            raise invalid_unicode(exc) from exc

    def check_length(self, n_prompt: int, max_tokens: int | None) -> tuple[int, int]:
        return self.model.check_length(n_prompt, max_tokens)

    def save_state(self, prompt: Prompt) -> None:
        """Save the state of a conversation to disk; raise as `stream`."""
        tokenized = self.tokenize(prompt)
        if tokenized.n_fixed:
            self._acquire_context()
            try:
                self.contexts.save_state(
                    tokenized.token_ids[: tokenized.n_fixed], self.model.select_adapters(prompt)
                )
            finally:
                self._stream_thread = 0
                self._stream_lock.release()

    def stream(self, requests: Iterable[Request | ScoreRequest | Failed | None]) -> Iterator[Event]:
        """Yield the events of requests. Only one thread streams at a time.

        Raises:
            Cancelled: the cancellation was set.
            ClosedError: the model was closed.
            EngineError: this thread has an unfinished stream, or the process was forked.
        """
        with closing(self.steps(requests)) as steps:
            for events in steps:
                yield from events

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        """Yield the scores of requests; raise as `stream`.

        Example:
            engine = LocalEngine(load_model(path))
            request = ScoreRequest(prompt=Prompt(text="Text: ..."), candidates=(" yes", " no"))
            for scores in engine.score([request]):
                yes, no = scores.totals
        """
        return cast("Iterator[Scores | Failed]", self.stream(requests))

    def steps(
        self, requests: Iterable[Request | ScoreRequest | Failed | None]
    ) -> Generator[list[Event], None, None]:
        """Yield the events of each step of decoding as a list; raise as `stream`."""
        # A weak reference, so that an abandoned stream is collected and releases the lock.
        own_ref: list[ref[Generator[Any, None, None]]] = []

        def run() -> Generator[list[Event], None, None]:
            self._check_not_stopped()
            self._acquire_context()
            try:
                self._check_open()  # another thread may have closed it
                self._stream = own_ref[0]
                for events in Scheduler(self.model, self.contexts, requests, self.progress).run():
                    yield events
                    self._check_open()  # a forked child resumes the streams of its parent
            except Cancelled:
                self._check_open()
                raise
            finally:
                self._stream, self._stream_thread = None, 0
                self._stream_lock.release()

        steps = run()
        own_ref.append(ref(steps))
        yield from steps
        self._check_open()  # `close` ended the events

    def _acquire_context(self) -> None:
        """Wait until no other thread streams, because a context is not thread-safe."""
        if not self._stream_lock.acquire(blocking=False):
            if self._stream_thread in (threading.get_ident(), waiting_thread.get()):
                raise EngineError("a reply is still being streamed; finish or close it first")
            acquire(self._stream_lock, self._check_not_stopped)
        self._stream_thread = threading.get_ident()
