"""Continuous batching of requests in one context.

Each step decodes one token of every running sequence and fills the rest of the batch with chunks of
prompts, so that no request starves. When a sequence ends, another one starts in the next step. A
request starts with the longest cached prefix of its prompt. The common prefix of the waiting
requests is computed once, in a sequence of its own, and copied. A batch has one set of LoRA
adapters; requests with other adapters take turns.

Source: Orca (Yu et al., OSDI 2022) and llama.cpp's server. But: no eviction; an admitted request
runs to its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from llmtool.engine.llama.context import TILE, ActiveAdapters, Context
from llmtool.engine.llama.context_manager import ContextManager
from llmtool.engine.llama.context_planner import cells_needed
from llmtool.engine.llama.fairness import AdapterTurns, ChunkSize
from llmtool.engine.llama.generation_job import GenerationJob
from llmtool.engine.llama.intake import Intake
from llmtool.engine.llama.job import Job, PrefixMatch, TokenRun
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.sequences import MIN_SHARED, CachedSequence, Sequences
from llmtool.engine.types import (
    Event,
    Failed,
    Finished,
    Request,
    ScoreRequest,
    StreamProgress,
    common_prefix_length,
)
from llmtool.errors import Cancelled, LlmtoolError

_FIRST_WAVE = 4  # requests that a long stream starts with
_LONG_STREAM = 12  # requests, if they are all known
_IDLE_SECONDS = 0.02  # between polls of a source that has no request yet


class Scheduler:
    """Runs one stream of requests on a loaded model."""

    def __init__(
        self,
        model: LoadedModel,
        contexts: ContextManager,
        requests: Iterable[Request | ScoreRequest | Failed | None],
        progress: StreamProgress,
    ) -> None:
        self._progress = progress
        self._model, self._contexts = model, contexts
        self._intake = Intake(model, requests, progress, reproducible=contexts.reproducible)
        self._waiting = self._intake.waiting
        self._jobs: list[Job] = []
        self._turns = AdapterTurns()
        self._chunks = ChunkSize()
        self._blocked: tuple[Job, int] | None = None  # a job, and `n_released` when it did not fit
        self._prefix: _Prefix | None = None
        self._wanted: _WantedPrefix | None = None
        self._prompts_next = False
        self._is_replacing = False  # the pool, by streams, when the running jobs have ended

    def run(self) -> Iterator[list[Event]]:
        """Yield the events of each step; a request that fails yields `Failed`, others continue.

        Raises:
            Cancelled: a stop was requested.
            EngineError: llama.cpp could not decode a batch.
        """
        self._progress.reset()
        self._progress.max_parallel = self._contexts.max_parallel
        try:
            while True:
                # As many as can run together, to find their common prefix.
                yield from _collect(self._intake.read(max(2, self._contexts.max_parallel)))
                yield from _collect(self._drop_cancelled())
                yield from _collect(self._admit())
                self._count_unread()
                if self._jobs or self._prefix:
                    yield from _collect(self._step())
                elif self._intake.is_exhausted and not self._waiting:
                    return
                elif not self._waiting:
                    time.sleep(_IDLE_SECONDS)
                self._model.cancellation.check()
        finally:
            for job in self._jobs:
                job.stop()
            self._stop_prefix()
            self._contexts.end_stream()
            self._progress.n_unread, self._progress.running = 0, ()

    def _count_unread(self) -> None:
        prompts = sum(len(job.ids) for job in self._waiting)
        n_computed = self._prefix.run.pos + self._prefix.run.at if self._prefix else 0
        self._progress.n_unread = (
            prompts
            - n_computed
            + sum(len(run.tokens) - run.at for job in self._jobs for run in _prompt_runs(job))
        )

    def _drop_cancelled(self) -> Iterator[Failed]:
        for job in [*self._jobs, *self._waiting]:
            if job.cancellation is None or not job.cancellation.cancelled:
                continue
            if job in self._waiting:
                self._waiting.remove(job)
                if self._wanted is not None and self._wanted.job is job:
                    self._stop_prefix()
            else:
                job.stop()
            yield Failed(job.id, Cancelled("cancelled"))
        self._drop_finished()

    def _admit(self) -> Iterator[Event]:
        for job in list(self._jobs):
            if job.is_waiting:
                yield from self._catch_failure(job, job.resume())
        self._drop_finished()
        while self._waiting and not self._prefix and not any(job.is_waiting for job in self._jobs):
            job = self._waiting[0]
            try:
                if not self._try_to_start(job):
                    return
                self._jobs.append(job)
            except LlmtoolError as exc:
                self._raise_if_cancelled(exc)
                self._stop_prefix()
                yield Failed(job.id, exc)
            self._waiting.popleft()

    def _try_to_start(self, job: Job) -> bool:
        """Start a job; return False if it must wait for running jobs to end."""
        contexts = self._contexts
        if self._jobs:
            sequences = contexts.sequences
            if sequences is None or len(self._jobs) >= self._max_jobs:
                return False
            if sequences.context.separate_streams and not job.can_use_own_stream:
                return False
            if self._is_replacing or contexts.should_replace_pool(self._jobs, self._waiting):
                self._is_replacing = True
                return False
            # The next batch is full. Another job would only slow attention down, which scans the
            # cells of all sequences.
            if self._backlog >= sequences.context.n_batch:
                return False
            if self._blocked == (job, sequences.n_released):
                return False
        elif self._wanted is not None and self._wanted.job is job and contexts.sequences:
            sequences = contexts.sequences  # it has the prefix
        else:
            sequences = self._ensure_context(job)
            if job.keep:
                contexts.restore_state(job.ids[: job.n_fixed], key=job.key)
        if job.keep:
            job.reuse_cached_tokens(sequences.histories(job.key))
            if not self._jobs and sequences.context.n_ctx_seq < cells_needed(job):
                sequences = self._ensure_context(job)  # the prompt is longer now
        self._blocked = job, sequences.n_released
        needed = cells_needed(job)
        if sequences.n_free < job.n_seq or sequences.context.n_ctx_seq < needed:
            return False
        source, length = self._find_cached(sequences, job)
        if not sequences.has_cells(source, length, needed):
            return False
        if self._load_prefix(job, length):
            source, length = self._find_cached(sequences, job)
        if self._start_prefix(sequences, job, source, length):
            self._blocked = None
            return False
        wanted, self._wanted = self._wanted, None
        match = PrefixMatch(source, length, length, time.perf_counter())
        if wanted is not None and wanted.job is job:
            match = PrefixMatch(source, length, wanted.n_cached, wanted.started_at)
        contexts.count_start(job)
        job.start(sequences, match)
        return True

    @property
    def _max_jobs(self) -> int:
        """How many jobs may run beside those that run: few until a long stream has its first reply.

        Similar replies that start together end together, each after the time of all of them. On a
        CPU, a first wave costs little: a step for a few replies takes much less time than for many.
        On a GPU it takes almost as long.
        """
        n_all = self._contexts.max_parallel
        n_known = len(self._jobs) + self._intake.n_choices
        is_long = n_known >= (_LONG_STREAM if self._intake.is_exhausted else n_all)
        has_first_wave = is_long and isinstance(self._jobs[0], GenerationJob)
        is_spread = self._progress.finished or self._intake.has_waited  # replies begin over time
        if not has_first_wave or is_spread or self._model.weights.n_gpu_layers:
            return n_all
        return min(_FIRST_WAVE, n_all)

    def _ensure_context(self, job: Job) -> Sequences:
        self._is_replacing = False
        if self._contexts.reproducible:
            return self._contexts.ensure_context([job], is_all=True)
        return self._contexts.ensure_context(list(self._waiting), is_all=self._intake.is_exhausted)

    @property
    def _backlog(self) -> int:
        """The number of tokens that the running jobs have yet to compute."""
        return sum(len(run.tokens) - run.at for job in self._jobs for run in job.runs)

    def _find_cached(self, sequences: Sequences, job: Job) -> tuple[CachedSequence | None, int]:
        """Return the sequence with the longest common prefix, and the length of that prefix."""
        ids = job.ids[:-1]  # at least one token must be computed
        if self._contexts.reproducible:
            ids = ids[: self._n_fixed(job)]
            same = [each for each in sequences.idle if each.tokens == ids and each.key == job.key]
            if same != sequences.idle:
                sequences.evict_all()
                sequences.reset()  # so that the tokens of this job get the first cells
                return None, 0
            return (same[0], len(ids)) if same else (None, 0)
        if not job.can_share_prefix:
            return None, 0
        best, length = sequences.find(ids, job.key)
        if sequences.context.can_truncate:
            for other in self._jobs:
                for run in other.runs if other.key == job.key else ():
                    computed = other.ids[: run.pos + run.at]
                    n = common_prefix_length([computed, ids])
                    if n >= max(length + MIN_SHARED, sequences.context.min_length(run.seq)):
                        best, length = sequences.view(run.seq, computed), n
        return (best, length) if length >= MIN_SHARED else (None, 0)

    def _n_fixed(self, job: Job) -> int:
        n_fixed = min(job.n_fixed, len(job.ids) - 1)
        return n_fixed if n_fixed >= MIN_SHARED and job.can_share_prefix else 0

    def _load_prefix(self, job: Job, length: int) -> bool:
        """Load the fixed tokens of a job's template from disk, unless they are cached."""
        n_fixed = self._n_fixed(job)
        is_tried = self._wanted is not None and self._wanted.job is job
        if length >= n_fixed or is_tried:
            return False
        started_at = time.perf_counter()
        if not self._contexts.load_prefix(job.ids[:n_fixed], key=job.key):
            return False
        self._wanted = _WantedPrefix(job, n_fixed, started_at)
        return True

    def _start_prefix(
        self, sequences: Sequences, job: Job, source: CachedSequence | None, length: int
    ) -> bool:
        """Start to compute the prefix that a job shares with others, unless it is cached.

        The fixed tokens of a template are computed in separate batches, so that a hit and a miss of
        the prompt cache on disk give the same text.
        """
        n_wanted = n_fixed = self._n_fixed(job)
        if length >= n_fixed:
            n_wanted = self._count_shared(job)
            if n_wanted - length < MIN_SHARED:
                return False
        if self._wanted is None or self._wanted.job is not job:
            self._wanted = _WantedPrefix(job, length, time.perf_counter())
        if n_wanted <= self._wanted.n_tried:  # it was evicted at once
            return False
        self._wanted.n_tried = n_wanted
        seq, length = sequences.begin(source, length, n_cells=n_wanted)
        run = TokenRun(job.ids[length:n_wanted], seq=seq, pos=length)
        tokens, is_fixed = job.ids[:n_wanted], n_wanted == n_fixed
        self._prefix = _Prefix(tokens, run, job.adapters, is_fixed=is_fixed)
        return True

    def _count_shared(self, job: Job) -> int:
        """Return how many tokens a job shares with all that wait with it."""
        if self._contexts.reproducible or not job.can_share_prefix:
            return 0
        group = [
            each.ids[:-1] for each in self._waiting if each.can_share_prefix and each.key == job.key
        ]
        return common_prefix_length(group) if len(group) > 1 else 0

    def _stop_prefix(self) -> None:
        prefix, self._prefix, self._wanted = self._prefix, None, None
        sequences = self._contexts.sequences
        if prefix is not None and sequences is not None:
            length = prefix.run.pos + prefix.run.at
            sequences.retire(prefix.run.seq, prefix.tokens, length=length, key=prefix.key)

    def _step(self) -> Iterator[Event]:
        """Decode one batch and pass the rows of logits to the jobs."""
        sequences = self._contexts.sequences
        assert sequences is not None
        context = sequences.context
        if context.separate_streams:
            moved = sequences.compact()
            for run in self._all_runs():
                run.seq = moved.get(run.seq, run.seq)
        n_max = context.n_batch
        n_replies = sum(1 for job in self._jobs for _ in job.reply_lengths)
        if n_replies and self._intake.has_waited:
            n_max = self._chunks.size(n_max, n_replies=n_replies)
        if self._prefix is not None:
            n_prefix = self._compute_prefix(sequences, self._prefix, n_max)
            if n_replies:
                n_max -= n_prefix
        adapters = self._turns.next([job.adapters for job in self._jobs if job.runs])
        chosen: list[tuple[Job, TokenRun, int]] = []
        n_read = n_rows = 0
        n_free = context.n_batch
        runs = list(self._next_runs(context))
        is_decode = self._add_drafts(context, runs)
        for job, run in runs:
            n_tokens = min(len(run.tokens) - run.at, n_free)
            if run.every:
                n_tokens = min(n_tokens, context.n_outputs - n_rows)
            if run.pos < len(job.ids):
                n_tokens = min(n_tokens, n_max - n_read)
            if n_tokens <= 0:
                continue
            if n_rows >= context.n_outputs:
                break
            is_part = n_tokens < len(run.tokens) - run.at <= n_max
            if is_part and n_read and context.separate_streams:
                # llama.cpp would compute the rest of the other prompts in another, smaller batch.
                break
            chosen.append((job, run, n_tokens))
            n_free -= n_tokens
            n_read += n_tokens if run.pos < len(job.ids) else 0
            is_end = run.at + n_tokens == len(run.tokens)
            n_rows += n_tokens if run.every else int(is_end)
        if not chosen:
            return
        if context.separate_streams:  # only adjacent ids in ascending order are batched together
            chosen.sort(key=lambda each: each[1].seq)
        context.use_adapters(adapters)
        batch = context.batch
        batch.clear()
        started = time.perf_counter()
        outputs: list[tuple[Job, TokenRun, range]] = []
        for job, run, n_tokens in chosen:
            tokens = run.tokens[run.at : run.at + n_tokens]
            is_end = run.at + n_tokens == len(run.tokens)
            n_outputs = n_tokens if run.every else int(is_end)
            rows = batch.add(tokens, seq=run.seq, pos=run.pos + run.at, n_outputs=n_outputs)
            run.at += n_tokens
            if n_outputs:
                outputs.append((job, run, rows))
        decode_started = time.perf_counter()
        self._decode(context, [(run, n_tokens) for _, run, n_tokens in chosen])
        if is_decode and self._model.speculation is not None:
            context.synchronize()
            seconds = time.perf_counter() - decode_started
            self._model.speculation.costs.add(batch.n_tokens, seconds)
        self._progress.add_prompt_tokens(n_read)
        for job, run, rows in outputs:
            if run in job.runs:
                for event in self._catch_failure(job, job.receive(run, rows)):
                    if isinstance(event, Finished):
                        self._progress.add_reply(event.usage.completion_tokens)
                    yield event
        self._drop_finished()
        self._add_time(time.perf_counter() - started, n_read, batch.n_tokens - n_read)
        self._progress.running = tuple(each for job in self._jobs for each in job.reply_lengths)

    def _add_drafts(self, context: Context, runs: Sequence[tuple[Job, TokenRun]]) -> bool:
        """Add drafts to the runs where they pay; return whether each run is one token of a reply.

        llama.cpp would split a batch whose streams have different numbers of tokens.
        """
        speculation, n = self._model.speculation, len(runs)
        if not all(len(run.tokens) == 1 and run.pos >= len(job.ids) for job, run in runs):
            return False
        if speculation is None or n >= context.n_outputs or (context.separate_streams and n > 1):
            return True
        drafts = [(run, draft) for job, run in runs if (draft := job.draft(run, n_running=n))]
        lengths = speculation.choose(
            [draft for _, draft in drafts], n_running=n, n_rows=context.n_outputs
        )
        for (run, draft), length in zip(drafts, lengths, strict=True):
            if length:
                run.tokens, run.every = (*run.tokens, *draft.tokens[:length]), True
        return True

    def _add_time(self, seconds: float, n_read: int, n_replies: int) -> None:
        self._chunks.measure(seconds, n_read=n_read, n_replies=n_replies)
        self._progress.add_time(seconds, n_read=n_read)

    def _compute_prefix(self, sequences: Sequences, prefix: _Prefix, n_max: int) -> int:
        """Compute up to `n_max` tokens of a prefix, in a batch of their own; return the number."""
        run, context = prefix.run, sequences.context
        started = time.perf_counter()
        tokens = run.tokens[run.at : run.at + n_max]
        prefix.is_chunked |= n_max < context.n_batch and run.at + n_max < len(run.tokens)
        context.use_adapters(prefix.adapters)
        context.batch.clear()
        context.batch.add(tokens, seq=run.seq, pos=run.pos + run.at, n_outputs=1)
        run.at += len(tokens)
        self._decode(context, [(run, len(tokens))])
        self._progress.add_prompt_tokens(len(tokens))
        self._add_time(time.perf_counter() - started, n_read=len(tokens), n_replies=0)
        if run.at == len(run.tokens):
            if prefix.is_fixed and run.pos == 0 and not prefix.is_chunked:
                self._contexts.store_prefix(prefix.tokens, run.seq, key=prefix.key)
            self._prefix = None
            sequences.retire(
                run.seq, prefix.tokens, key=prefix.key, keep=prefix.is_fixed, is_prefix=True
            )
        return len(tokens)

    def _decode(self, context: Context, added: list[tuple[TokenRun, int]]) -> None:
        try:
            context.decode()
        except BaseException:
            for run, n_tokens in added:
                run.at -= n_tokens
            raise

    def _all_runs(self) -> list[TokenRun]:
        runs = [run for job in self._jobs for run in job.runs]
        return [*runs, self._prefix.run] if self._prefix else runs

    def _next_runs(self, context: Context) -> list[tuple[Job, TokenRun]]:
        """Return the runs to compute: first single tokens by sequence, then prompts by age.

        In a pool on a CPU, they take turns if attention would be computed in tiles, because tiles
        with single tokens of many sequences cover the cells of all of them.
        """
        jobs = [job for job in self._jobs if job.key == self._turns.current.key]
        runs = [(job, run) for job in jobs for run in job.runs]
        singles = [each for each in runs if len(each[1].tokens) == 1]
        singles.sort(key=lambda each: each[1].seq)
        prompts = [each for each in runs if len(each[1].tokens) != 1]
        if (
            not (singles and prompts)
            or context.separate_streams
            or self._model.weights.n_gpu_layers
            or any(run.every for _, run in runs)
            or len(singles) + sum(len(run.tokens) - run.at for _, run in prompts) < TILE
        ):
            return singles + prompts
        self._prompts_next = not self._prompts_next
        return prompts if self._prompts_next else singles

    def _catch_failure(self, job: Job, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the events of a job; on an error, stop the job and yield `Failed`."""
        try:
            yield from events
        except LlmtoolError as exc:
            self._raise_if_cancelled(exc)
            job.stop()
            yield Failed(job.id, exc)

    def _raise_if_cancelled(self, exc: LlmtoolError) -> None:
        """Raise the error if it cancels the whole stream."""
        if isinstance(exc, Cancelled) and self._model.cancellation.cancelled:
            raise exc

    def _drop_finished(self) -> None:
        self._jobs = [job for job in self._jobs if job.runs or job.is_waiting]


class _Prefix:
    """A prefix in computation; with `is_fixed` it is that of a template.

    With `is_chunked` its batches were smaller than usual, which changes the rounding.
    """

    def __init__(
        self, tokens: tuple[int, ...], run: TokenRun, adapters: ActiveAdapters, *, is_fixed: bool
    ) -> None:
        self.tokens, self.run, self.is_fixed = tokens, run, is_fixed
        self.adapters, self.key = adapters, adapters.key
        self.is_chunked = False


class _WantedPrefix:
    """The prefix that a waiting job shares with others; `n_tried` tokens of it were computed.

    `n_cached` tokens of the prompt were cached at `started_at`, before the prefix was computed.
    """

    def __init__(self, job: Job, n_cached: int, started_at: float) -> None:
        self.job, self.n_cached, self.started_at = job, n_cached, started_at
        self.n_tried = 0


def _collect(events: Iterator[Event]) -> Iterator[list[Event]]:
    """Yield the events as one list, also if an error ends them."""
    found: list[Event] = []
    try:
        found.extend(events)
    except BaseException:
        if found:
            yield found
        raise
    if found:
        yield found


def _prompt_runs(job: Job) -> Iterator[TokenRun]:
    return (run for run in job.runs if run.pos < len(job.ids))
