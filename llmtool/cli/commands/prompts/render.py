"""Print test outcomes: a table per template on a terminal, lines in a pipe, or JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from llmtool.cli.render import tables
from llmtool.cli.render.github import annotation
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.text import cell_width, escape_control_chars, truncate_to_width
from llmtool.errors import OutputValidationError
from llmtool.evals import Outcome
from llmtool.sizes import format_count

_MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "error": ("✗", "red")}
_MARKS |= {"known": ("~", "yellow")}
_MAX_SHOWN_FAILURES = 5
_MAX_COLUMNS = 200


def live(
    console: Console, outcomes: Iterable[Outcome], *, as_json: bool, github: bool = False
) -> None:
    """Show the outcomes of one template on one model.

    In a pipe, each line is printed at once; on a terminal, the table is printed at the end, also if
    the run ends early. With `github`, only failed tests are printed, as annotations.
    """
    seen = []
    try:
        for outcome in outcomes:
            seen.append(outcome)
            if github:
                if outcome.is_bad:
                    console.stdout.write(_annotation(outcome))
            elif not as_json and not console.stdout.is_terminal:
                console.stdout.write("\t".join(_cells(outcome)) + "\n")
    finally:
        console.status("")
        if seen and not as_json and not github and console.stdout.is_terminal:
            with console.interrupts.completing_output():
                _table(console, seen)


def summary(
    console: Console, outcomes: Sequence[Outcome], *, seconds: float, as_json: bool
) -> None:
    """Print all outcomes as JSON, or the number of passed tests on stderr."""
    counts = {
        status: sum(outcome.status == status for outcome in outcomes)
        for status in ("passed", "failed", "error", "known")
    }
    n_bad = counts["failed"] + counts["error"]
    if as_json:
        console.stdout.write_json(
            {
                "passed": not n_bad,
                "counts": counts,
                "seconds": round(seconds, 3),
                "tests": msgspec.to_builtins(outcomes),
            }
        )
    if n_bad:
        errors = f" ({counts['error']} with an error)" if counts["error"] else ""
        raise OutputValidationError(
            f"{n_bad} of {format_count(len(outcomes), 'test')} failed{errors}"
        )
    if not as_json:
        known = f", {format_count(counts['known'], 'known failure')}" if counts["known"] else ""
        is_cached = all(outcome.n_cached == outcome.n for outcome in outcomes)
        time = "all replies cached" if is_cached else f"{seconds:.1f} s"
        console.note(f"{format_count(counts['passed'], 'test')} passed{known} ({time})")


def _cells(outcome: Outcome) -> Iterator[str]:
    """Yield the columns of a line: status, template, model, test, metrics, reason.

    The line of a failed test continues with the expected and the actual values.
    """
    metrics = " ".join(f"{name}={value:.3f}" for name, value in outcome.metrics.items())
    for cell in (
        outcome.status, outcome.template, outcome.model, outcome.name, metrics, outcome.reason,
    ):  # fmt: skip
        yield " ".join(cell.split())
    values = outcome.failures[0].values if outcome.failures and outcome.is_bad else []
    for column in zip(*values, strict=True):
        yield " ".join("; ".join(dict.fromkeys(column)).split())


def _annotation(outcome: Outcome) -> str:
    lines = [outcome.reason]
    for failure in outcome.failures[:1]:
        for expected, actual in failure.values:
            lines += [f"expected: {expected}"] if expected else []
            lines.append(f"actual: {actual}")
    where = f" on {outcome.model}" if outcome.model else ""
    return annotation(
        "error",
        "\n".join(lines),
        title=f"{outcome.template}{where}: {outcome.name}",
        file=outcome.file,
        line=outcome.line,
    )


def _table(console: Console, outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    names = (outcomes[0].template, outcomes[0].model)
    tables.draw(
        console,
        Text(escape_control_chars(" on ".join(filter(None, names))), style="bold"),
    )
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for outcome in outcomes:
        mark, style = _MARKS[outcome.status]
        grid.add_row(Text(mark, style=style), Text(_line(outcome.name)), Text(_describe(outcome)))
    tables.draw(console, grid)
    for outcome in outcomes:
        if outcome.is_bad:
            for line in _details(outcome):
                console.stdout.write(line + "\n")


def _describe(outcome: Outcome) -> str:
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in outcome.metrics.items())
    n = f"{outcome.n} replies" if outcome.n > 1 else ""
    return "; ".join(filter(None, [metrics, n, _line(outcome.reason)]))


def _details(outcome: Outcome) -> Iterator[str]:
    """Yield the expected and the actual reply of the first failures."""
    shown = [failure for failure in outcome.failures if failure.text is not None or outcome.n > 1]
    if shown:
        yield f"  {_line(outcome.name)}  ({outcome.file}:{outcome.line})"
    for failure in shown[:_MAX_SHOWN_FAILURES]:
        if outcome.n > 1:
            yield f"    {_line(failure.case)}: {_line(failure.reason)}"
        for expected, actual in failure.values:
            if expected:
                yield f"      expected: {_line(expected)}"
            yield f"      actual:   {_line(actual)}"
    if outcome.n_failed > _MAX_SHOWN_FAILURES:
        n_more = outcome.n_failed - _MAX_SHOWN_FAILURES
        yield f"    and {n_more} more (--json and --junit list up to 20)"


def _line(text: str) -> str:
    """Return text as one line without control characters."""
    text = escape_control_chars(text.strip().replace("\n", "⏎").replace("\t", " "))
    if cell_width(text) <= _MAX_COLUMNS:
        return text
    return truncate_to_width(text, _MAX_COLUMNS - 1) + "…"
