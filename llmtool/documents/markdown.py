"""Markdown: the words of its blocks; with `markdown_html` the only importer of markdown_it.

CommonMark with tables, strikethrough, front matter, tasks, notes, definitions and formulas. A block
that cannot be found in the source as it was parsed is left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from llmtool.documents.inline import normalize, split_inline
from llmtool.documents.lines import is_wide, width, wrap
from llmtool.documents.nesting import find_nesting_fault
from llmtool.documents.types import Part, ProtectedSpan, Segment
from llmtool.errors import InputError

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\n.*?^\1[ \t]*(?:\n|\Z)", re.S | re.M)
_STRUCTURE = re.compile(
    r"#{1,6}(?:\s|$)|[-+*](?:\s|$)|\d{1,9}[.)](?:\s|$)|>|\||=+\s*$|-+\s*$|`{3}|~{3}|<[/!?a-zA-Z]"
    r"|:\s|\[[^\]]*\]:|[*_-](?:[ \t]*[*_-]){2,}\s*$|:?-+:?\s*\|"
)
_ALONE = re.compile(r"\[![A-Za-z]+\][+-]?|:{3,}.*")  # an alert's kind, a container's fence
# And a definition's colon, and a task's box.
_NOTE = re.compile(r"^\[\^[^\]\s]+\]:|^:[ \t]|\A\[[ xX]\]\s", re.MULTILINE)
_MAX_OPEN_TARGETS, _MAX_OPEN_BRACKETS = 1000, 20_000
_MIN_COLUMNS = 40
_FIRST_PROTECTED = (
    0xF0000  # a private character replaces each protected span while a line is broken
)
_PRIVATE = re.compile("[\U000f0000-\U000ffffd]")


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """How a passage is written: its kind, and for a paragraph of several lines how it is broken."""

    kind: str  # heading, underlined heading, paragraph, cell, or cell that begins a line
    columns: int = 0
    prefix: str = ""  # before each line but the first
    is_followed: bool = False  # by a note in the same paragraph


class Markdown:
    """A Markdown text and its passages."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._newline = "\r\n" if "\r\n" in source else "\n"
        self._places: dict[int, _Place] = {}
        self._env: dict[str, object] = {}
        self._tokens = _parse(source, self._env)
        references = self._env.get("references")
        known = references if isinstance(references, dict) else {}
        self._labels = {normalize(label) for label in known}
        self.segments: tuple[Segment, ...] = tuple(self._segments())

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if tuple(parts) == segment.parts:
            return self.source[segment.start : segment.end]
        return self._write(self._places[segment.start], parts)

    def _write(self, place: _Place, parts: Sequence[Part]) -> str:
        text, protected = _with_characters(parts, is_cell="cell" in place.kind)
        if place.columns:
            lines = _wrap(text, max(_MIN_COLUMNS, place.columns - width(place.prefix)), protected)
            text = f"{self._newline}{place.prefix}".join(lines)
        return _PRIVATE.sub(lambda found: protected[ord(found[0]) - _FIRST_PROTECTED], text)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Compare what the passage was as a block of its own with what it would become."""
        place = self._places[segment.start]
        before, after = self._block(place, segment.parts), self._block(place, tuple(parts))
        if before == after:
            return find_nesting_fault(segment.parts, parts)
        if before[0] != after[0]:
            return "would be read as another kind of block"
        return "has another number of links, images, code, tags or line breaks"

    def compare(self, output: str) -> str | None:
        before, after = _skeleton(self._tokens), _skeleton(_parse(output, {}))
        if _front_matter(self.source) != _front_matter(output):
            return "other front matter"
        for one, other in zip(before, after, strict=False):
            if one[1:] != other[1:]:
                return f"line {one[0]}: {one[1]} became {other[1]}"
        if len(before) != len(after):
            return "another number of blocks"
        return None

    def _block(self, place: _Place, parts: tuple[Part, ...]) -> tuple[list[str], Counter[str]]:
        """Return the kinds of blocks that a passage is on its own, and what they count."""
        text = self._write(place, parts)
        if place.prefix:
            text = text.replace(f"{self._newline}{place.prefix}", "\n")
        text = text.replace("\r\n", "\n").lstrip() + "\n[^x]: x" * place.is_followed
        if place.kind == "heading":
            text = "# " + " ".join(text.split("\n"))
        elif place.kind == "underlined heading":
            text = f"{text}\n==="
        elif place.kind == "cell":
            text = f"| x | x |\n|---|---|\n| {text} | x |"
        elif place.kind == "cell that begins a line":
            text = f"x | x\n---|---\n{text} | x"
        tokens = _parse(text, {"references": self._env.get("references", {})}, front=False)
        kinds = [token.type for token in tokens if token.type != "inline"]
        return kinds, sum((_inline(token) for token in tokens), Counter())

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
                yield from self._cell(starts[first], cells, token.content)
            else:
                kind = "paragraph"
                if previous.type == "heading_open":
                    kind = "heading" if previous.markup.startswith("#") else "underlined heading"
                yield from self._lines(kind, starts, lines, first, last, token.content)

    def _cell(self, start: int, cells: list[tuple[int, str]], content: str) -> Iterator[Segment]:
        while cells:
            column, text = cells.pop(0)
            if text.replace("\\|", "|") == content:
                begin = start + column
                begins = not self.source[start:begin].strip(" \t>")
                kind = "cell that begins a line" if begins else "cell"
                self._places[begin] = _Place(kind=kind)
                yield from self._segment(begin, begin + len(text), [text])
                return

    def _lines(
        self, kind: str, starts: list[int], lines: list[str], first: int, last: int, content: str
    ) -> Iterator[Segment]:
        """Find the lines of a block's content in the source; nothing where they are not there."""
        wanted = content.split("\n")
        if len(wanted) > last - first:
            return
        spans: list[tuple[int, int]] = []
        for number, text in enumerate(wanted, first):
            body = text.strip(" \t")
            line = lines[number]
            column = line.find(body) if kind == "heading" else len(line.rstrip()) - len(body)
            if column < 0 or line[column : column + len(body)] != body:
                return
            spans.append((starts[number] + column, starts[number] + column + len(body)))
        columns = max(width(lines[n]) for n in range(first, first + len(wanted)))
        bodies = [text.strip(" \t") for text in wanted]
        alone = [bool(_ALONE.fullmatch(text)) for text in bodies]
        cuts = [
            n for n in range(1, len(bodies)) if alone[n] or alone[n - 1] or _NOTE.match(bodies[n])
        ]
        for begin, end in zip([0, *cuts], [*cuts, len(spans)], strict=True):
            if alone[begin]:
                continue
            second = starts[first + begin + 1] if end > begin + 1 else 0
            is_last = end == len(spans)
            yield from self._passage(kind, spans[begin:end], second, columns, is_last=is_last)

    def _passage(
        self,
        kind: str,
        spans: list[tuple[int, int]],
        second: int,
        columns: int,
        *,
        is_last: bool,
    ) -> Iterator[Segment]:
        """Yield the passage of a block's lines, or of a note among them.

        `second` is where the second of its lines starts.
        """
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
        place = _Place(kind=kind, is_followed=not is_last)
        if len(spans) > 1:
            prefix = self.source[second : spans[1][0]]
            place = msgspec.structs.replace(place, columns=columns, prefix=prefix)
        self._places[begin] = place
        yield from self._segment(begin, end, joined)

    def _segment(
        self, start: int, end: int, pieces: Sequence[str | ProtectedSpan]
    ) -> Iterator[Segment]:
        parts: list[Part] = []
        for piece in pieces:
            parts += (
                [piece] if isinstance(piece, ProtectedSpan) else split_inline(piece, self._labels)
            )
        if any(isinstance(part, str) and any(map(str.isalpha, part)) for part in parts):
            yield Segment(start=start, end=end, parts=tuple(parts))


def parse(text: str) -> Markdown:
    """Return the passages of a Markdown text.

    Raises:
        InputError: so many brackets are open that reading it takes quadratic time.

    Example:
        >>> [s.text for s in parse("# Hello\\n\\n- one\\n  more\\n\\n```\\ncode\\n```\\n").segments]
        ['Hello', 'one more']
    """
    is_open = text.count("](") - text.count(")"), text.count("[") - text.count("]")
    if is_open[0] > _MAX_OPEN_TARGETS or is_open[1] > _MAX_OPEN_BRACKETS:
        raise InputError(f"the Markdown has {max(is_open)} brackets that nothing closes")
    return Markdown(text)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"maxNesting": 60}).enable(["table", "strikethrough"])


def _front_matter(text: str) -> str:
    found = _FRONT_MATTER.match(text.replace("\r\n", "\n"))
    return found[0] if found else ""


def _parse(text: str, env: dict[str, object], *, front: bool = True) -> list[Token]:
    """Return the tokens of a text; its front matter is blank lines."""
    text = text.replace("\r\n", "\n")
    matter = _front_matter(text) if front else ""
    text = "\n" * matter.count("\n") + text[len(matter) :] if matter else text
    return _parser().parse(text.removeprefix("\ufeff") if not matter else text, env)


def _skeleton(tokens: Sequence[Token]) -> list[tuple[object, ...]]:
    """Return what a text is made of, block by block: line, kind, and all that must stay."""
    found: list[tuple[object, ...]] = []
    line = 0
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline":
            found.append((line, "text", sorted(_inline(token).items())))
        else:
            content = token.content if token.type in ("fence", "code_block", "html_block") else ""
            attributes = sorted((str(k), str(v)) for k, v in token.attrs.items())
            found.append(
                (line, token.type, token.tag, token.level, token.info, content, attributes)
            )
    return found


def _inline(token: Token) -> Counter[str]:
    """Count what has to stay of a block's inside."""
    counted = Counter(found[0].strip() for found in _NOTE.finditer(token.content))
    counted.update(line for line in token.content.split("\n") if _ALONE.fullmatch(line))
    for child in token.children or ():
        if child.type == "link_open":
            counted[f"link {child.attrGet('href')} {child.attrGet('title')}"] += 1
        elif child.type == "image":
            counted[f"image {child.attrGet('src')} {child.attrGet('title')}"] += 1
            counted += _inline(child)
        elif child.type in ("code_inline", "html_inline"):
            counted[f"{child.type} {child.content}"] += 1
        elif child.type == "hardbreak":
            counted["line break"] += 1
    return counted


def _cells(line: str) -> list[tuple[int, str]]:
    """Return the cells of a table's row: where each begins, and its text."""
    cells, at = [], 0
    for piece in re.split(r"(?<!\\)\|", line):
        body = piece.strip(" \t")
        cells.append((at + piece.find(body), body))
        at += len(piece) + 1
    return cells


def _with_characters(parts: Sequence[Part], *, is_cell: bool) -> tuple[str, list[str]]:
    """Return a text on one line, with a private character for each protected span."""
    text = ""
    protected: list[str] = []
    for part in parts:
        if isinstance(part, ProtectedSpan):
            text += chr(_FIRST_PROTECTED + len(protected))
            protected.append(part.source)
        else:
            piece = " ".join(_PRIVATE.sub("", part).splitlines()) if part.strip() else part
            text += re.sub(r"(?<!\\)\|", r"\\|", piece) if is_cell else piece
    return text.strip(" \t"), protected  # space before an item's text would deepen the item


def _wrap(text: str, columns: int, protected: list[str]) -> list[str]:
    """Break a text into lines, none of which would be structure; line breaks that stay, stay."""
    lines: list[str] = []
    for line in wrap(text, columns):
        shown = _PRIVATE.sub(lambda found: protected[ord(found[0]) - _FIRST_PROTECTED], line)
        if lines and _STRUCTURE.match(shown):
            lines[-1] += " " + line
        else:
            lines.append(line)
    return lines
