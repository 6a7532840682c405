"""Plot the speed of parallel replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtool.cli.render import plots
from llmtool.cli.render.plots import BLUE, FAINT, VERMILION
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError

if TYPE_CHECKING:
    from llmtool.bench.report import Report


def check(
    console: Console, path: str, n_parallel: tuple[int, ...] | None, *, overwrite: bool
) -> None:
    """Check that a plot can be written, before measuring.

    Raises:
        UsageError: the extension is unknown, matplotlib is not installed, the file exists, or all
            numbers are 1.
        OutputError: the folder does not exist.
    """
    if n_parallel is not None and max(n_parallel) == 1:
        raise UsageError("--plot needs more than 1 parallel reply; use --parallel 1,4,16")
    plots.check(console, path, overwrite=overwrite)


def draw(console: Console, report: Report, path: str) -> None:
    """Plot speed by number of parallel replies, with the ideal scaling.

    Raises:
        OutputError: the file cannot be written.
    """
    plots.save(console, path, lambda figure: _scaling(figure, report), size=(7.6, 5.2))


def _scaling(figure: Any, report: Report) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rows = [row for row in report.rows if row.kind == "parallel"]
    sizes, speeds = [row.n_parallel for row in rows], [row.median for row in rows]
    first, last = sizes[0], sizes[-1]
    low = min(min(row.values) for row in rows) / 2
    high = max(max(speeds) * 2.4, speeds[0] * 4)
    axes = figure.add_subplot()
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.plot([first, last], [speeds[0], speeds[0] * last], "--", color=VERMILION, linewidth=1.4)
    spread = [
        [row.median - min(row.values) for row in rows],
        [max(row.values) - row.median for row in rows],
    ]
    axes.errorbar(
        *(sizes, speeds),
        yerr=spread,
        color=BLUE,
        marker="o",
        markersize=6.5,
        linewidth=2.2,
        elinewidth=1.2,
        capsize=3,
        zorder=3,
    )
    for row in rows:
        label = f"{row.median:,.0f}" if row.median >= 10 else f"{row.median:.1f}"
        if row.ratio is not None and row.n_parallel > 1:
            label += f"\n\u00d7{row.ratio:.2f}"
        axes.annotate(
            *(label, (row.n_parallel, min(row.values))),
            xytext=(0, -8),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=9.5,
            linespacing=1.25,
        )
    axes.set_ylim(low, high)
    axes.set_xlim(first / 1.3, last * 1.3)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.yaxis.set_major_locator(FixedLocator(_round_numbers(low, high)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("parallel replies")
    axes.set_ylabel("tokens per second, total")
    _label_ideal(axes, speeds[0], last=last, top=high)
    _title(figure, report)


def _round_numbers(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten that lie in a range.

    Example:
        >>> _round_numbers(3, 60)
        [5.0, 10.0, 20.0, 50.0]
    """
    numbers = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    return [number for number in numbers if low <= number <= high]


def _label_ideal(axes: Any, speed: float, *, last: int, top: float) -> None:
    """Label the dashed line, on its right unless it ends there."""
    leaves_at = top / speed
    on_the_right = leaves_at < last**0.6
    axes.annotate(
        *("ideal: no slowdown per reply", (min(leaves_at, last), min(top, speed * last))),
        xytext=(8 if on_the_right else -28, -4),
        textcoords="offset points",
        ha="left" if on_the_right else "right",
        va="top",
        color=VERMILION,
        fontsize=9.5,
    )


def _title(figure: Any, report: Report) -> None:
    times = report.plan.repetitions
    method = f"greedy replies of {report.plan.n_parallel_reply} tokens, " + (
        "measured once" if times == 1 else f"median and range of {times}"
    )
    if report.is_disturbed:
        method += f"; other programs used {report.machine['other_programs_cpus']:.1f} processors"
    for text, y, size, max_length, options in (
        (report.title, 0.975, 13, 64, {"fontweight": "bold"}),
        (
            f"{report.machine_title}\n{method}",
            0.915,
            9.5,
            100,
            {"color": FAINT, "linespacing": 1.45},
        ),
    ):
        length = max(len(line) for line in text.splitlines())
        size *= min(1, max_length / length)
        figure.text(*(0.018, y, text), va="top", fontsize=size, **options)
