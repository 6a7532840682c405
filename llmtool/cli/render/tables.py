"""What is drawn on a terminal: tables, fields, and what rich makes of anything."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from llmtool.cli.terminal import console as output

if TYPE_CHECKING:
    from rich.console import Console

_NARROW = 60  # columns; a table of five needs more
_BESIDE = 24  # columns that a value needs to stand beside its name


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Write rows: a table on a terminal, tab-separated without a heading in a pipe."""
    if not output.is_terminal(output.STDOUT):
        for row in rows:
            output.stdout.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    if _terminal_width() < _NARROW:  # the last column is the longest: below, under its name
        fields(pair for row in rows for pair in [*zip(columns, row, strict=True), ("", "")])
        return
    for name in columns:
        is_right = name in right
        justify: Literal["left", "right"] = "right" if is_right else "left"
        grid.add_column(name, justify=justify, no_wrap=is_right, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(output.show_controls(cell)) for cell in row))
    draw(grid)


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values: side by side on a terminal, one under the other where it is narrow,
    tab-separated in a pipe.
    """
    pairs = list(pairs)
    if not output.is_terminal(output.STDOUT):
        for name, value in pairs:
            output.stdout.write(f"{name}\t{' '.join(value.split())}\n")
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    longest = max((len(name) for name, _ in pairs), default=0)
    is_narrow = make_console().width - longest < _BESIDE
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=not is_narrow, overflow="fold")
    if not is_narrow:
        grid.add_column(overflow="fold")
    for name, value in pairs:
        text = Text(output.show_controls(value))
        if is_narrow:
            grid.add_row(name)
            if value:
                grid.add_row(Padding(text, (0, 0, 0, 2)), style="not bold")
        else:
            grid.add_row(name, text)
    draw(grid)


def draw(renderable: object) -> None:
    """Write something of rich's to stdout."""
    console = make_console()
    with console.capture() as captured:
        console.print(renderable)
    draw_text(captured.get())


def draw_text(text: str) -> None:
    """Write to a terminal what was drawn for it already."""
    output.write_all(text.encode("utf-8", "replace"))


def make_console(width: int | None = None) -> Console:
    """Return rich's console for stdout: our colours, any width, no markup read from data."""
    from rich.console import Console

    colored = output.use_color(output.STDOUT)
    width = width or _terminal_width()
    return Console(
        force_terminal=colored,
        no_color=not colored,
        color_system="standard" if colored else None,
        width=max(width, 20),
        markup=False,
        emoji=False,
        highlight=False,
    )


def _terminal_width() -> int:
    if os.environ.get("COLUMNS", "").isdigit() and int(os.environ["COLUMNS"]) > 0:
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(output.STDOUT).columns or 80
    except OSError:
        return 80


def terminal_size() -> tuple[int, int]:
    """Return the columns and lines of the terminal on stdout."""
    try:
        size = os.get_terminal_size(output.STDOUT)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24
