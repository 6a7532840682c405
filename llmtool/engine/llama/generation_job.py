"""A request for text: computes the prompt once, then each choice in its own sequence."""

from __future__ import annotations

import random
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.llama.constrained_sampler import ConstrainedSampler
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.draft import MAX_DRAFT, Draft, Drafter
from llmtool.engine.llama.job import PrefixMatch, TokenRun
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.llama.tokenizer import reuse_cached_tokens
from llmtool.engine.reply import Reply
from llmtool.engine.types import (
    MAX_SEED,
    Event,
    Finished,
    FinishReason,
    Request,
    Timings,
    Token,
    Tokenized,
    TokenLogprob,
    Usage,
    common_prefix_length,
    plan_reply,
)
from llmtool.errors import LlmtoolError, UsageError

if TYPE_CHECKING:
    from llmtool.structured.compiler import CompiledConstraint

_ECHO_ROWS = 64  # of logits per batch, each of 4 bytes per token of the vocabulary


class GenerationJob:
    """A `Job` that generates `request.n` choices.

    All choices sample their first token from the same logits, so that choice i equals a single
    choice with seed + i. While choices wait for a free sequence, a copy of the prompt is parked in
    a sequence.

    Raises:
        LlmtoolError: the prompt or the constraint is not valid, or the prompt is too long.
    """

    def __init__(self, model: LoadedModel, request: Request) -> None:
        self.id, self.request, self._model = request.id, request, model
        if model.speculation is not None and model.speculation.model is not None:
            model.speculation.model.load()  # an error fails this request only
        self.cancellation = request.cancellation
        self.keep = request.keep and request.n == 1 and not request.echo
        self.can_share_prefix = not request.echo  # a prefix has no logits
        n_drafted = 0 if model.speculation is None else MAX_DRAFT
        self.n_outputs = _ECHO_ROWS if request.echo else 1 + n_drafted
        prompt = model.tokenizer.tokenize(request.prompt)
        self.ids, self.n_fixed = prompt.token_ids, prompt.n_fixed
        self._prompt = prompt
        n_prompt, sampling = len(self.ids), request.sampling
        if sampling.max_tokens == 0 and not request.echo:
            raise UsageError("max_tokens is 0; it must be at least 1, except with echo")
        self.n_cells, self._max_reasoning = plan_reply(sampling, model.n_ctx - n_prompt)
        model.check_length(n_prompt, sampling.max_tokens)
        self.n_choices = request.n
        self.can_use_own_stream = request.n == 1 and not self.keep
        self._constraint = model.compile(request.sampling.constraint)
        self.adapters = model.select_adapters(request.prompt)
        self.key: Hashable = self.adapters.key
        self._biases = model.tokenizer.biases(sampling.logit_bias)
        self.runs: list[TokenRun] = []
        self.n_seq = 1 if request.n == 1 else 2
        self._choices: dict[TokenRun, _Choice] = {}
        self._waiting: list[_Choice] = []
        self._parked: int | None = None

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def reply_lengths(self) -> Iterator[tuple[int, int]]:
        return ((len(choice.tokens), self.n_cells) for choice in self._choices.values())

    def reuse_cached_tokens(self, histories: Sequence[Sequence[int]]) -> None:
        if self.request.prompt.token_ids is not None:
            return
        n_best = 0
        for cached in histories:
            ids = reuse_cached_tokens(self.ids, cached, self._model.weights)
            n = common_prefix_length([ids, tuple(cached)])
            if n > n_best and len(ids) + self.n_cells <= self._model.n_ctx:
                self.ids, n_best = ids, n

    def start(self, sequences: Sequences, match: PrefixMatch) -> None:
        n_cells = len(self.ids) + self.n_cells
        seq, shared = sequences.begin(match.source, match.n_tokens, n_cells=n_cells)
        self.sequences, self._cached = sequences, min(shared, match.n_cached)
        self._prefill_started_at = match.started_at
        if self.request.n > 1:
            self._parked = sequences.acquire(seq, length=len(self.ids))
        self.runs = [TokenRun(self._until_checkpoint(shared), seq=seq, pos=shared)]
        self.runs[0].every = self.request.echo

    def _until_checkpoint(self, start: int) -> tuple[int, ...]:
        """Return the tokens from `start` to the next checkpoint, or the end of the prompt.

        The last token is computed again if the request is repeated.
        """
        can_truncate = self.sequences.context.can_truncate
        has_checkpoint = self.keep and not can_truncate and not self.request.echo
        is_before_last = start < len(self.ids) - 1
        return self.ids[start:-1] if has_checkpoint and is_before_last else self.ids[start:]

    def resume(self) -> Iterator[Event]:
        while (
            self._waiting and self.sequences.n_free and self.sequences.n_free_cells >= self.n_cells
        ):
            assert self._parked is not None
            seq = self.sequences.acquire(self._parked, length=len(self.ids), n_cells=self.n_cells)
            self.sequences.context.copy(self._parked, seq)
            yield from self._start_choice(self._waiting.pop(0), seq)
        if not self._waiting and self._parked is not None:
            self._retire(self._parked, self.ids)
            self._parked = None

    def receive(self, run: TokenRun, rows: range) -> Iterator[Event]:
        choice = self._choices.get(run)
        n_computed = run.pos + run.at
        if choice is None and not self.request.echo and n_computed < len(self.ids):
            self.sequences.checkpoint(run.seq, self.ids[:n_computed], key=self.key)
            run.pos, run.at, run.tokens = n_computed, 0, self._until_checkpoint(n_computed)
            return
        if choice is None:
            if self.request.echo:
                yield from self._echo(range(run.at - len(rows), run.at), rows)
            if run.at == len(run.tokens):
                yield from self._start_choices(run, rows[-1])
            return
        yield from self._verify(choice, run, rows)

    def draft(self, run: TokenRun, *, n_running: int) -> Draft | None:
        choice = self._choices.get(run)
        return None if choice is None else choice.draft(self.ids, n_running=n_running)

    def stop(self) -> None:
        for run in self.runs:
            choice = self._choices.get(run)
            self._retire(run.seq, (*self.ids, *(choice.tokens if choice else ())), run)
        if self._parked is not None:
            self.sequences.free(self._parked)
        for choice in [*self._choices.values(), *self._waiting]:
            choice.close()
        self.runs, self._choices, self._waiting, self._parked = [], {}, [], None

    def _echo(self, positions: range, rows: range) -> Iterator[Event]:
        """Report the tokens of the prompt that follow those at `positions`, from their rows."""
        model, k = self._model, self.request.sampling.logprobs
        if positions.start == 0:
            yield Token(self.id, 0, prompt_logprob=model.token_record(self.ids[0], None))
        for position, row in zip(positions, rows, strict=True):
            if position + 1 < len(self.ids):
                model.softmax.read(self.sequences.context, row)
                top = model.softmax.top(k) if k else []
                found = model.token_logprob(self.ids[position + 1], top)
                yield Token(self.id, 0, prompt_logprob=found)

    def _start_choices(self, prompt: TokenRun, row: int) -> Iterator[Event]:
        seed = self.request.sampling.seed
        if seed is None:  # a greedy reply needs none
            is_greedy = self.request.sampling.temperature == 0
            seed = 0 if is_greedy else random.SystemRandom().randint(0, MAX_SEED)
        for index in range(self.request.n):  # one by one, so that `stop` closes all
            choice = _Choice(
                self._model,
                self.request,
                index,
                seed=(seed + index) % (MAX_SEED + 1),
                max_tokens=self.n_cells,
                max_reasoning=self._max_reasoning,
                constraint=self._constraint,
                biases=self._biases,
                prompt=self._prompt,
            )
            self._waiting.append(choice)
        if not self.n_cells:
            yield from self._end_without_reply()
            return
        top = self._read_top(row)  # the same row for all choices
        for choice in self._waiting:
            choice.sample(self.sequences.context, row, top if choice.reports_logprobs else [])
            choice.wait()
            choice.prefill_seconds = (
                0.0 if choice.index else time.perf_counter() - self._prefill_started_at
            )
        if self._parked is not None:
            self.sequences.context.copy(prompt.seq, self._parked)
        self.runs.remove(prompt)
        yield from self._start_choice(self._waiting.pop(0), prompt.seq)
        yield from self.resume()

    def _end_without_reply(self) -> Iterator[Event]:
        now = time.perf_counter()
        ends = list[Event]()
        for choice in self._waiting:
            choice.finish_reason, choice.started_at = "length", now
            choice.prefill_seconds = 0.0 if choice.index else now - self._prefill_started_at
            ends += choice.finish(len(self.ids), self._cached)
        self.stop()
        yield from ends

    def _read_top(self, row: int) -> list[tuple[int, float]]:
        k = self.request.sampling.logprobs
        if not k:
            return []
        self._model.softmax.read(self.sequences.context, row)
        return self._model.softmax.top(k)

    def _start_choice(self, choice: _Choice, seq: int) -> Iterator[Event]:
        choice.started_at = time.perf_counter()
        run = TokenRun((), seq=seq, pos=len(self.ids))
        self._choices[run] = choice
        self.runs.append(run)
        yield from self._emit(choice, run)

    def _emit(self, choice: _Choice, run: TokenRun) -> Iterator[Event]:
        yield from choice.push()
        yield from self._continue(choice, run)

    def _verify(self, choice: _Choice, run: TokenRun, rows: range) -> Iterator[Event]:
        """Sample a token from each row, until one differs from the draft or ends the reply."""
        context, n_computed = self.sequences.context, run.at
        events: list[Event] = []
        error: LlmtoolError | None = None
        for run.at, row in enumerate(rows, 1):
            try:
                top = self._read_top(row) if choice.reports_logprobs else []
                choice.sample(context, row, top)
                events += choice.push()
            except LlmtoolError as exc:
                error = exc
                break
            if choice.finish_reason is not None or choice.token != run.next_draft:
                break
        if run.at < n_computed:
            context.truncate(run.seq, run.pos + run.at)
        choice.count_draft(n_drafted=n_computed - 1, n_accepted=run.at - 1)
        yield from events
        if error is not None:
            raise error
        yield from self._continue(choice, run)

    def _continue(self, choice: _Choice, run: TokenRun) -> Iterator[Event]:
        """Compute the last token of the choice next, or end it."""
        if choice.finish_reason is None:
            run.pos += run.at
            run.tokens, run.at, run.every = (choice.token,), 0, False
            return
        # Free the sequence first, because the consumer of the events may be slow.
        self.runs.remove(run)
        del self._choices[run]
        self._retire(run.seq, (*self.ids, *choice.tokens), run)
        choice.close()
        yield from choice.finish(len(self.ids), self._cached)

    def _retire(self, seq: int, tokens: tuple[int, ...], run: TokenRun | None = None) -> None:
        if run is not None and self.request.n > 1:
            self.sequences.free(seq)
            return
        length = len(tokens) if run is None else run.pos + run.at
        self.sequences.retire(seq, tokens, length=length, key=self.key, keep=self.keep)


class _Choice:
    """One reply in progress."""

    def __init__(
        self,
        model: LoadedModel,
        request: Request,
        index: int,
        *,
        seed: int,
        max_tokens: int,
        max_reasoning: int,
        constraint: CompiledConstraint | None,
        biases: Mapping[int, float],
        prompt: Tokenized,
    ) -> None:
        self.index = index
        self.finish_reason: FinishReason | None = None
        self.token = -1
        self.tokens: list[int] = []
        self.prefill_seconds = self.started_at = 0.0
        self._model, self._id, self._seed, self._max_tokens = model, request.id, seed, max_tokens
        self._max_reasoning = max_reasoning
        self._has_own_limit = request.sampling.think_tokens is not None
        self._n_reasoning, self._is_cut = 0, False
        self._forced: list[int] = []  # the next tokens
        self._wants_logprobs = bool(request.sampling.logprobs)
        self._reports_end = request.echo
        self._logprob: TokenLogprob | None = None
        self._drafter: Drafter | None = None
        self._n_drafted = self._n_accepted = 0
        self._sampler = Sampler(model.weights, request.sampling, seed=seed, biases=biases)
        opening, tags = prompt.opening, model.reasoning_tags
        # Models with an answer tag begin with a tag even without reasoning.
        may_begin_with_tag = tags is not None and (request.prompt.thinking or tags.answer)
        is_only_answer = constraint is not None and not may_begin_with_tag and not opening
        self._removes_space = prompt.begins_text and model.weights.adds_space
        self._turn_end = model.find_turn_end(request.prompt)
        self._reply = Reply(
            request.id,
            index,
            stop=(*request.sampling.stop, *prompt.stop),
            tags=tags,
            opening=opening,
            controls=model.control_tokens,
            prompt=request.prompt.input_text,
            is_plain=request.prompt.suffix is not None or is_only_answer,
            strip=constraint is not None and constraint.constraint.kind == "json_schema",
        )
        self._answer_tag = tags.answer if tags is not None and constraint is not None else ""
        self._constrained: ConstrainedSampler | None = None
        if constraint is not None:
            self._constrained = ConstrainedSampler(
                self._sampler,
                constraint,
                self._reply,
                tags=tags if may_begin_with_tag else None,
                weights=model.weights,
            )
        self._limit_reasoning()

    def close(self) -> None:
        self._sampler.close()
        if self._constrained is not None:
            self._constrained.close()

    def wait(self) -> None:
        """Hold little memory until a sequence is free."""
        self._sampler.free_buffer()

    @property
    def reports_logprobs(self) -> bool:
        """Whether the next token is reported with its alternatives."""
        return self._wants_logprobs and not self._reply.in_reasoning

    def sample(self, context: Context, row: int, top: list[tuple[int, float]]) -> None:
        """Sample the next token from a row of logits; `top` are the alternatives to report."""
        if self._forced:
            self.token, self._logprob = self._forced.pop(0), None
            return
        self.token = (self._constrained or self._sampler).sample(context, row)
        self._logprob = self._model.token_logprob(self.token, top) if top else None

    def draft(self, prompt: Sequence[int], *, n_running: int) -> Draft | None:
        """Return tokens that are likely to follow, or None if the reply has no room for them."""
        limit = min(MAX_DRAFT, self._max_tokens - len(self.tokens) - 1)
        if limit < 1 or self._model.speculation is None:
            return None
        if self._drafter is None:
            self._drafter = Drafter(self._model.speculation, prompt)
        forced = self._forced or (self._constrained.forced_tokens() if self._constrained else [])
        draft = self._drafter.propose(self.tokens, forced, limit=limit, n_running=n_running)
        is_end = self._model.weights.is_end
        n = next((i for i, token in enumerate(draft.tokens) if is_end(token)), len(draft.tokens))
        if self._constrained is not None and not forced:
            n = self._constrained.count_allowed(draft.tokens[:n])
        return Draft(draft.tokens[:n], draft.chances[:n])

    def count_draft(self, *, n_drafted: int, n_accepted: int) -> None:
        if n_drafted and self._drafter is not None:
            self._n_drafted += n_drafted
            self._n_accepted += n_accepted
            self._drafter.count(n_drafted=n_drafted, n_accepted=n_accepted)

    def push(self) -> Iterator[Event]:
        """Append the sampled token to the reply."""
        weights = self._model.weights
        char = ""
        if weights.is_special(self.token):
            name = weights.token_text(self.token)
            char = self._model.control_tokens.char(self.token, name)
        is_end = weights.is_end(self.token) or self.token == self._turn_end
        if is_end and not self._reply.continues_after(char):
            self.finish_reason = "stop"
            if self._reports_end and self._logprob is not None:
                yield Token(self._id, self.index, logprob=self._logprob)
            return
        self.tokens.append(self.token)
        was_in_reasoning = self._reply.in_reasoning
        if self._constrained is not None:
            self._constrained.accept(self.token)
        if char:
            self._logprob = None  # it is not part of the text
            events = self._reply.push_control(char)
        else:
            piece = weights.piece(self.token)
            if self._removes_space and len(self.tokens) == 1:
                piece = piece.removeprefix(b" ")
            events = self._reply.push(piece)
        yield from self._with_logprob(events)
        if was_in_reasoning and not self._is_cut:
            self._n_reasoning += 1
            if self._reply.awaits_answer and self._answer_tag:
                self._force(self._answer_tag)
        self._limit_reasoning()
        if self._reply.stopped or (self._constrained is not None and self._constrained.finished):
            self.finish_reason = "stop"
        elif len(self.tokens) == self._max_tokens or (
            self._has_own_limit
            and len(self.tokens) - self._n_reasoning == self._max_tokens - self._max_reasoning
        ):
            self.finish_reason = "length"

    def _limit_reasoning(self) -> None:
        """End the reasoning if it is too long."""
        is_full = self._n_reasoning >= self._max_reasoning < self._max_tokens
        if is_full and self._reply.in_reasoning and not self._is_cut:
            self._is_cut = True
            self._force(self._reply.closing)

    def _force(self, text: str) -> None:
        raw = text.encode()
        self._forced = self._model.weights.tokenize(raw, add_special=False, parse_special=True)

    def finish(self, n_prompt: int, cached_tokens: int) -> Iterator[Event]:
        yield from self._reply.finish()
        assert self.finish_reason is not None
        yield Finished(
            id=self._id,
            choice=self.index,
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=n_prompt,
                cached_tokens=n_prompt if self.index else cached_tokens,
                completion_tokens=len(self.tokens),
                drafted_tokens=self._n_drafted,
                accepted_tokens=self._n_accepted,
            ),
            timings=Timings(
                prefill_seconds=self.prefill_seconds,
                decode_seconds=time.perf_counter() - self.started_at,
                first_token_at=self.started_at,
            ),
            seed=self._seed,
            reasoning_tokens=self._n_reasoning,
            cut_reasoning_tokens=self._n_reasoning
            if self._is_cut and not self._has_own_limit
            else 0,
            ended_repetition=self._constrained is not None and self._constrained.ended_repetition,
            stop_string=self._reply.stop_string,
        )

    def _with_logprob(self, events: list[Token]) -> list[Token]:
        if self._logprob is None or self._reply.in_reasoning:
            return events
        *others, last = events or [Token(self._id, self.index)]
        if last.reasoning:
            return events
        return [*others, msgspec.structs.replace(last, logprob=self._logprob)]
