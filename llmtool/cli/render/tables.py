"""Tables and fields: formatted with Rich on a terminal, tab-separated in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.text import escape_control_chars
from llmtool.cli.terminal.wrap import split_offsets

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.containers import Lines
    from rich.text import Text

MIN_TABLE_WIDTH = 60  # terminal columns; with less, each cell gets a line
_MIN_VALUE_WIDTH = 24  # terminal columns; with less, values go below their names


def table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
) -> None:
    """Write a table to a terminal, or tab-separated rows without a heading to a pipe.

    `right` names the columns that are aligned to the right.
    """
    if not console.stdout.is_terminal:
        for row in rows:
            console.stdout.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")
        return
    from rich.table import Table

    Text = text_class()
    grid = Table(box=None, pad_edge=False, header_style="bold")
    if console.width < MIN_TABLE_WIDTH:
        fields(
            console, (pair for row in rows for pair in [*zip(columns, row, strict=True), ("", "")])
        )
        return
    for name in columns:
        is_right = name in right
        justify: Literal["left", "right"] = "right" if is_right else "left"
        grid.add_column(name, justify=justify, no_wrap=is_right, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(escape_control_chars(cell)) for cell in row))
    draw(console, grid)


def fields(console: Console, pairs: Iterable[tuple[str, str]]) -> None:
    """Write names and values in two columns; below each other in a narrow terminal.

    A pipe receives them tab-separated.
    """
    pairs = list(pairs)
    if not console.stdout.is_terminal:
        for name, value in pairs:
            console.stdout.write(f"{name}\t{' '.join(value.split())}\n")
        return
    from rich.padding import Padding
    from rich.table import Table

    Text = text_class()
    longest = max((len(name) for name, _ in pairs), default=0)
    is_narrow = make_rich_console(console).width - longest < _MIN_VALUE_WIDTH
    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=not is_narrow, overflow="fold")
    if not is_narrow:
        grid.add_column(overflow="fold")
    for name, value in pairs:
        text = Text(escape_control_chars(value))
        if is_narrow:
            grid.add_row(Text(escape_control_chars(name)))
            if value:
                grid.add_row(Padding(text, (0, 0, 0, 2)), style="not bold")
        else:
            grid.add_row(Text(escape_control_chars(name)), text)
    draw(console, grid)


def draw(console: Console, renderable: object) -> None:
    """Write a Rich renderable to stdout."""
    rich = make_rich_console(console)
    with rich.capture() as captured:
        rich.print(renderable)
    console.stdout.write_raw(captured.get())


@lru_cache(maxsize=1)
def text_class() -> type[Text]:
    """Return Rich's Text class, changed to wrap Chinese and Japanese text as `wrap` does."""
    from rich.containers import Lines
    from rich.text import Text

    class WrappedText(Text):
        def wrap(self, console: RichConsole, width: int, **options: Any) -> Lines:
            if options.get("no_wrap") or str(self).isascii():
                return super().wrap(console, width, **options)
            justify = options.get("justify") or self.justify or "left"
            lines = Lines()
            for line in self.split(allow_blank=True):
                rows = line.divide(split_offsets(line.plain, width))
                for row in rows:
                    row.rstrip_end(width)
                rows.justify(console, width, justify=justify, overflow="fold")
                lines.extend(rows)
            return lines

    return WrappedText


def make_rich_console(console: Console, width: int | None = None) -> RichConsole:
    """Return a Rich console for stdout with our colour settings; markup in data is not parsed."""
    from rich.console import Console as RichConsole
    from rich.theme import Theme

    colored = console.stdout_color
    return RichConsole(
        force_terminal=colored,
        no_color=not colored,
        color_system="standard" if colored else None,
        width=max(width or console.width, 20),
        markup=False,
        emoji=False,
        highlight=False,
        # Rich's default is black behind code, also on a light terminal.
        theme=Theme({"markdown.code": "bold cyan", "markdown.code_block": "cyan"}),
    )
