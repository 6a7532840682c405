"""A request for text: its prompt once, then its choices, each in a sequence of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.llama.constrained_sampler import Binding
from llmtool.engine.llama.job import Run, Share
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.llama.slots import Sequences
from llmtool.engine.llama.tokenizer import rejoin
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import (
    MAX_SEED,
    Event,
    Finished,
    FinishReason,
    Request,
    Timings,
    Token,
    TokenLogprob,
    Usage,
)

if TYPE_CHECKING:
    from llmtool.engine.llama.engine import LocalEngine


class Generating:
    """A `Job` that writes `request.n` choices.

    All choices take their first token from the same logits, so that choice i of n equals a single
    one with seed + i. Those that find no sequence wait beside a copy of the prompt.

    Raises:
        LlmtoolError: the prompt, the lengths or the constraint cannot be served.
    """

    n_outputs = 1

    def __init__(self, engine: LocalEngine, request: Request) -> None:
        self.id, self.request, self.engine = request.id, request, engine
        self.cancellation = request.cancellation
        self.keeps = request.keep and request.n == 1
        self.prompt = engine.tokenize(request.prompt)
        self.ids, self.n_fixed = self.prompt.token_ids, self.prompt.n_fixed
        self.max_tokens, _ = engine.fit(len(self.ids), request.sampling.max_tokens)
        self.constraint = engine.compile(request.sampling.constraint)
        self.runs: list[Run] = []
        self.n_seq = 1 if request.n == 1 else 2
        self._choices: dict[Run, _Choice] = {}
        self._waiting: list[_Choice] = []
        self._parked: int | None = None

    @property
    def n_cells(self) -> int:
        return self.max_tokens

    @property
    def n_choices(self) -> int:
        return self.request.n

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def may_stand_apart(self) -> bool:
        return self.request.n == 1 and not self.keeps

    def respell(self, held: Sequence[int]) -> None:
        ids = rejoin(self.ids, held, self.engine.weights)
        if len(ids) + self.max_tokens <= self.engine.info.n_ctx:
            self.ids = ids

    def start(self, sequences: Sequences, share: Share) -> None:
        shared = share.n_tokens
        self.sequences, self._shared, self._cached = sequences, shared, share.n_cached
        self._began = share.began
        seq = sequences.take()
        if self.request.n > 1:
            self._parked = sequences.take()
        if shared:
            sequences.context.copy(0, seq)
        sequences.reserve(len(self.ids) - shared + self.max_tokens)
        self.runs = [Run(self.ids[shared:], seq=seq, pos=shared)]

    def resume(self) -> Iterator[Event]:
        while self._waiting and self.sequences.n_idle and self.sequences.n_free >= self.max_tokens:
            assert self._parked is not None
            seq = self.sequences.take()
            self.sequences.context.copy(self._parked, seq)
            self.sequences.reserve(self.max_tokens)
            yield from self._begin(self._waiting.pop(0), seq)
        if not self._waiting and self._parked is not None:
            self.sequences.give_back(self._parked)
            self._parked = None
            self._end_if_done()

    def receive(self, run: Run, rows: range) -> Iterator[Event]:
        choice = self._choices.get(run)
        if choice is None:
            yield from self._begin_all(run, rows[0])
            return
        choice.sample(rows[0])
        yield from self._emit(choice, run)

    def stop(self) -> None:
        for run in self.runs:
            self.sequences.give_back(run.seq)
            self.sequences.release(self.max_tokens)
        if self._parked is not None:
            self.sequences.give_back(self._parked)
        for choice in [*self._choices.values(), *self._waiting]:
            choice.close()
        if self.runs or self._parked is not None:
            self.sequences.release(len(self.ids) - self._shared)
        self.runs, self._choices, self._waiting, self._parked = [], {}, [], None

    def _begin_all(self, prompt: Run, row: int) -> Iterator[Event]:
        n = self.request.n
        seed = self.request.sampling.seed
        if seed is None:
            seed = secrets.randbelow(MAX_SEED + 1)
        self._waiting = [_Choice(self, i, (seed + i) % (MAX_SEED + 1)) for i in range(n)]
        top = self._read_top(row)
        for choice in self._waiting:
            choice.sample(row, top)
            choice.prefill_seconds = 0.0 if choice.index else time.perf_counter() - self._began
        if self._parked is not None:
            self.sequences.context.copy(prompt.seq, self._parked)
        self.runs.remove(prompt)
        yield from self._begin(self._waiting.pop(0), prompt.seq)
        yield from self.resume()

    def _read_top(self, row: int) -> list[tuple[int, float]]:
        k = self.request.sampling.logprobs
        if not k:
            return []
        self.engine.softmax.read(self.sequences.context, row)
        return self.engine.softmax.top(k)

    def _begin(self, choice: _Choice, seq: int) -> Iterator[Event]:
        choice.began = time.perf_counter()
        run = Run((), seq=seq, pos=len(self.ids))
        self._choices[run] = choice
        self.runs.append(run)
        yield from self._emit(choice, run)

    def _emit(self, choice: _Choice, run: Run) -> Iterator[Event]:
        yield from choice.push()
        if choice.finish_reason is None:
            run.pos += run.at
            run.tokens, run.at = (choice.token,), 0
            return
        # Memory first: whoever reads the events may take its time.
        self.runs.remove(run)
        del self._choices[run]
        if self.keeps:
            spoken = (*self.ids, *choice.tokens)
            self.sequences.adopt(run.seq, spoken, n_held=run.pos + run.at)
        self.sequences.give_back(run.seq)
        self.sequences.release(self.max_tokens)
        self._end_if_done()
        choice.close()
        yield from choice.finish(self._cached)

    def _end_if_done(self) -> None:
        if not self.runs and self._parked is None:
            self.sequences.release(len(self.ids) - self._shared)


class _Choice:
    """One reply in the making."""

    def __init__(self, job: Generating, index: int, seed: int) -> None:
        request = job.request
        self.job, self.index, self.seed = job, index, seed
        self.finish_reason: FinishReason | None = None
        self.token, self.n_tokens = -1, 0
        self.tokens: list[int] = []  # of a reply that is kept
        self.prefill_seconds = self.began = 0.0
        self._logprob: TokenLogprob | None = None
        self._sampler = Sampler(job.engine.weights, request.sampling, seed=seed)
        self._reply = Reply(
            request.id,
            index,
            stop=request.sampling.stop,
            marks=job.engine.marks,
            in_thought=job.prompt.in_thought,
        )
        self._binding = self._bind(job, marks=job.engine.marks)

    def _bind(self, job: Generating, *, marks: ReasoningTags | None) -> Binding | None:
        if job.constraint is None:
            return None
        # Who marks its answer, too, begins with one of the marks even if it does not think.
        may_think = marks is not None and (job.request.prompt.thinking or bool(marks.answer))
        return Binding(
            job.constraint,
            self._reply,
            marks=marks if may_think else None,
            weights=job.engine.weights,
        )

    def close(self) -> None:
        self._sampler.close()
        if self._binding is not None:
            self._binding.close()

    def sample(self, row: int, top: list[tuple[int, float]] | None = None) -> None:
        """Choose the next token from a row of logits."""
        context, engine = self.job.sequences.context, self.job.engine
        if self.job.request.sampling.logprobs and not self._reply.in_thought:
            top = self.job._read_top(row) if top is None else top
        if self._binding is None:
            self.token = self._sampler.sample(context, row)
        else:
            self.token = self._binding.draw(self._sampler, context, row)
        self._logprob = engine.describe(self.token, top) if top else None

    def push(self) -> Iterator[Event]:
        """Take the chosen token into the reply."""
        weights = self.job.engine.weights
        if weights.is_end(self.token):
            self.finish_reason = "stop"
            return
        self.n_tokens += 1
        if self.job.keeps:
            self.tokens.append(self.token)
        if self._binding is not None:
            self._binding.accept(self.token)
        mark = self.token in self.job.engine.mark_tokens
        piece = (
            weights.render_piece(self.token, special=True) if mark else weights.piece(self.token)
        )
        yield from self._with_logprob(self._reply.push(piece))
        if self._reply.stopped or (self._binding is not None and self._binding.finished):
            self.finish_reason = "stop"
        elif self.n_tokens == self.job.max_tokens:
            self.finish_reason = "length"

    def finish(self, cached_tokens: int) -> Iterator[Event]:
        yield from self._reply.finish()
        assert self.finish_reason is not None
        n = len(self.job.ids)
        yield Finished(
            id=self.job.id,
            choice=self.index,
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=n,
                cached_tokens=n if self.index else cached_tokens,
                completion_tokens=self.n_tokens,
            ),
            timings=Timings(
                prefill_seconds=self.prefill_seconds,
                decode_seconds=time.perf_counter() - self.began,
                first_token_at=self.began,
            ),
            seed=self.seed,
        )

    def _with_logprob(self, events: list[Token]) -> list[Token]:
        if self._logprob is None or self._reply.in_thought:
            return events
        *others, last = events or [Token(self.job.id, self.index, "")]
        if last.thought:
            return events
        return [*others, msgspec.structs.replace(last, logprob=self._logprob)]
