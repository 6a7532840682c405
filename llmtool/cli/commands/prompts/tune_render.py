"""Print and plot what `prompts tune` tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from llmtool.cli.render import plots, tables
from llmtool.cli.render.plots import BLUE, FAINT, INK, VERMILION
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_count
from llmtool.tuning.results import Trial, Tuning, TuningPlan

_PLOT_WIDTH = 20  # terminal columns
_MAX_TEXT = 60


def plan(console: Console, found: TuningPlan, *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        console.stdout.write_json(msgspec.to_builtins(found))
        return
    schedule = found.schedule
    rounds = [
        (f"round {number}", f"{each.n_candidates} candidates on {each.n_records} records")
        for number, each in enumerate(schedule.rounds, 1)
    ]
    used = f"{found.n_examples} for examples, {found.n_selection} for selection"
    tables.fields(
        console,
        [
            ("template", found.template),
            ("metric", found.metric),
            ("records", f"{found.n_records}: {used}, {found.n_final} for the final figure"),
            *([("duplicates", str(found.n_duplicates))] if found.n_duplicates else []),
            ("examples", f"{schedule.n_examples} records run with the original"),
            ("wordings", f"{schedule.n_written} written by the model"),
            *rounds,
            ("final", f"2 candidates on {schedule.n_final} records"),
            ("records to run", f"at most {found.n_calls} of {found.budget}"),
        ],
    )


def result(console: Console, found: Tuning, *, as_json: bool) -> None:
    """Print the candidates and the final figure as tables with intervals; or all of it as JSON."""
    if as_json:
        console.stdout.write_json(found.to_dict())
        return
    if console.stdout.is_terminal:
        _draw_trials(console, found)
    else:
        for trial in found.trials:
            console.stdout.write("\t".join(_cells(trial)) + "\n")
    best = found.best
    if best.text:
        text = " ".join(best.text.split())
        shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
        console.note(f"wording {best.wording}: {shown}")
    if found.is_better:
        console.note(verdict(found))


def _cells(trial: Trial) -> Iterator[str]:
    """Yield the columns of a line, which has no heading in a pipe."""
    low, high = trial.interval
    yield from (trial.form, trial.examples, trial.wording, str(trial.n_records))
    yield from (f"{trial.score:.3f}", f"{low:.3f}", f"{high:.3f}", _mark(trial))


def _mark(trial: Trial) -> str:
    return "best" if trial.is_best else "original" if trial.is_original else ""


def _draw_trials(console: Console, found: Tuning) -> None:
    scale = f"0{'95 % interval':^{_PLOT_WIDTH - 2}}1"
    tables.table(
        console,
        ["candidate", "records", found.metric, scale],
        [
            (
                trial.name,
                str(trial.n_records),
                f"{trial.score:.3f}",
                f"{interval_line(trial.score, trial.interval)} {_mark(trial)}",
            )
            for trial in found.trials
        ],
        right=["records", found.metric],
    )
    if found.final is None:
        return
    final = found.final
    console.stdout.write("\n")
    tables.table(
        console,
        ["final part", "records", found.metric, scale],
        [
            (name, str(final.n_records), f"{score:.3f}", interval_line(score, interval))
            for name, score, interval in (
                ("original", final.original, final.original_interval),
                ("tuned", final.tuned, final.tuned_interval),
            )
        ],
        right=["records", found.metric],
    )


def interval_line(score: float, interval: tuple[float, float]) -> str:
    """Return a score and its interval as a line from 0 to 1.

    Example:
        >>> interval_line(0.5, (0.25, 0.75))
        '     ─────●─────    '
    """

    def cell(value: float) -> int:
        return min(int(value * _PLOT_WIDTH), _PLOT_WIDTH - 1)

    low, high = map(cell, interval)
    cells = ["─" if low <= i <= high else " " for i in range(_PLOT_WIDTH)]
    cells[cell(score)] = "●"
    return "".join(cells)


def verdict(found: Tuning) -> str:
    """Return in one line whether the best candidate is better than the original."""
    name, final = found.template, found.final
    if final is None:
        n = found.best.n_records
        return f"no candidate is better than {name!r} on the {n} records for selection"
    low, high = final.difference_interval
    figures = (
        f"{found.metric} {final.original:.3f} → {final.tuned:.3f} "
        f"on {format_count(final.n_records, 'record')} not used for tuning, "
        f"difference {final.difference:+.3f} ({low:+.2f} to {high:+.2f})"
    )
    if not found.is_better:
        return f"the best candidate is not better than {name!r}: {figures}"
    if not final.is_certain:
        return f"{figures}; this may be chance, add records to be sure"
    return figures


def check_plot(console: Console, path: str, *, reads: Iterable[str], overwrite: bool) -> None:
    """Check that a plot can be written.

    Raises:
        UsageError: the extension is unknown, matplotlib is not installed, or the file exists.
        OutputError: the folder does not exist.
    """
    plots.check(console, path, reads=reads, overwrite=overwrite)


def draw(console: Console, found: Tuning, path: str) -> None:
    """Plot the mean scores of the candidates by the number of records, and the final figure."""
    plots.save(console, path, lambda figure: _paint(figure, found), size=(9.6, 5.0))


def _paint(figure: Any, found: Tuning) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[3, 1], sharey=True)
    title = f"{found.template} on {found.model}: {found.n_calls} records run"
    figure.text(0.02, 0.95, title, fontsize=12, fontweight="bold", color=INK)
    figure.text(0.02, 0.90, verdict(found), fontsize=9, color=FAINT)
    for trial in reversed(found.trials):
        style: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "alpha": 0.6}
        if trial.is_original:
            style = {"color": VERMILION, "linewidth": 2.0, "label": "original"}
        if trial.is_best:
            style = {"color": BLUE, "linewidth": 2.0, "label": f"best: {trial.name}"}
        numbers = list(map(int, trial.scores))
        left.plot(numbers, list(trial.scores.values()), marker="o", markersize=4, **style)
    left.set(xlabel="records for selection", ylabel=f"mean {found.metric}", ylim=(0, 1.03))
    left.legend(loc="lower right", frameon=False, fontsize=8)
    if found.final is not None:
        final = found.final
        for x, value, (low, high), color in (
            (0, final.original, final.original_interval, VERMILION),
            (1, final.tuned, final.tuned_interval, BLUE),
        ):
            error = [[value - low], [high - value]]
            right.errorbar(x, value, yerr=error, fmt="o", color=color, capsize=4)
        right.set_xlabel(f"final part, {final.n_records} records")
    right.set_xticks([0, 1], ["original", "tuned"])
    right.set_xlim(-0.6, 1.6)
    for axes in (left, right):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
