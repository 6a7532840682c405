"""Markdown: the text of its blocks; this and `markdown_html` are the only importers of markdown_it.

CommonMark with tables, strikethrough, front matter, task lists, footnotes, definition lists and
formulas. A block whose parsed content does not occur in the source is skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from llmtool.documents.inline import normalize, split_inline
from llmtool.documents.lines import display_width, is_wide, wrap
from llmtool.documents.protected_spans import find_nesting_fault, hide_protected, show_protected
from llmtool.documents.types import Document, Part, ProtectedSpan, Segment, has_letters
from llmtool.errors import InputError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\n.*?^\1[ \t]*(?:\n|\Z)", re.S | re.M)
# Text at the start of a line that would begin another block.
_BLOCK_START = re.compile(
    r"#{1,6}(?:\s|$)|[-+*](?:\s|$)|\d{1,9}[.)](?:\s|$)|>|\||=+\s*$|-+\s*$|`{3}|~{3}|<[/!?a-zA-Z]"
    r"|:\s|\[[^\]]*\]:|[*_-](?:[ \t]*[*_-]){2,}\s*$|:?-+:?\s*\|"
)
_STANDALONE_LINE = re.compile(r"\[![A-Za-z]+\][+-]?|:{3,}.*")  # alert type, container fence
# Footnote label, colon of a definition, task checkbox.
_LABEL = re.compile(r"^\[\^[^\]\s]+\]:|^:[ \t]|\A\[[ xX]\]\s", re.MULTILINE)
_MAX_UNCLOSED_TARGETS, _MAX_UNCLOSED_BRACKETS = 1000, 20_000
_MIN_COLUMNS = 40


class _Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How to write a segment; a paragraph of several lines is wrapped to `columns`."""

    kind: str  # heading, setext heading, paragraph, cell, or leading cell
    columns: int = 0
    prefix: str = ""  # of each line but the first
    is_followed: bool = False  # by a footnote in the same paragraph


class Markdown(Document):
    """A Markdown text and its segments.

    Raises:
        InputError: so many brackets are unclosed that parsing would take quadratic time.

    Example:
        >>> source = "# Hello\\n\\n- one\\n  more\\n\\n```\\ncode\\n```\\n"
        >>> [segment.text for segment in Markdown(source).segments]
        ['Hello', 'one more']
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        n_targets = source.count("](") - source.count(")")
        n_brackets = source.count("[") - source.count("]")
        if n_targets > _MAX_UNCLOSED_TARGETS or n_brackets > _MAX_UNCLOSED_BRACKETS:
            raise InputError(f"the Markdown has {max(n_targets, n_brackets):,} unclosed brackets")
        self._layouts: dict[int, _Layout] = {}
        self._env: dict[str, object] = {}
        self._tokens = _parse(source, self._env)
        references = self._env.get("references")
        known = references if isinstance(references, dict) else {}
        self._labels = {normalize(label) for label in known}
        self.segments = tuple(self._segments())

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        return self._write(self._layouts[segment.start], parts)

    def _write(self, layout: _Layout, parts: Sequence[Part]) -> str:
        text, protected = hide_protected(
            parts, _escape_cell if "cell" in layout.kind else _one_line
        )
        text = text.strip(" \t")  # leading space would indent a list item
        if layout.columns:
            lines = _wrap(
                text, max(_MIN_COLUMNS, layout.columns - display_width(layout.prefix)), protected
            )
            text = f"{self._newline}{layout.prefix}".join(lines)
        return show_protected(text, protected)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Parse the segment and its replacement, each on its own, and compare their structure."""
        layout = self._layouts[segment.start]
        before, after = self._block(layout, segment.parts), self._block(layout, tuple(parts))
        if before == after:
            return find_nesting_fault(segment.parts, parts)
        if before[0] != after[0]:
            return "would become another kind of block"
        return "changes the number of links, images, code spans, tags or line breaks"

    def compare(self, output: str) -> str | None:
        before, after = _skeleton(self._tokens), _skeleton(_parse(output, {}))
        if _front_matter(self.source) != _front_matter(output):
            return "the front matter differs"
        for one, other in zip(before, after, strict=False):
            if one[1:] != other[1:]:
                return f"line {one[0]}: {one[1]} became {other[1]}"
        if len(before) != len(after):
            return "the number of blocks differs"
        return None

    def _block(self, layout: _Layout, parts: tuple[Part, ...]) -> tuple[list[str], Counter[str]]:
        """Parse a segment as a document; return its block types and count its inline elements."""
        text = self._write(layout, parts)
        if layout.prefix:
            text = text.replace(f"{self._newline}{layout.prefix}", "\n")
        text = text.replace("\r\n", "\n").lstrip() + "\n[^x]: x" * layout.is_followed
        if layout.kind == "heading":
            text = "# " + " ".join(text.split("\n"))
        elif layout.kind == "setext heading":
            text = f"{text}\n==="
        elif layout.kind == "cell":
            text = f"| x | x |\n|---|---|\n| {text} | x |"
        elif layout.kind == "leading cell":
            text = f"x | x\n---|---\n{text} | x"
        tokens = _parse(text, {"references": self._env.get("references", {})}, front=False)
        kinds = [token.type for token in tokens if token.type != "inline"]
        return kinds, sum((_count_inline(token) for token in tokens), Counter())

    def _segments(self) -> Iterator[Segment]:
        starts = [0, *(m.end() for m in re.finditer("\n", self.source))]
        lines = [line.rstrip("\r") for line in self.source.split("\n")]
        cells: list[tuple[int, str]] = []
        row = -1
        for previous, token in zip(self._tokens, self._tokens[1:], strict=False):
            if token.type != "inline" or token.map is None or not token.content.strip():
                if token.type == "inline" and previous.type in ("th_open", "td_open") and cells:
                    cells.pop(0)
                continue
            first, last = token.map
            if previous.type in ("th_open", "td_open"):
                if first != row or not cells:
                    row, cells = first, _cells(lines[first])
                yield from self._cell_segment(starts[first], cells, token.content)
            else:
                kind = "paragraph"
                if previous.type == "heading_open":
                    kind = "heading" if previous.markup.startswith("#") else "setext heading"
                yield from self._block_segments(kind, starts, lines, first, last, token.content)

    def _cell_segment(
        self, start: int, cells: list[tuple[int, str]], content: str
    ) -> Iterator[Segment]:
        while cells:
            column, text = cells.pop(0)
            if text.replace("\\|", "|") == content:
                begin = start + column
                begins = not self.source[start:begin].strip(" \t>")
                kind = "leading cell" if begins else "cell"
                self._layouts[begin] = _Layout(kind=kind)
                yield from self._segment(begin, begin + len(text), [text])
                return

    def _block_segments(
        self, kind: str, starts: list[int], lines: list[str], first: int, last: int, content: str
    ) -> Iterator[Segment]:
        """Yield the segments of a block, or none if its content does not occur in the source."""
        content_lines = content.split("\n")
        if len(content_lines) > last - first:
            return
        spans: list[tuple[int, int]] = []
        for number, text in enumerate(content_lines, first):
            body = text.strip(" \t")
            line = lines[number]
            column = line.find(body) if kind == "heading" else len(line.rstrip()) - len(body)
            if column < 0 or line[column : column + len(body)] != body:
                return
            spans.append((starts[number] + column, starts[number] + column + len(body)))
        columns = max(display_width(lines[n]) for n in range(first, first + len(content_lines)))
        bodies = [text.strip(" \t") for text in content_lines]
        standalone = [bool(_STANDALONE_LINE.fullmatch(text)) for text in bodies]
        cuts = [
            n
            for n in range(1, len(bodies))
            if standalone[n] or standalone[n - 1] or _LABEL.match(bodies[n])
        ]
        for begin, end in zip([0, *cuts], [*cuts, len(spans)], strict=True):
            if standalone[begin]:
                continue
            second = starts[first + begin + 1] if end > begin + 1 else 0
            is_last = end == len(spans)
            yield from self._line_segment(kind, spans[begin:end], second, columns, is_last=is_last)

    def _line_segment(
        self,
        kind: str,
        spans: list[tuple[int, int]],
        second: int,
        columns: int,
        *,
        is_last: bool,
    ) -> Iterator[Segment]:
        """Yield the segment of some lines of a block; `second` is the start of the second line."""
        pieces = [self.source[a:b] for a, b in spans]
        joined: list[str | ProtectedSpan] = [pieces[0]]
        for (_, end), (begin, _), piece in zip(spans, spans[1:], pieces[1:], strict=False):
            between = self.source[end:begin]
            last_piece = joined[-1]
            assert isinstance(last_piece, str)
            if between.startswith("  ") or last_piece.endswith("\\"):
                if last_piece.endswith("\\") and not between.startswith("  "):
                    joined[-1], between = last_piece[:-1], "\\" + between
                joined += [ProtectedSpan(between), piece]
            else:
                wide = bool(last_piece and piece and is_wide(last_piece[-1]) and is_wide(piece[0]))
                joined[-1] = last_piece + ("" if wide else " ") + piece
        begin, end = spans[0][0], spans[-1][1]
        layout = _Layout(kind=kind, is_followed=not is_last)
        if len(spans) > 1:
            prefix = self.source[second : spans[1][0]]
            layout = msgspec.structs.replace(layout, columns=columns, prefix=prefix)
        self._layouts[begin] = layout
        yield from self._segment(begin, end, joined)

    def _segment(
        self, start: int, end: int, pieces: Sequence[str | ProtectedSpan]
    ) -> Iterator[Segment]:
        parts: list[Part] = []
        for piece in pieces:
            parts += (
                [piece] if isinstance(piece, ProtectedSpan) else split_inline(piece, self._labels)
            )
        if has_letters(parts):
            yield Segment(start=start, end=end, parts=tuple(parts))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"maxNesting": 60}).enable(["table", "strikethrough"])


def _front_matter(text: str) -> str:
    found = _FRONT_MATTER.match(text.replace("\r\n", "\n"))
    return found[0] if found else ""


def _parse(text: str, env: dict[str, object], *, front: bool = True) -> list[Token]:
    """Return the tokens of a text, with its front matter replaced by blank lines."""
    text = text.replace("\r\n", "\n")
    matter = _front_matter(text) if front else ""
    text = "\n" * matter.count("\n") + text[len(matter) :] if matter else text
    return _parser().parse(text.removeprefix("\ufeff") if not matter else text, env)


def _skeleton(tokens: Sequence[Token]) -> list[tuple[object, ...]]:
    """Return each block as its line, its type, and everything that must not change."""
    found: list[tuple[object, ...]] = []
    line = 0
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline":
            found.append((line, "text", sorted(_count_inline(token).items())))
        else:
            content = token.content if token.type in ("fence", "code_block", "html_block") else ""
            attributes = sorted((str(k), str(v)) for k, v in token.attrs.items())
            found.append(
                (line, token.type, token.tag, token.level, token.info, content, attributes)
            )
    return found


def _count_inline(token: Token) -> Counter[str]:
    """Count the elements of inline content that must not change."""
    counted = Counter(found[0].strip() for found in _LABEL.finditer(token.content))
    counted.update(line for line in token.content.split("\n") if _STANDALONE_LINE.fullmatch(line))
    for child in token.children or ():
        if child.type == "link_open":
            counted[f"link {child.attrGet('href')} {child.attrGet('title')}"] += 1
        elif child.type == "image":
            counted[f"image {child.attrGet('src')} {child.attrGet('title')}"] += 1
            counted += _count_inline(child)
        elif child.type in ("code_inline", "html_inline"):
            counted[f"{child.type} {child.content}"] += 1
        elif child.type == "hardbreak":
            counted["line break"] += 1
    return counted


def _cells(line: str) -> list[tuple[int, str]]:
    """Return the cells of a table row, each as its column and text."""
    cells, at = [], 0
    for piece in re.split(r"(?<!\\)\|", line):
        body = piece.strip(" \t")
        cells.append((at + piece.find(body), body))
        at += len(piece) + 1
    return cells


def _one_line(text: str) -> str:
    return " ".join(text.splitlines()) if text.strip() else text


def _escape_cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", _one_line(text))


def _wrap(text: str, columns: int, protected: list[str]) -> list[str]:
    """Wrap a text so that no line would begin another block."""
    lines: list[str] = []
    for line in wrap(text, columns):
        if lines and _BLOCK_START.match(show_protected(line, protected)):
            lines[-1] += " " + line
        else:
            lines.append(line)
    return lines
