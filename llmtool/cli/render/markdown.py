"""Render streamed Markdown on a terminal.

Text is shown immediately, as plain text. Once a paragraph, list item or table is complete, its rows
are replaced by the rendered block; code blocks are replaced line by line. Clearing and drawing are
one write, so that nothing flickers. Only rows on the screen are replaced, not those that have
scrolled away, so a block higher than the screen remains plain text.
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
    """Renders Markdown that arrives in chunks.

    Args:
        write: writes text to the terminal.
        size: returns the (columns, lines) of the terminal.
        console: returns a Rich console of a given width.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        size: Callable[[], tuple[int, int]],
        console: Callable[[int], Console],
    ) -> None:
        self._write, self._size, self._console = write, size, console
        self._block: list[str] = []  # complete lines of the current block, shown as plain text
        self._line = ""  # the incomplete last line, shown as plain text
        self._fence = ""  # the fence that closes the open code block, if any
        self._language = ""
        self._code: list[str] = []
        self._out = ""
        self._pending_cr = ""  # a CR that may be the first half of a line ending

    def push(self, text: str) -> None:
        """Show the next chunk of a reply."""
        text = (self._pending_cr + text).replace("\r\n", "\n")
        self._pending_cr = "\r" if text.endswith("\r") else ""
        text = escape_control_chars(text.removesuffix("\r")).replace("\t", _TAB)
        *lines, rest = text.split("\n")
        for line in lines:
            self._out += line + "\n"
            self._add_line(self._line + line)
            self._line = ""
        self._out += rest
        self._line += rest
        self._flush()

    def end(self) -> None:
        """Render the remaining text; the cursor is then at the start of a line."""
        if self._pending_cr:
            self._pending_cr = ""
            self._out += escape_control_chars("\r")
            self._line += escape_control_chars("\r")
        if self._line:
            self._out += "\n"
            self._add_line(self._line)
            self._line = ""
        self._draw_block()
        self._flush()
        self._fence, self._code = "", []

    def _flush(self) -> None:
        if self._out:
            self._write(self._out)
            self._out = ""

    def _add_line(self, line: str) -> None:
        """Add a complete line, which is shown as plain text with its newline."""
        if self._fence:
            self._add_code_line(line)
            return
        if self._block and _starts_block(line, self._block):
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

    def _add_code_line(self, line: str) -> None:
        if re.fullmatch(rf" {{0,3}}{re.escape(self._fence[0])}{{{len(self._fence)},}}\s*", line):
            self._fence = ""
            self._replace([line], _dim(line))
            return
        self._code.append(line)
        self._replace([line], _highlight(self._code, self._language))

    def _draw_block(self, below: str | None = None) -> None:
        """Render the current block, which may have one line of plain text below it."""
        if self._block:
            lines, self._block = self._block, []
            self._replace(lines, _render(lines), below=[] if below is None else [below])

    def _replace(
        self, lines: list[str], rendered: RenderableType, *, below: list[str] | None = None
    ) -> None:
        """Replace lines by `rendered`; only the lines `below` are between them and the cursor."""
        columns, height = self._size()
        below = below or []
        n_rows = sum(rows(line, columns) for line in [*lines, *below])
        if n_rows >= height:
            return
        console = self._console(columns)
        is_code = bool(self._fence)  # the terminal wraps code, at any character
        with console.capture() as captured:
            console.print(rendered, soft_wrap=is_code)
        text = captured.get().strip("\n") + "\n" + "".join(f"{line}\n" for line in below)
        self._out += f"\r\x1b[{n_rows}A\x1b[J{text}"


def rows(line: str, columns: int) -> int:
    """Return the number of terminal rows that a line occupies; wide characters are not split.

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


def _starts_block(line: str, block: list[str]) -> bool:
    """Whether a line starts a new block or ends the previous one."""
    if not line.strip() or _FENCE.match(line) or _HEADING.match(line) or _RULE.match(line):
        return True
    if _ITEM.match(line):
        return True
    return any(
        line.lstrip().startswith(sign) != block[0].lstrip().startswith(sign) for sign in "|>"
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
        return _markdown_with_wrapped_cells()(_literal_html("\n".join(lines)), hyperlinks=False)
    return _inline("\n".join(lines))


@lru_cache(maxsize=1)
def _markdown_with_wrapped_cells() -> type[Markdown]:
    """Return Rich's Markdown class, changed to wrap long words in table cells, not cut them."""
    from rich.markdown import Markdown, TableElement
    from rich.table import Table

    class WrappedCells(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                yield part

    class MarkdownWithWrappedCells(Markdown):
        elements = {**Markdown.elements, "table_open": WrappedCells}

    return MarkdownWithWrappedCells


def _inline(text: str, *, style: str = "none") -> RenderableType:
    """Return a paragraph that preserves line breaks, as in a poem or an address."""
    from rich.markdown import Markdown

    hard_breaks = "  \n".join(_escape_block_syntax(line) for line in text.split("\n"))
    return Markdown(_literal_html(hard_breaks), hyperlinks=False, style=style)


def _escape_block_syntax(line: str) -> str:
    """Return a line that Markdown parses as text of a paragraph."""
    line = line.strip()
    return re.sub(r"^(#{1,6}\s|[-*+]\s|=+$|-+$|\|)", r"\\\1", line) if line else line


def _literal_html(text: str) -> str:
    """Escape HTML tags outside code spans, which Rich would omit."""
    parts, at = [], 0
    for span in _CODE_SPAN.finditer(text):
        parts += [text[at : span.start()].replace("<", "\\<"), span[0]]
        at = span.end()
    return "".join(parts) + text[at:].replace("<", "\\<")


def _highlight(code: list[str], language: str) -> Text:
    """Return the last line of a code block, highlighted in the context of the lines before it."""
    from rich.syntax import Syntax

    syntax = Syntax("", language or "text", theme="ansi_dark", background_color="default")
    highlighted = syntax.highlight("\n".join(code)).split("\n", allow_blank=True)
    return highlighted[len(code) - 1]


def _dim(line: str) -> Text:
    from rich.text import Text

    return Text(line, style="dim")
