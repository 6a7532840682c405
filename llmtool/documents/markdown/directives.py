"""Lines of syntax as tokens of markdown-it, for the rules of the blocks of dialects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from llmtool.documents.csv_cells import CsvSyntax
from llmtool.documents.markdown.front_matter import Style
from llmtool.documents.markdown.tags import text_attributes

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock

Kind = Literal["title", "attribute", "csv cell"] | Style


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A text in a line of syntax, from `start` to `end` of the parsed source.

    `text` is what it stands for, if it is escaped. A cell of a csv-table has a syntax and may be in
    quotes.
    """

    start: int
    end: int
    kind: Kind = "title"
    text: str | None = None
    cell: tuple[CsvSyntax, bool] | None = None


Rule = Callable[["StateBlock", int, int, bool], bool]


def line_text(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def push_directive(
    state: StateBlock, line: int, next_line: int, syntax: str, texts: list[Text] | None = None
) -> None:
    """Add lines of syntax, with the texts in them."""
    token = state.push("directive", "", 0)
    token.map = [line, next_line]
    token.info = syntax
    texts = sorted(texts or [], key=lambda text: text.start)
    at, pieces = state.bMarks[line] + state.tShift[line], []
    for text in texts:
        pieces.append(state.src[at : text.start])
        at = text.end
    pieces.append(state.src[at : state.eMarks[next_line - 1]])
    token.content = "…".join(pieces)
    token.meta = {"texts": texts}
    state.line = next_line


def title_texts(state: StateBlock, line: int, found: re.Match[str], *groups: str) -> list[Text]:
    """Return the groups of a match in a line that have letters."""
    start = state.bMarks[line] + state.tShift[line]
    texts = []
    for group in groups:
        if found[group] and any(map(str.isalpha, found[group])):
            begin, stop = found.span(group)
            texts.append(Text(start=start + begin, end=start + stop))
    return texts


def attribute_texts(state: StateBlock, start: int, end: int) -> list[Text]:
    tag = state.src[start:end]
    return [
        Text(start=start + a, end=start + b, kind="attribute") for a, b, _ in text_attributes(tag)
    ]


def parse_content(
    state: StateBlock, line: int, end: int, kind: str, *, indent: int | None = None
) -> None:
    """Parse the lines of a container."""
    parent, line_max, old_indent = state.parentType, state.lineMax, state.blkIndent
    state.parentType, state.lineMax = "container", end
    state.blkIndent = state.blkIndent if indent is None else indent
    token = state.push(f"{kind}_open", "", 1)
    token.map = [line, end]
    state.md.block.tokenize(state, line, end)
    state.push(f"{kind}_close", "", -1)
    state.parentType, state.lineMax, state.blkIndent = parent, line_max, old_indent
    state.line = end


def find_line(state: StateBlock, pattern: str, line: int, end: int) -> int | None:
    """Return the first line from `line` that contains a pattern, None if there is none.

    The block begins before `line`, and may be less indented than a list item that it ends. A search
    that found none is not repeated, so that unclosed blocks take linear time.
    """
    missing: set[tuple[str, int]] = state.env.setdefault("missing", set())
    if (pattern, end) in missing:
        return None
    expression = re.compile(pattern)
    indent = min(state.blkIndent, state.sCount[line - 1])
    for number in range(line, end):
        if state.sCount[number] < indent and not state.isEmpty(number):
            return None
        if expression.search(line_text(state, number)):
            return number
    missing.add((pattern, end))
    return None


def close_or_end(state: StateBlock, pattern: str, line: int, end: int) -> tuple[int, int]:
    """Return the line that closes a block and the line after it; an unclosed block ends later."""
    close = find_line(state, pattern, line, end)
    if close is not None:
        return close, close + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1
    return line, line
