"""Print the rows of a benchmark."""

from __future__ import annotations

from llmtool.bench.measure import Row
from llmtool.bench.report import Report
from llmtool.cli.render import tables
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_count


def table(console: Console, report: Report) -> None:
    """Print the rows: a table on a terminal, tab-separated in a pipe."""
    console.note(report.title)
    console.note(report.machine_title)
    tables.table(
        console,
        ["measurement", "median", "unit", "min", "max", "speedup", "test"],
        [
            (
                row.description,
                _number(row.median, row.unit),
                "MB" if row.unit == "bytes" else row.unit,
                *_spread(row),
                "-" if row.ratio is None else f"{row.ratio:.2f}",
                row.test,
            )
            for row in report.rows
        ],
        right=["median", "min", "max", "speedup"],
    )
    times = report.plan.repetitions
    console.note(f"{report.seconds:.0f} s, {format_count(times, 'repetition')}")


def _spread(row: Row) -> tuple[str, str]:
    if len(row.values) == 1:
        return "-", "-"
    return _number(min(row.values), row.unit), _number(max(row.values), row.unit)


def _number(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 1e6:.1f}"
    return f"{value:.3f}" if unit == "s" else f"{value:.1f}"
