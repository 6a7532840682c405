"""Render streamed Markdown on a terminal.

Text is shown immediately, as plain text wrapped at words. Once a paragraph, list item or table is
complete, its rows are replaced by the rendered block; code blocks are replaced line by line.
Clearing and drawing are one write, so that nothing flickers. Only rows on the screen are replaced,
not those that have scrolled away, so a block higher than the screen remains plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from llmtool.cli.render.tables import text_class
from llmtool.cli.terminal.text import escape_control_chars, truncate_to_width
from llmtool.cli.terminal.wrap import wrap

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
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
        self._parser = _Parser()
        self._shown: list[str] = []  # rows of plain text that show the current block
        self._line = ""  # the incomplete last line
        self._rows = [""]  # the rows that show it
        self._out = ""
        self._pending_cr = ""  # a CR that may be the first half of a line ending

    def push(self, text: str) -> None:
        """Show the next chunk of a reply."""
        text = (self._pending_cr + text).replace("\r\n", "\n")
        self._pending_cr = "\r" if text.endswith("\r") else ""
        text = escape_control_chars(text.removesuffix("\r")).replace("\t", _TAB)
        *lines, rest = text.split("\n")
        for line in lines:
            self._show(line)
            self._end_line()
        self._show(rest)
        self._flush()

    def end(self) -> None:
        """Render the remaining text; the cursor is then at the start of a line."""
        if self._pending_cr:
            self._pending_cr = ""
            self._show(escape_control_chars("\r"))
        if self._line:
            self._end_line()
        rendered = self._parser.end()
        if rendered is not None:
            self._replace(rendered)
        self._flush()
        self._parser = _Parser()

    def redraw(self) -> None:
        """Show the current block again, below what another program wrote."""
        for row in self._shown:
            self._out += row + "\n"
        self._out += "\n".join(self._fitting(self._rows))
        self._flush()

    def _flush(self) -> None:
        if self._out:
            self._write(self._out)
            self._out = ""

    def _show(self, text: str) -> None:
        """Add text to the last line; a word that no longer fits moves to the next row."""
        self._line += text
        if self._parser.is_code:  # the terminal wraps code, at any character
            self._out += text
            self._rows = [self._line]
            return
        last = self._rows.pop()
        rows = wrap(last + text, self._size()[0])
        self._rows += rows
        last, *rows = self._fitting([last, *rows])
        if rows[0].startswith(last):
            self._out += rows[0][len(last) :]
        else:
            self._out += f"\r\x1b[K{rows[0]}"
        self._out += "".join(f"\n{row}" for row in rows[1:])

    def _fitting(self, rows: list[str]) -> list[str]:
        """Return rows without the spaces that exceed the width of the terminal."""
        columns = self._size()[0]
        return rows if self._parser.is_code else [truncate_to_width(row, columns) for row in rows]

    def _end_line(self) -> None:
        line, rows = self._line, self._fitting(self._rows)
        self._line, self._rows = "", [""]
        self._out += "\n"
        is_drawn = False
        for rendered, is_above in self._parser.add(line):
            if is_above:
                self._replace(rendered, below=rows)
            else:
                self._shown += rows
                self._replace(rendered)
                is_drawn = True
        if line.strip() and not is_drawn:
            self._shown += rows

    def _replace(self, rendered: RenderableType, *, below: Sequence[str] = ()) -> None:
        """Replace the current block by `rendered`; its rows are above the rows `below`."""
        columns, height = self._size()
        shown, self._shown = self._shown, []
        # A row takes several if it is code, or if the terminal has become narrower.
        n_rows = sum(rows(row, columns) for row in [*shown, *below])
        if n_rows < height:
            text = _print(self._console(columns), rendered, is_code=self._parser.is_code)
            text += "".join(f"{row}\n" for row in below)
            self._out += f"\r\x1b[{n_rows}A\x1b[J{text}"


def render_markdown(text: str, console: Console) -> str:
    """Return a complete text, rendered for a terminal."""
    parser, out = _Parser(), ""
    text = escape_control_chars(text.replace("\r\n", "\n")).replace("\t", _TAB)
    for line in text.split("\n"):
        for rendered, _ in parser.add(line):
            out += _print(console, rendered, is_code=parser.is_code)
        out += "" if line.strip() or parser.is_code else "\n"
    last = parser.end()
    return out if last is None else out + _print(console, last)


def _print(console: Console, rendered: RenderableType, *, is_code: bool = False) -> str:
    with console.capture() as captured:
        console.print(rendered, soft_wrap=is_code)
    return captured.get().strip("\n") + "\n"


class _Parser:
    """Splits lines into blocks that can be rendered."""

    def __init__(self) -> None:
        self._block: list[str] = []  # the lines of the current block
        self._fence = ""  # the fence that closes the open code block, if any
        self._language = ""
        self._code: list[str] = []

    @property
    def is_code(self) -> bool:
        return bool(self._fence)

    def add(self, line: str) -> list[tuple[RenderableType, bool]]:
        """Add a line; return what can be rendered now, and whether it is above the line."""
        if self._fence:
            return [(self._add_code(line), False)]
        drawn: list[tuple[RenderableType, bool]] = []
        if self._block and _starts_block(line, self._block):
            drawn.append((self._take_block(), True))
        fence = _FENCE.match(line)
        if fence:
            self._fence, self._language, self._code = fence[1], fence[2], []
            drawn.append((_dim(line), False))
        elif line.strip():
            self._block.append(line)
            if _HEADING.match(line) or _RULE.match(line):
                drawn.append((self._take_block(), False))
        return drawn

    def end(self) -> RenderableType | None:
        """Return the last block, if it is not rendered yet."""
        return self._take_block() if self._block else None

    def _take_block(self) -> RenderableType:
        lines, self._block = self._block, []
        return _render(lines)

    def _add_code(self, line: str) -> RenderableType:
        if re.fullmatch(rf" {{0,3}}{re.escape(self._fence[0])}{{{len(self._fence)},}}\s*", line):
            self._fence = ""
            return _dim(line)
        self._code.append(line)
        return _highlight(self._code, self._language)


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
        return _markdown(_literal_html("\n".join(lines)))
    return _inline("\n".join(lines))


@lru_cache(maxsize=1)
def _markdown_class() -> type[Markdown]:
    """Return Rich's Markdown class, changed to wrap text as `wrap` does, also in table cells."""
    from rich.markdown import Markdown, MarkdownContext, Paragraph, TableDataElement, TableElement
    from rich.table import Table

    Text = text_class()

    class WrappedParagraph(Paragraph):
        def on_enter(self, context: MarkdownContext) -> None:
            super().on_enter(context)
            self.text = Text(justify="left")

    class WrappedCell(TableDataElement):
        def __init__(self, justify: JustifyMethod) -> None:
            super().__init__(justify)
            self.content = Text(justify=justify)

    class TableWithWrappedCells(TableElement):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for part in super().__rich_console__(console, options):
                if isinstance(part, Table):
                    for column in part.columns:
                        column.overflow = "fold"
                yield part

    class WrappedMarkdown(Markdown):
        elements = {
            **Markdown.elements,
            "paragraph_open": WrappedParagraph,
            "table_open": TableWithWrappedCells,
            "td_open": WrappedCell,
            "th_open": WrappedCell,
        }

    return WrappedMarkdown


def _markdown(text: str, *, style: str = "none") -> RenderableType:
    # The other code themes have a background, which differs from that of the terminal.
    return _markdown_class()(text, hyperlinks=False, style=style, code_theme="ansi_dark")


def _inline(text: str, *, style: str = "none") -> RenderableType:
    """Return a paragraph that preserves line breaks, as in a poem or an address."""
    hard_breaks = "  \n".join(_escape_block_syntax(line) for line in text.split("\n"))
    return _markdown(_literal_html(hard_breaks), style=style)


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
