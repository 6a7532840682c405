"""Tune a template: plan the run, search by successive halving, and measure the best candidate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec

from llmtool._version import __version__
from llmtool.arguments import check_range
from llmtool.errors import InputError
from llmtool.prompts.schema import TunedFile
from llmtool.prompts.template import Template
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.output_spec import output_spec_of
from llmtool.tasks.pipeline.prepare import SCHEMA_INPUT
from llmtool.tuning import calibration
from llmtool.tuning.candidates import Candidate, combine, list_candidates, make_example_sets
from llmtool.tuning.child import Original
from llmtool.tuning.metrics import (
    Metric,
    choose_metric,
    difference_interval,
    mean,
    wilson_interval,
)
from llmtool.tuning.records import Data, Parts, divide, interleave, read_data
from llmtool.tuning.results import Comparison, Trial, Tuning, TuningPlan
from llmtool.tuning.runs import Run, Runner
from llmtool.tuning.schedule import make_schedule, may_combine
from llmtool.tuning.wordings import given_wordings, write_wordings

DEFAULT_BUDGET = 500
MAX_WRITTEN = 16
OnProgress = Callable[[int, int], object]  # (records run, records to run at most)
DataSource = str | os.PathLike[str] | Iterable[Mapping[str, Any]]


class TuneOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a template is tuned; `Toolbox.tune` documents the options."""

    metric: str | None = None
    budget: int = DEFAULT_BUDGET
    variants: Sequence[str] = ()
    written: int = 2
    name: str | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A template to tune with its data, checked and planned, before a model runs."""

    original: Original
    data: Data
    parts: Parts
    metric: Metric
    options: TuneOptions
    plan: TuningPlan
    name: str


def prepare(
    template: Original,
    data: DataSource,
    options: TuneOptions,
    *,
    model_name: str | None,
) -> Task:
    """Read the data of a template, and plan the run.

    Raises:
        InputError: the data cannot be read, has an invalid record, or too few records.
        UsageError: an option is out of range, or does not suit the template.
    """
    check_range("budget", options.budget, 1)
    check_range("written", options.written, 0, MAX_WRITTEN)
    original = template.for_model(model_name)
    read = read_data(data, original.template)
    metric = choose_metric(options.metric, read.records, original.template.output)
    given_wordings(original.template, options.variants)
    parts = divide(read.records)
    schedule = make_schedule(
        options.budget,
        n_examples=len(parts.examples),
        n_written=options.written,
        n_selection=len(parts.selection),
        n_final=len(parts.final),
        n_labels=len(original.template.output.labels),
    )
    plan = TuningPlan(
        template=original.template.name,
        metric=metric,
        budget=options.budget,
        n_records=len(read.records),
        n_duplicates=parts.n_duplicates,
        n_examples=len(parts.examples),
        n_selection=len(parts.selection),
        n_final=len(parts.final),
        schedule=schedule,
        n_calls=schedule.n_calls,
    )
    return Task(
        original=original,
        data=read,
        parts=parts,
        metric=metric,
        options=options,
        plan=plan,
        name=options.name or f"{original.template.name}-tuned",
    )


def tune(context: TaskContext, task: Task, *, on_progress: OnProgress | None = None) -> Tuning:
    """Tune a template; see `Toolbox.tune`."""
    started = time.perf_counter()

    def on_call(n_calls: int) -> None:
        if on_progress is not None:
            on_progress(n_calls, task.plan.n_calls)

    runner = Runner(context, task.metric, on_call)
    search = _Search(context, task, runner)
    trials = search.run()
    best = trials[0]
    labels = list(task.original.template.output.labels)
    selection = task.parts.selection[: len(best.runs)]
    fitted = calibration.fit_if_better(best.runs, selection, labels) if labels else None
    final = None
    if fitted is not None or best is not search.original:
        records = task.parts.final[: task.plan.schedule.n_final]
        before = runner.run(search.original.template, records, is_original=True)
        after = before
        if best is not search.original:
            after = runner.run(best.template, records)
        scores = [run.score for run in after]
        if fitted is not None:
            scores = calibration.calibrated_scores(fitted, after, records, labels)
        final = compare([run.score for run in before], scores)
    is_better = final is not None and final.difference > 0
    tuned = None if final is None else _provenance(task, context.model.name, final)
    text = task.original.text(task.name, best.changes, tuned)
    if fitted is not None and is_better:
        made = task.original.make(task.name, best.changes)
        calibration.save(context, made, best.runs, selection)
    return Tuning(
        template=task.original.template.name,
        name=task.name,
        model=context.model.name,
        metric=task.metric,
        plan=task.plan,
        trials=tuple(
            each.trial(is_original=each is search.original, is_best=each is best) for each in trials
        ),
        is_calibrated=fitted is not None,
        final=final,
        is_better=is_better,
        n_calls=runner.n_calls,
        seconds=time.perf_counter() - started,
        text=text,
    )


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Compare the scores of the same records with the original and with the tuned template.

    Example:
        >>> compare([0.0, 0.0, 1.0], [1.0, 1.0, 1.0]).difference
        0.6666666666666667
    """
    return Comparison(
        n_records=len(before),
        original=mean(before),
        original_interval=wilson_interval(before),
        tuned=mean(after),
        tuned_interval=wilson_interval(after),
        difference=mean(after) - mean(before),
        difference_interval=difference_interval(before, after),
    )


def _provenance(task: Task, model: str, final: Comparison) -> TunedFile:
    low, high = final.tuned_interval
    return TunedFile(
        original_sha256=task.original.sha256,
        data=task.data.name,
        data_sha256=task.data.sha256,
        model=model,
        metric=task.metric,
        budget=task.options.budget,
        n_final=final.n_records,
        score=round(final.tuned, 4),
        interval=(round(low, 4), round(high, 4)),
        original_score=round(final.original, 4),
        date=datetime.now(timezone.utc).date().isoformat(),
        version=__version__,
    )


def _schema_of(template: Template) -> dict[str, str]:
    """Return the description of the JSON, which `prepare` sets for a prompt, for its examples."""
    if template.output.json is None or SCHEMA_INPUT not in template.inputs:
        return {}
    spec = output_spec_of(template.output)
    return {} if spec is None else {SCHEMA_INPUT: spec.description}


class _State:
    """A candidate with its template and the runs of the first records."""

    def __init__(
        self, candidate: Candidate, template: Template, changes: Mapping[str, Any]
    ) -> None:
        self.candidate, self.template, self.changes = candidate, template, changes
        self.runs: list[Run] = []
        self.scores: dict[str, float] = {}

    @property
    def score(self) -> float:
        return mean([run.score for run in self.runs])

    def trial(self, *, is_original: bool, is_best: bool) -> Trial:
        values = [run.score for run in self.runs]
        return Trial(
            form=self.candidate.form,
            examples=self.candidate.examples.name,
            n_examples=len(self.changes.get("examples", self.template.examples)),
            wording=self.candidate.wording.name,
            text=self.candidate.wording.text,
            n_records=len(values),
            score=mean(values),
            interval=wilson_interval(values),
            scores=self.scores,
            is_original=is_original,
            is_best=is_best,
        )


class _Search:
    """The search of one run."""

    def __init__(self, context: TaskContext, task: Task, runner: Runner) -> None:
        self._context, self._task, self._runner = context, task, runner
        template = task.original.template
        self.original = _State(Candidate(form=template.form), template, {})
        self._known: set[bytes] = {msgspec.json.encode(self.original.candidate)}

    def run(self) -> list[_State]:
        """Return all candidates, those of the last round first, best first.

        Of equal scores, the candidate that was listed first is first: the original, then small
        changes.
        """
        rounds = self._task.plan.schedule.rounds
        found = self._candidates()
        alive = [self.original, *self._states(found[1:], rounds[0].n_candidates - 1)]
        done: list[_State] = []
        for number, each in enumerate(rounds, 1):
            for state in alive:
                self._extend(state, each.n_records)
            ranked = sorted(alive, key=lambda state: -state.score)
            if number == len(rounds):
                return [*ranked, *done]
            new: list[_State] = []
            if may_combine(number, rounds[0].n_candidates):
                new = self._states([combine([(s.candidate, s.score) for s in alive])], 1)
            others = [state for state in ranked if state is not self.original]
            n_others = rounds[number].n_candidates - 1 - len(new)
            done = others[n_others:] + done
            alive = [state for state in alive if state not in done] + new
        raise AssertionError("a schedule has rounds")

    def _candidates(self) -> list[Candidate]:
        task, template = self._task, self._task.original.template
        pool = interleave(task.parts.examples)
        runs = self._runner.run(template, pool[: task.plan.schedule.n_examples], is_original=True)
        tried = list(zip(pool, runs, strict=False))
        if tried and all(run.answer.error is not None for _, run in tried):
            raise InputError(f"every record fails; the first: {tried[0][1].answer.error}")
        solved = {record.key: run.answer.reply.text for record, run in tried if run.score == 1}
        missed = {record.key for record, run in tried if run.score < 1}
        sets = make_example_sets(
            pool, solved, missed, output=template.output, defaults=_schema_of(template)
        )
        wordings = given_wordings(template, task.options.variants)
        written, n_replies = write_wordings(self._context, template, task.options.written)
        self._runner.count(n_replies)
        wordings += written
        return list_candidates(template, sets, wordings)

    def _states(self, candidates: Iterable[Candidate], n: int) -> list[_State]:
        """Return the first `n` new candidates; those that the model wrote must be valid."""
        made: list[_State] = []
        original = self._task.original
        for candidate in candidates:
            key = msgspec.json.encode(candidate)
            if len(made) == n or key in self._known:
                continue
            self._known.add(key)
            changes = candidate.changes(original.template)
            made.append(_State(candidate, original.make(self._task.name, changes), changes))
        return made

    def _extend(self, state: _State, n_records: int) -> None:
        """Run a candidate on the first `n_records`, in one batch."""
        records = self._task.parts.selection[len(state.runs) : n_records]
        state.runs += self._runner.run(state.template, records, is_original=state is self.original)
        state.scores[str(len(state.runs))] = state.score
