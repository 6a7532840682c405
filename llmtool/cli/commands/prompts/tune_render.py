"""Print and plot what `prompts tune` tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from llmtool.cli.render import plots, tables
from llmtool.cli.render.classification import bar
from llmtool.cli.render.plots import BLUE, FAINT, INK, VERMILION
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_count
from llmtool.tuning.results import Comparison, Trial, Tuning, TuningPlan

_BAR_WIDTH = 20
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
    """Print the candidates as a table with bars, and the final figure; or all of it as JSON."""
    if as_json:
        console.stdout.write_json(found.to_dict())
        return
    tables.table(
        console,
        ["form", "examples", "wording", "records", found.metric, "95 % interval", ""],
        [_row(each, bars=console.stdout.is_terminal) for each in found.trials],
        right=["records", found.metric],
    )
    if console.stdout.is_terminal and found.final is not None:
        console.stdout.write("\n")
        _draw_final(console, found.final)
    for each in found.trials:
        if each.wording != "original" and each.is_best:
            text = " ".join(each.text.split())
            shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
            console.note(f"wording {each.wording}: {shown}")
    if found.is_better:
        console.note(verdict(found))


def _row(trial: Trial, *, bars: bool) -> tuple[str, ...]:
    low, high = trial.interval
    examples = f"original ({trial.n_examples})" if trial.examples == "original" else trial.examples
    mark = "best" if trial.is_best else "original" if trial.is_original else ""
    return (
        trial.form,
        examples,
        trial.wording,
        str(trial.n_records),
        f"{trial.score:.3f}",
        f"{low:.2f} to {high:.2f}",
        f"{bar(trial.score, _BAR_WIDTH)} {mark}".rstrip() if bars else mark,
    )


def _draw_final(console: Console, final: Comparison) -> None:
    rows = [
        ("original", final.original, final.original_interval),
        ("tuned", final.tuned, final.tuned_interval),
    ]
    tables.table(
        console,
        [f"final, {format_count(final.n_records, 'record')}", "score", "", "95 % interval"],
        [
            (name, f"{value:.3f}", bar(value, _BAR_WIDTH), f"{low:.2f} to {high:.2f}")
            for name, value, (low, high) in rows
        ],
        right=["score"],
    )


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


def check_plot(path: str, *, reads: Iterable[str], overwrite: bool) -> None:
    """Check that a plot can be written.

    Raises:
        UsageError: the extension is unknown, matplotlib is not installed, or the file exists.
        OutputError: the folder does not exist.
    """
    plots.check(path, reads=reads, overwrite=overwrite)


def draw(found: Tuning, path: str) -> None:
    """Plot the mean scores of the candidates by the number of records, and the final figure."""
    plots.save(path, lambda figure: _paint(figure, found), size=(9.6, 5.0))


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
