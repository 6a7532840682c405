"""HTML: the words of its blocks, and the attributes that people read.

The source is cut into tags, texts, entities and comments, which together are the source whatever is
broken in it. No tree is built, and nothing is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from html.parser import HTMLParser
from typing import Literal

import msgspec

from llmtool.documents.nesting import VOID, find_nesting_fault
from llmtool.documents.placeholders import split_parts
from llmtool.documents.types import Part, ProtectedSpan, Segment
from llmtool.errors import InputError

_INLINE = frozenset(
    "a abbr acronym b bdi bdo big br cite data del dfn em font i img ins label mark q rp rt ruby s"
    " small span strike strong sub sup time tt u wbr".split()
)
_UNTOUCHED = frozenset("code kbd samp var pre script style textarea svg math template tt".split())
_READ = r"alt|title|placeholder|aria-label|summary|content"
_ATTRIBUTE = re.compile(rf"""(?<=\s)({_READ})(\s*=\s*)("([^"]*)"|'([^']*)')""", re.IGNORECASE)
_META = re.compile(r"""\b(?:name|property)\s*=\s*["']?(?:description|og:title|og:description)\b""")
_NO = re.compile(r"""\btranslate\s*=\s*["']?no\b|\bclass\s*=\s*["'][^"']*\bnotranslate\b""", re.I)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_OPEN = re.compile(r"<[^<>]*(?=<|\Z)")
_MAX_OPEN = 2000
_TEXT_ENTITIES = {"amp", "lt", "gt", "quot", "apos"}

Kind = Literal["start", "end", "text", "entity", "other"]


class _Piece(msgspec.Struct, frozen=True):
    """A tag, text, entity or comment, and where it stands."""

    kind: Kind
    start: int
    end: int
    tag: str = ""
    is_closed: bool = False  # <tag/>


class Html:
    """An HTML text and its passages."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._attributes: set[int] = set()  # where passages begin that are an attribute's value
        self.segments: tuple[Segment, ...] = tuple(
            sorted(self._segments(), key=lambda segment: segment.start)
        )

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if tuple(parts) == segment.parts:
            return self.source[segment.start : segment.end]
        text = ""
        for part in parts:
            text += part.source if isinstance(part, ProtectedSpan) else _escape(part)
        if segment.start in self._attributes:
            quote = self.source[segment.start - 1]
            text = text.replace(quote, "&quot;" if quote == '"' else "&#39;")
        return text

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Text is escaped, so that it cannot become a tag; tags may change places in pairs."""
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = list(_skeleton(self.source)), list(_skeleton(output))
        for (line, one), (_, other) in zip(before, after, strict=False):
            if one != other:
                return f"line {line}: another tag, attribute or comment"
        return None if len(before) == len(after) else "another number of tags"

    def _segments(self) -> Iterator[Segment]:
        run: list[_Piece] = []
        for piece, is_untouched in _marked(self.source):
            if piece.tag in _INLINE or piece.kind in ("text", "entity") or is_untouched:
                run.append(msgspec.structs.replace(piece, kind="other") if is_untouched else piece)
                continue
            if piece.kind == "other" and run:  # a comment between words
                run.append(piece)
                continue
            yield from self._of_run(run)
            run = []
            if piece.kind == "start":
                yield from self._of_tag(piece)
        yield from self._of_run(run)

    def _of_run(self, run: list[_Piece]) -> Iterator[Segment]:
        """Yield the passage that text and inline tags are, without the tags around it."""
        words = [i for i, piece in enumerate(run) if self._has_words(piece)]
        first, last = (words[0], words[-1] + 1) if words else (len(run), len(run))
        for piece in [*run[:first], *run[last:]]:
            if piece.kind == "start":
                yield from self._of_tag(piece)
        if not words:
            return
        parts: list[Part] = []
        for piece in run[first:last]:
            text = self.source[piece.start : piece.end]
            if piece.kind == "text":
                parts += split_parts(_SPACE.sub(" ", text))
            elif piece.kind == "entity":
                parts.append(_read_entity(text))
            else:
                parts.append(ProtectedSpan(text))
        start, end = run[first].start, run[last - 1].end
        lead = len(self.source[start:end]) - len(self.source[start:end].lstrip())
        trail = len(self.source[start:end]) - len(self.source[start:end].rstrip())
        if lead and isinstance(parts[0], str):
            parts[0] = parts[0].lstrip()
        if trail and isinstance(parts[-1], str):
            parts[-1] = parts[-1].rstrip()
        yield Segment(
            start=start + lead, end=end - trail, parts=tuple(part for part in parts if part != "")
        )

    def _has_words(self, piece: _Piece) -> bool:
        text = self.source[piece.start : piece.end]
        if piece.kind == "entity":
            return isinstance(_read_entity(text), str) and unescape(text).isalpha()
        return piece.kind == "text" and any(map(str.isalpha, text))

    def _of_tag(self, piece: _Piece) -> Iterator[Segment]:
        tag = self.source[piece.start : piece.end]
        for found in _ATTRIBUTE.finditer(tag):
            name, value = found[1].lower(), found[4] if found[4] is not None else found[5]
            if name == "content" and not (piece.tag == "meta" and _META.search(tag)):
                continue
            start = piece.start + found.start(3) + 1
            parts = split_parts(unescape(value))
            if any(isinstance(part, str) and any(map(str.isalpha, part)) for part in parts):
                self._attributes.add(start)
                yield Segment(start=start, end=start + len(value), parts=parts, before=(name,))


def parse(text: str) -> Html:
    """Return the passages of an HTML text.

    Raises:
        InputError: so many tags are open that reading it takes quadratic time.

    Example:
        >>> [segment.text for segment in parse("<h1>Hello</h1><p>A <b>big</b> day").segments]
        ['Hello', 'A  big  day']
    """
    n_open = sum(1 for _ in _OPEN.finditer(text)) + text.count("<!--") - text.count("-->")
    if n_open > _MAX_OPEN:
        raise InputError(f"the HTML has {n_open} tags that nothing closes")
    return Html(text)


class _Cutter(HTMLParser):
    """Notes where each piece begins."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._lines = [0, *(found.end() for found in re.finditer("\n", source))]
        self.begun: list[tuple[int, Kind, str, bool]] = []
        self.feed(source)
        self.close()

    def _note(self, kind: Kind, tag: str = "", *, is_closed: bool = False) -> None:
        line, column = self.getpos()
        self.begun.append((self._lines[line - 1] + column, kind, tag, is_closed))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._note("start", tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._note("start", tag, is_closed=True)

    def handle_endtag(self, tag: str) -> None:
        self._note("end", tag)

    def handle_data(self, data: str) -> None:
        self._note("text")

    def handle_entityref(self, name: str) -> None:
        self._note("entity")

    def handle_charref(self, name: str) -> None:
        self._note("entity")

    def handle_comment(self, data: str) -> None:
        self._note("other")

    def handle_decl(self, decl: str) -> None:
        self._note("other")

    def handle_pi(self, data: str) -> None:
        self._note("other")

    def unknown_decl(self, data: str) -> None:
        self._note("other")


def _cut(source: str) -> list[_Piece]:
    begun = _Cutter(source).begun
    ends = [*(start for start, *_ in begun[1:]), len(source)][: len(begun)]
    return [
        _Piece(kind, start, end, tag, is_closed)
        for (start, kind, tag, is_closed), end in zip(begun, ends, strict=True)
        if end > start
    ]


def _marked(source: str) -> Iterator[tuple[_Piece, bool]]:
    """Yield the pieces, and whether each belongs to an element that is left alone."""
    open_tags: list[str] = []  # from the element that is left alone inwards
    for piece in _cut(source):
        if open_tags:
            if piece.kind == "start" and piece.tag == open_tags[0] and not piece.is_closed:
                open_tags.append(piece.tag)
            elif piece.kind == "end" and piece.tag == open_tags[0]:
                open_tags.pop()
            yield piece, True
            continue
        begins = piece.kind == "start" and not piece.is_closed and piece.tag not in VOID
        if begins and (piece.tag in _UNTOUCHED or _NO.search(source[piece.start : piece.end])):
            open_tags.append(piece.tag)
            yield piece, True
        else:
            yield piece, False


def _read_entity(text: str) -> Part:
    """Return the character of an entity that is a letter or a sign; others are protected."""
    meant = unescape(text)
    name = text.strip("&;").lower()
    if text.endswith(";") and (name in _TEXT_ENTITIES or (len(meant) == 1 and meant.isalpha())):
        return meant
    return ProtectedSpan(text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _skeleton(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of all that no translation may change.

    Within a passage its order may change: other languages have other ones.
    """
    line, at = 1, 0
    run: list[tuple[int, str]] = []
    for piece, is_untouched in _marked(source):
        line, at = line + source.count("\n", at, piece.start), piece.start
        text = source[piece.start : piece.end]
        if piece.kind in ("text", "entity") and not is_untouched:
            continue
        if piece.kind == "start" and not is_untouched:
            text = _ATTRIBUTE.sub(r"\1\2", text)
        if is_untouched or piece.kind == "other" or piece.tag in _INLINE:
            run.append((line, text))
            continue
        yield from _in_any_order(run)
        run = []
        yield line, text
    yield from _in_any_order(run)


def _in_any_order(run: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the texts of a run sorted; the lines stay, for what is told of them."""
    texts = sorted(text for _, text in run)
    yield from ((line, text) for (line, _), text in zip(run, texts, strict=True))
