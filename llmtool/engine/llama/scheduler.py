"""Requests to events: continuous batching over one context.

Every step decodes one token of each running sequence and fills the rest of the batch with pieces
of prompts, so that nobody starves; a sequence that ends is replaced at once. What the waiting
requests begin with alike is computed once, alone, in sequence 0, and copied. After Orca (Yu et al.,
OSDI 2022) and llama.cpp's server. But: no eviction; a request that was admitted runs to its end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from llmtool.engine.llama.context_manager import ContextManager
from llmtool.engine.llama.context_planner import need
from llmtool.engine.llama.generation_job import Generating
from llmtool.engine.llama.job import Job, Run, Share
from llmtool.engine.llama.loaded_model import LoadedModel
from llmtool.engine.llama.scoring_job import Scoring
from llmtool.engine.llama.slots import Sequences
from llmtool.engine.types import Event, Failed, Request, ScoreRequest, Scores, common_prefix_length
from llmtool.errors import Cancelled, InputError, LlmtoolError

_MIN_SHARED = 16  # tokens; computing fewer alone saves nothing
_IDLE_SECONDS = 0.02  # between two questions to a source that has nothing yet


def serve(
    model: LoadedModel,
    contexts: ContextManager,
    requests: Iterable[Request | ScoreRequest | Failed | None],
) -> Iterator[Event | Scores]:
    """Answer requests; one that cannot be served yields `Failed`, and the others go on.

    Raises:
        Cancelled: a stop was asked for.
        EngineError: llama.cpp failed at a batch.
    """
    scheduler = Scheduler(model, contexts, requests)
    try:
        yield from scheduler.run()
    finally:
        scheduler.stop()


class Scheduler:
    """One stream of requests through the contexts of a model."""

    def __init__(
        self,
        model: LoadedModel,
        contexts: ContextManager,
        requests: Iterable[Request | ScoreRequest | Failed | None],
    ) -> None:
        self._model, self._contexts = model, contexts
        self._source = iter(requests)
        self._exhausted = False
        self._waiting: deque[Job] = deque()
        self._jobs: list[Job] = []

    def run(self) -> Iterator[Event | Scores]:
        while True:
            yield from self._take_in()
            yield from self._drop_cancelled()
            yield from self._admit()
            if self._jobs:
                yield from self._step()
            elif self._exhausted and not self._waiting:
                return
            elif not self._waiting:
                time.sleep(_IDLE_SECONDS)
            self._model.cancellation.check()

    def stop(self) -> None:
        """Give back everything."""
        for job in self._jobs:
            job.stop()
        self._jobs.clear()
        self._waiting.clear()
        self._contexts.leave()

    def _take_in(self) -> Iterator[Failed]:
        """Read requests ahead, as many as can run: to admit them at once, and to compare them."""
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
                    self._waiting.append(Scoring(self._model, request))
                else:
                    self._waiting.append(Generating(self._model, request))
            except UnicodeEncodeError as exc:
                error = InputError(f"the text is not Unicode that can be encoded: {exc.reason}")
                error.__cause__ = exc
                yield Failed(request.id, error)
            except LlmtoolError as exc:
                self._raise_if_stopped(exc)
                yield Failed(request.id, exc)

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
            yield Failed(job.id, Cancelled("stopped before it was done"))
        self._forget_done()

    def _admit(self) -> Iterator[Event | Scores]:
        for job in list(self._jobs):
            if job.is_waiting:
                yield from self._guarded(job, job.resume())
        self._forget_done()
        while self._waiting and not any(job.is_waiting for job in self._jobs):
            job = self._waiting[0]
            try:
                if not self._try_to_start(job):
                    return
                self._jobs.append(job)
            except LlmtoolError as exc:
                self._raise_if_stopped(exc)
                yield Failed(job.id, exc)
            self._waiting.popleft()

    def _try_to_start(self, job: Job) -> bool:
        """Start a job if there is room; False while it has to wait for others to end."""
        contexts = self._contexts
        if self._jobs:
            sequences = contexts.sequences
            if sequences is None or len(self._jobs) >= contexts.max_parallel:
                return False
            if sequences.context.apart and not job.may_stand_apart:
                return False
            # The next batch is full. What waits in the memory meanwhile only slows attention down,
            # which looks at the cells of all sequences.
            if self._backlog >= sequences.context.n_batch:
                return False
        else:
            sequences = contexts.make(list(self._waiting), is_all=self._exhausted)
            if job.keeps:
                contexts.recall(job.ids[: job.n_fixed])
                job.respell(sequences.spoken)  # which may make it longer
                sequences = contexts.make(list(self._waiting), is_all=self._exhausted)
        needed = need(job)
        if sequences.n_idle < job.n_seq or sequences.context.n_ctx_seq < needed:
            return False
        share = self._share(sequences, job)
        if share is None:
            return False
        if sequences.n_free < needed - share.n_tokens:
            if self._jobs:
                return False
            sequences.forget_prefix()  # it was for others, and takes the room
            share = Share(0, 0, share.began)
        job.start(sequences, share)
        return True

    @property
    def _backlog(self) -> int:
        """How many tokens are to be computed for what runs."""
        return sum(len(run.tokens) - run.at for job in self._jobs for run in job.runs)

    def _share(self, sequences: Sequences, job: Job) -> Share | None:
        """Arrange sequence 0 for a job and return what it gives.

        None: the running jobs, whose cells are counted with sequence 0, must end first.
        """
        began = time.perf_counter()
        old, wanted = sequences.prefix, self._find_prefix(sequences, job)
        if wanted == old and job.keeps:
            sequences.n_kept = len(old)
        if not wanted or wanted == old:
            return Share(len(wanted), len(wanted), began)
        kept = common_prefix_length([old, wanted])
        if kept < len(old) and self._jobs:
            return None
        if sequences.n_free + len(old) - kept < need(job) - kept:
            return None if self._jobs else Share(0, 0, began)
        cached = self._contexts.fill_prefix(wanted, n_fixed=job.n_fixed, keep=job.keeps)
        return Share(len(wanted), cached, began)

    def _find_prefix(self, sequences: Sequences, job: Job) -> tuple[int, ...]:
        """Return what sequence 0 should hold for this job and those that wait behind it."""
        old, ids = sequences.prefix, job.ids
        if job.keeps:
            return ids[:-1]  # one token is left to compute
        best = old if len(old) < len(ids) and ids[: len(old)] == old else ()
        group = [each.ids[:-1] for each in self._waiting]
        common = common_prefix_length(group) if len(group) > 1 else 0
        common = max(common, min(job.n_fixed, len(ids) - 1))
        return ids[:common] if common - len(best) >= _MIN_SHARED else best

    def _step(self) -> Iterator[Event | Scores]:
        """Decode one batch and hand its rows to the jobs."""
        sequences = self._contexts.sequences
        assert sequences is not None
        context = sequences.context
        if context.apart:
            self._close_gaps(sequences)
        batch = context.batch
        batch.clear()
        fed: list[tuple[Job, Run, range]] = []
        for job, run in self._in_order():
            room = min(batch.room, context.n_outputs - batch.n_outputs if run.every else batch.room)
            if room <= 0 or batch.n_outputs >= context.n_outputs:
                break
            tokens = run.tokens[run.at : run.at + room]
            ends = run.at + len(tokens) == len(run.tokens)
            n_outputs = len(tokens) if run.every else int(ends)
            rows = batch.add(tokens, seq=run.seq, pos=run.pos + run.at, n_outputs=n_outputs)
            run.at += len(tokens)
            if n_outputs:
                fed.append((job, run, rows))
        context.decode()
        for job, run, rows in fed:
            if run in job.runs:
                yield from self._guarded(job, job.receive(run, rows))
        self._forget_done()

    def _close_gaps(self, sequences: Sequences) -> None:
        """Let what runs have the first ids: only neighbours are computed together."""
        runs = [run for job in self._jobs for run in job.runs]
        for run in sorted(runs, key=lambda run: run.seq, reverse=True):
            if run.seq <= len(runs):
                return
            run.seq = sequences.move(run.seq)

    def _in_order(self) -> Iterator[tuple[Job, Run]]:
        """Yield what is to be computed: single tokens first, by sequence, then prompts, by age."""
        runs = [(job, run) for job in self._jobs for run in job.runs]
        singles = [each for each in runs if len(each[1].tokens) == 1]
        yield from sorted(singles, key=lambda each: each[1].seq)
        yield from (each for each in runs if len(each[1].tokens) != 1)

    def _guarded(self, job: Job, events: Iterator[Event | Scores]) -> Iterator[Event | Scores]:
        """Let a failing job fail alone."""
        try:
            yield from events
        except LlmtoolError as exc:
            self._raise_if_stopped(exc)
            job.stop()
            yield Failed(job.id, exc)

    def _raise_if_stopped(self, exc: LlmtoolError) -> None:
        """Raise a `Cancelled` that concerns the whole stream."""
        if isinstance(exc, Cancelled) and self._model.cancellation.cancelled:
            raise exc

    def _forget_done(self) -> None:
        self._jobs = [job for job in self._jobs if job.runs or job.is_waiting]
