"""Markdown on a terminal while it is written.

Text is shown as it comes. When a paragraph, an item or a table is complete, its rows are taken back
and it is drawn; the lines of a code block are drawn one by one. Only rows that are still on the
screen are ever taken back, in the same write that draws what replaces them: nothing flickers, and
what has scrolled away stays as it is. But: a block that is higher than the screen keeps the form
that it came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from llmtool.cli.terminal.text import escape_control_chars

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.markdown import Markdown
    from rich.text import Text

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$")
_ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])\s+(?=\S)")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*$")
_RULE = re.compile(r" {0,3}([-*_])(?:\s*\1){2,}\s*$")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
_TAB = "    "


class MarkdownStream:
    """Draws Markdown that comes in pieces.

    Args:
        write: writes to the terminal.
        size: returns its (columns, lines).
        console: makes rich's console of a width.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        size: Callable[[], tuple[int, int]],
        console: Callable[[int], Console],
    ) -> None:
        self._write, self._size, self._console = write, size, console
        self._block: list[str] = []  # complete lines that are shown as they came
        self._line = ""  # the beginning of the next one, shown as well
        self._fence = ""  # what closes the open code block
        self._language = ""
        self._code: list[str] = []
        self._out = ""
        self._held = ""  # a CR that may be the first half of a line end

    def push(self, text: str) -> None:
        """Show the next piece of a reply."""
        text = (self._held + text).replace("\r\n", "\n")
        self._held = "\r" if text.endswith("\r") else ""
        text = escape_control_chars(text.removesuffix("\r")).replace("\t", _TAB)
        *lines, rest = text.split("\n")
        for line in lines:
            self._out += line + "\n"
            self._take(self._line + line)
            self._line = ""
        self._out += rest
        self._line += rest
        self._flush()

    def end(self) -> None:
        """Draw what is left; the cursor is at the beginning of a line afterwards."""
        if self._held:
            self._held = ""
            self._out += escape_control_chars("\r")
            self._line += escape_control_chars("\r")
        if self._line:
            self._out += "\n"
            self._take(self._line)
            self._line = ""
        self._draw_block()
        self._flush()
        self._fence, self._code = "", []

    def _flush(self) -> None:
        if self._out:
            self._write(self._out)
            self._out = ""

    def _take(self, line: str) -> None:
        """Take a line that is complete, and shown with its newline."""
        if self._fence:
            self._take_code(line)
            return
        if self._block and _begins_anew(line, self._block):
            self._draw_block(below=line)
        fence = _FENCE.match(line)
        if fence:
            self._fence, self._language, self._code = fence[1], fence[2], []
            self._replace([line], _dim(line))
        elif not line.strip():
            return
        else:
            self._block.append(line)
            if _HEADING.match(line) or _RULE.match(line):
                self._draw_block()

    def _take_code(self, line: str) -> None:
        if re.fullmatch(rf" {{0,3}}{re.escape(self._fence[0])}{{{len(self._fence)},}}\s*", line):
            self._fence = ""
            self._replace([line], _dim(line))
            return
        self._code.append(line)
        self._replace([line], _highlight(self._code, self._language))

    def _draw_block(self, below: str | None = None) -> None:
        """Draw the block whose lines are shown, above one more line that stays as it is."""
        if self._block:
            lines, self._block = self._block, []
            kept = [] if below is None else [below]
            self._replace(lines, _render(lines), kept=kept)

    def _replace(
        self, lines: list[str], drawn: RenderableType, *, kept: list[str] | None = None
    ) -> None:
        """Put `drawn` in the place of lines that end above the cursor, and `kept` ones after it."""
        columns, height = self._size()
        kept = kept or []
        n_rows = sum(rows(line, columns) for line in [*lines, *kept])
        if n_rows >= height:
            return
        console = self._console(columns)
        is_code = bool(self._fence)  # the terminal breaks its lines, wherever they are full
        with console.capture() as captured:
            console.print(drawn, soft_wrap=is_code)
        text = captured.get().strip("\n") + "\n" + "".join(f"{line}\n" for line in kept)
        self._out += f"\r\x1b[{n_rows}A\x1b[J{text}"


def rows(line: str, columns: int) -> int:
    """Return how many rows of a terminal a line takes; wide characters are never split.

    Example:
        >>> rows("", 10), rows("x" * 10, 10), rows("x" * 11, 10), rows("字" * 3, 5)
        (1, 1, 2, 2)
    """
    from rich.cells import get_character_cell_size

    n_rows, used = 1, 0
    for character in line:
        width = get_character_cell_size(character)
        if used + width > columns:
            n_rows, used = n_rows + 1, 0
        used += width
    return n_rows


def _begins_anew(line: str, block: list[str]) -> bool:
    """Whether a line is no part of the block before it."""
    if not line.strip() or _FENCE.match(line) or _HEADING.match(line) or _RULE.match(line):
        return True
    if _ITEM.match(line):
        return True
    return any(
        line.lstrip().startswith(mark) != block[0].lstrip().startswith(mark) for mark in "|>"
    )


def _render(lines: list[str]) -> RenderableType:
    from rich.padding import Padding
    from rich.rule import Rule
    from rich.table import Table

    if _RULE.match(lines[0]):
        return Rule(style="dim", characters="-")
    heading = _HEADING.match(lines[0])
    if heading:
        return _inline(heading[2], style="bold underline" if len(heading[1]) == 1 else "bold")
    item = _ITEM.match(lines[0])
    if item:
        bullet = "•" if item[2] in "-*+" else item[2]
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        rest = [lines[0][item.end() :], *(line.strip() for line in lines[1:])]
        grid.add_row(bullet, _inline("\n".join(rest)))
        return Padding(grid, (0, 0, 0, min(len(item[1]), 12)), expand=False)
    if lines[0].lstrip().startswith(("|", ">")):
        return _whole_cells()(_literal_html("\n".join(lines)), hyperlinks=False)
    return _inline("\n".join(lines))


@lru_cache(maxsize=1)
def _whole_cells() -> type[Markdown]:
    """Return rich's Markdown, but for words wider than their cell, which go on below: uncut."""
    from rich.markdown import Markdown, TableElement
    from rich.table import Table

    class WholeCells(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                yield part

    class MarkdownOfWholeCells(Markdown):
        elements = {**Markdown.elements, "table_open": WholeCells}

    return MarkdownOfWholeCells


def _inline(text: str, *, style: str = "none") -> RenderableType:
    """Return a paragraph, its line ends kept: a reply's poem or address is no running text."""
    from rich.markdown import Markdown

    broken = "  \n".join(_no_block(line) for line in text.split("\n"))
    return Markdown(_literal_html(broken), hyperlinks=False, style=style)


def _no_block(line: str) -> str:
    """Return a line that Markdown takes for text of a paragraph."""
    line = line.strip()
    return re.sub(r"^(#{1,6}\s|[-*+]\s|=+$|-+$|\|)", r"\\\1", line) if line else line


def _literal_html(text: str) -> str:
    """Return Markdown whose tags are text: rich would leave them out."""
    parts, at = [], 0
    for span in _CODE_SPAN.finditer(text):
        parts += [text[at : span.start()].replace("<", "\\<"), span[0]]
        at = span.end()
    return "".join(parts) + text[at:].replace("<", "\\<")


def _highlight(code: list[str], language: str) -> Text:
    """Return the last line of a code block in colours, which the lines before it decide."""
    from rich.syntax import Syntax

    syntax = Syntax("", language or "text", theme="ansi_dark", background_color="default")
    highlighted = syntax.highlight("\n".join(code)).split("\n", allow_blank=True)
    return highlighted[len(code) - 1]


def _dim(line: str) -> Text:
    from rich.text import Text

    return Text(line, style="dim")
