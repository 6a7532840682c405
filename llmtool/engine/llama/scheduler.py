"""Continuous batching of requests in one context.

Each step decodes one token of every running sequence and fills the rest of the batch with chunks of
prompts, so that no request starves. When a sequence ends, another one starts in the next step. The
common prefix of the waiting requests is computed once, in sequence 0, and copied.

Source: Orca (Yu et al., OSDI 2022) and llama.cpp's server. But: no eviction; an admitted request
runs to its end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from llmtool.engine.llama.context_manager import ContextManager
from llmtool.engine.llama.context_planner import cells_needed
from llmtool.engine.llama.generation_job import GenerationJob
from llmtool.engine.llama.job import Job, PrefixMatch, TokenRun
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.sequences import Sequences
from llmtool.engine.types import (
    Event,
    Failed,
    Finished,
    Request,
    ScoreRequest,
    StreamProgress,
    common_prefix_length,
)
from llmtool.errors import Cancelled, LlmtoolError, invalid_unicode

_MIN_SHARED = 16  # tokens; sharing fewer saves nothing
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
        self._source = iter(requests)
        self._exhausted = False
        self._waiting: deque[Job] = deque()
        self._jobs: list[Job] = []

    def run(self) -> Iterator[Event]:
        """Yield the events; a request that fails yields `Failed`, and the others continue.

        Raises:
            Cancelled: a stop was requested.
            EngineError: llama.cpp could not decode a batch.
        """
        self._progress.reset()
        self._progress.max_parallel = self._contexts.max_parallel
        try:
            while True:
                yield from self._read_requests()
                self._count_unread()
                yield from self._drop_cancelled()
                yield from self._admit()
                if self._jobs:
                    yield from self._step()
                elif self._exhausted and not self._waiting:
                    return
                elif not self._waiting:
                    time.sleep(_IDLE_SECONDS)
                self._model.cancellation.check()
        finally:
            for job in self._jobs:
                job.stop()
            self._contexts.trim_to_prefix()
            self._progress.n_unread, self._progress.running = 0, ()

    def _read_requests(self) -> Iterator[Failed]:
        """Read as many requests as can run together, to find their common prefix."""
        while not self._exhausted and self._n_waiting < max(2, self._contexts.max_parallel):
            try:
                request = next(self._source)
            except StopIteration:
                self._exhausted = True
                return
            if request is None:
                return
            if isinstance(request, Failed):
                yield request
                continue
            try:
                if isinstance(request, ScoreRequest):
                    from llmtool.engine.llama.scoring_job import ScoringJob

                    self._waiting.append(ScoringJob(self._model, request))
                else:
                    self._waiting.append(GenerationJob(self._model, request))
                    self._progress.n_replies += request.n
                self._progress.n_requests += 1
            except UnicodeEncodeError as exc:
                yield Failed(request.id, invalid_unicode(exc))
            except LlmtoolError as exc:
                self._raise_if_cancelled(exc)
                yield Failed(request.id, exc)

    def _count_unread(self) -> None:
        prompts = sum(len(job.ids) for job in self._waiting)
        self._progress.n_unread = prompts + sum(
            len(run.tokens) - run.at for job in self._jobs for run in _prompt_runs(job)
        )

    @property
    def _n_waiting(self) -> int:
        return sum(job.n_choices for job in self._waiting)

    def _drop_cancelled(self) -> Iterator[Failed]:
        for job in [*self._jobs, *self._waiting]:
            if job.cancellation is None or not job.cancellation.cancelled:
                continue
            if job in self._waiting:
                self._waiting.remove(job)
            else:
                job.stop()
            yield Failed(job.id, Cancelled("cancelled"))
        self._drop_finished()

    def _admit(self) -> Iterator[Event]:
        for job in list(self._jobs):
            if job.is_waiting:
                yield from self._catch_failure(job, job.resume())
        self._drop_finished()
        while self._waiting and not any(job.is_waiting for job in self._jobs):
            job = self._waiting[0]
            try:
                if not self._try_to_start(job):
                    return
                self._jobs.append(job)
            except LlmtoolError as exc:
                self._raise_if_cancelled(exc)
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
            # The next batch is full. Another job would only slow attention down, which scans the
            # cells of all sequences.
            if self._backlog >= sequences.context.n_batch:
                return False
        else:
            sequences = self._ensure_context(job)
            if job.keep:
                contexts.restore_state(job.ids[: job.n_fixed])
                job.reuse_cached_tokens(sequences.token_history)  # may change the prompt's length
                sequences = self._ensure_context(job)
        needed = cells_needed(job)
        if sequences.n_free < job.n_seq or sequences.context.n_ctx_seq < needed:
            return False
        match = self._match_prefix(sequences, job)
        if match is None:
            return False
        if sequences.n_free_cells < needed - match.n_tokens:
            if self._jobs:
                return False
            sequences.drop_prefix()  # this job needs its cells
            match = PrefixMatch(0, 0, match.started_at)
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
        n_known = len(self._jobs) + self._n_waiting
        is_long = n_known >= (_LONG_STREAM if self._exhausted else n_all)
        has_first_wave = is_long and isinstance(self._jobs[0], GenerationJob)
        if not has_first_wave or self._progress.finished or self._model.weights.n_gpu_layers:
            return n_all
        return min(_FIRST_WAVE, n_all)

    def _ensure_context(self, job: Job) -> Sequences:
        if self._contexts.reproducible:
            return self._contexts.ensure_context([job], is_all=True)
        return self._contexts.ensure_context(list(self._waiting), is_all=self._exhausted)

    @property
    def _backlog(self) -> int:
        """The number of tokens that the running jobs have yet to compute."""
        return sum(len(run.tokens) - run.at for job in self._jobs for run in job.runs)

    def _match_prefix(self, sequences: Sequences, job: Job) -> PrefixMatch | None:
        """Prepare the shared prefix for a job; return the part of the prompt that it contains.

        Return None if running jobs that use the prefix must end first.
        """
        started_at = time.perf_counter()
        old, wanted = sequences.prefix, self._find_prefix(sequences, job)
        if wanted != old and self._contexts.reproducible and not job.keep:
            sequences.reset()  # so that the tokens of this job get the first cells
            old = ()
        if wanted == old and job.keep:
            sequences.n_pinned = len(old)
        if not wanted or wanted == old:
            return PrefixMatch(len(wanted), len(wanted), started_at)
        n_common = common_prefix_length([old, wanted])
        if n_common < len(old) and self._jobs:
            return None
        if sequences.n_free_cells + len(old) < cells_needed(job):
            return None if self._jobs else PrefixMatch(0, 0, started_at)
        cached = self._contexts.compute_prefix(wanted, n_fixed=job.n_fixed, keep=job.keep)
        return PrefixMatch(len(wanted), cached, started_at)

    def _find_prefix(self, sequences: Sequences, job: Job) -> tuple[int, ...]:
        """Return the best shared prefix for this job and the ones that wait after it."""
        old, ids = sequences.prefix, job.ids
        if not job.can_share_prefix:
            return ()
        if job.keep:
            return ids[:-1]  # at least one token must be computed
        if self._contexts.reproducible:
            n_fixed = min(job.n_fixed, len(ids) - 1)
            return ids[:n_fixed] if n_fixed >= _MIN_SHARED else ()
        best = old if len(old) < len(ids) and ids[: len(old)] == old else ()
        group = [each.ids[:-1] for each in self._waiting if each.can_share_prefix]
        common = common_prefix_length(group) if len(group) > 1 else 0
        common = max(common, min(job.n_fixed, len(ids) - 1))
        return ids[:common] if common - len(best) >= _MIN_SHARED else best

    def _step(self) -> Iterator[Event]:
        """Decode one batch and pass the rows of logits to the jobs."""
        sequences = self._contexts.sequences
        assert sequences is not None
        context = sequences.context
        if context.separate_streams:
            self._compact(sequences)
        batch = context.batch
        batch.clear()
        started, n_read = time.perf_counter(), 0
        outputs: list[tuple[Job, TokenRun, range]] = []
        for job, run in self._next_runs():
            n_free = batch.n_free
            if run.every:
                n_free = min(n_free, context.n_outputs - batch.n_outputs)
            if n_free <= 0 or batch.n_outputs >= context.n_outputs:
                break
            tokens = run.tokens[run.at : run.at + n_free]
            ends = run.at + len(tokens) == len(run.tokens)
            n_outputs = len(tokens) if run.every else int(ends)
            rows = batch.add(tokens, seq=run.seq, pos=run.pos + run.at, n_outputs=n_outputs)
            run.at += len(tokens)
            n_read += len(tokens) if run.pos < len(job.ids) else 0
            if n_outputs:
                outputs.append((job, run, rows))
        context.decode()
        self._progress.add_prompt_tokens(n_read)
        for job, run, rows in outputs:
            if run in job.runs:
                for event in self._catch_failure(job, job.receive(run, rows)):
                    if isinstance(event, Finished):
                        self._progress.add_reply(event.usage.completion_tokens)
                    yield event
        self._drop_finished()
        self._progress.add_time(time.perf_counter() - started, n_read=n_read)
        self._progress.running = tuple(each for job in self._jobs for each in job.reply_lengths)

    def _compact(self, sequences: Sequences) -> None:
        """Move the running sequences to the lowest ids: only adjacent ids are batched together."""
        runs = [run for job in self._jobs for run in job.runs]
        for run in sorted(runs, key=lambda run: run.seq, reverse=True):
            if run.seq <= len(runs):
                return
            run.seq = sequences.move(run.seq)

    def _next_runs(self) -> Iterator[tuple[Job, TokenRun]]:
        """Yield the runs to compute: first single tokens by sequence, then prompts by age."""
        runs = [(job, run) for job in self._jobs for run in job.runs]
        singles = [each for each in runs if len(each[1].tokens) == 1]
        yield from sorted(singles, key=lambda each: each[1].seq)
        yield from (each for each in runs if len(each[1].tokens) != 1)

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


def _prompt_runs(job: Job) -> Iterator[TokenRun]:
    return (run for run in job.runs if run.pos < len(job.ids))
