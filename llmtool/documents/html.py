"""HTML: the text of its blocks, and attributes with text, such as `alt`.

The source is split into tags, text, entities and comments, which add up to the source even if it is
malformed. No tree is built, and no markup is regenerated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from html.parser import HTMLParser
from typing import Literal

import msgspec

from llmtool.documents.protected_spans import VOID_ELEMENTS, find_nesting_fault, split_parts
from llmtool.documents.types import Document, Part, ProtectedSpan, Segment, has_letters
from llmtool.errors import InputError

_INLINE = frozenset(
    "a abbr acronym b bdi bdo big br cite data del dfn em font i img ins label mark q rp rt ruby s"
    " small span strike strong sub sup time tt u wbr".split()
)
_SKIPPED = frozenset("code kbd samp var pre script style textarea svg math template tt".split())
_TEXT_ATTRIBUTES = r"alt|title|placeholder|aria-label|summary|content"
_ATTRIBUTE = re.compile(
    rf"""(?<=\s)({_TEXT_ATTRIBUTES})(\s*=\s*)("([^"]*)"|'([^']*)')""", re.IGNORECASE
)
_META = re.compile(r"""\b(?:name|property)\s*=\s*["']?(?:description|og:title|og:description)\b""")
_NO_TRANSLATE = re.compile(
    r"""\btranslate\s*=\s*["']?no\b|\bclass\s*=\s*["'][^"']*\bnotranslate\b""", re.I
)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_UNCLOSED_TAG = re.compile(r"<[^<>]*(?=<|\Z)")
_MAX_UNCLOSED = 2000
_TEXT_ENTITIES = {"amp", "lt", "gt", "quot", "apos"}

Kind = Literal["start", "end", "text", "entity", "other"]


class _Token(msgspec.Struct, frozen=True):
    """A tag, text, entity or comment, from `start` to `end` of the source."""

    kind: Kind
    start: int
    end: int
    tag: str = ""
    is_self_closing: bool = False  # <tag/>


class Html(Document):
    """An HTML text and its segments.

    Raises:
        InputError: so many tags are unclosed that parsing would take quadratic time.

    Example:
        >>> [segment.text for segment in Html("<h1>Hello</h1><p>A <b>big</b> day").segments]
        ['Hello', 'A  big  day']
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        n_unclosed = sum(1 for _ in _UNCLOSED_TAG.finditer(source))
        n_unclosed += source.count("<!--") - source.count("-->")
        if n_unclosed > _MAX_UNCLOSED:
            raise InputError(
                f"the HTML has {n_unclosed:,} unclosed tags; the limit is {_MAX_UNCLOSED:,}"
            )
        self._attributes: set[int] = set()  # starts of the segments that are attribute values
        self.segments = tuple(sorted(self._segments(), key=lambda segment: segment.start))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text = ""
        for part in parts:
            text += part.source if isinstance(part, ProtectedSpan) else _escape(part)
        if segment.start in self._attributes:
            quote = self.source[segment.start - 1]
            text = text.replace(quote, "&quot;" if quote == '"' else "&#39;")
        return text

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        """Check that tags still match; text is escaped and cannot become markup."""
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = list(_skeleton(self.source)), list(_skeleton(output))
        for (line, one), (_, other) in zip(before, after, strict=False):
            if one != other:
                return f"line {line}: a tag, attribute or comment differs"
        return None if len(before) == len(after) else "the number of tags differs"

    def _segments(self) -> Iterator[Segment]:
        run: list[_Token] = []
        for token, is_skipped in _tokens(self.source):
            if token.tag in _INLINE or token.kind in ("text", "entity") or is_skipped:
                run.append(msgspec.structs.replace(token, kind="other") if is_skipped else token)
                continue
            if token.kind == "other" and run:  # a comment within text
                run.append(token)
                continue
            yield from self._run_segments(run)
            run = []
            if token.kind == "start":
                yield from self._attribute_segments(token)
        yield from self._run_segments(run)

    def _run_segments(self, run: list[_Token]) -> Iterator[Segment]:
        """Yield the segment of a run of text and inline tags, without the tags around it.

        The attributes of tags outside the segment are separate segments.
        """
        words = [i for i, token in enumerate(run) if self._has_words(token)]
        first, last = (words[0], words[-1] + 1) if words else (len(run), len(run))
        for token in [*run[:first], *run[last:]]:
            if token.kind == "start":
                yield from self._attribute_segments(token)
        if not words:
            return
        parts: list[Part] = []
        for token in run[first:last]:
            text = self.source[token.start : token.end]
            if token.kind == "text":
                parts += split_parts(_SPACE.sub(" ", text))
            elif token.kind == "entity":
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

    def _has_words(self, token: _Token) -> bool:
        text = self.source[token.start : token.end]
        if token.kind == "entity":
            return isinstance(_read_entity(text), str) and unescape(text).isalpha()
        return token.kind == "text" and any(map(str.isalpha, text))

    def _attribute_segments(self, token: _Token) -> Iterator[Segment]:
        tag = self.source[token.start : token.end]
        for found in _ATTRIBUTE.finditer(tag):
            name, value = found[1].lower(), found[4] if found[4] is not None else found[5]
            if name == "content" and not (token.tag == "meta" and _META.search(tag)):
                continue
            start = token.start + found.start(3) + 1
            parts = split_parts(unescape(value))
            if has_letters(parts):
                self._attributes.add(start)
                yield Segment(start=start, end=start + len(value), parts=parts, context=(name,))


class _Tokenizer(HTMLParser):
    """Records the start of each token."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._lines = [0, *(found.end() for found in re.finditer("\n", source))]
        self.found: list[tuple[int, Kind, str, bool]] = []
        self.feed(source)
        self.close()

    def _record(self, kind: Kind, tag: str = "", *, is_self_closing: bool = False) -> None:
        line, column = self.getpos()
        self.found.append((self._lines[line - 1] + column, kind, tag, is_self_closing))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._record("start", tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self._record("start", tag, is_self_closing=True)

    def handle_endtag(self, tag: str) -> None:
        self._record("end", tag)

    def handle_data(self, data: str) -> None:
        self._record("text")

    def handle_entityref(self, name: str) -> None:
        self._record("entity")

    def handle_comment(self, data: str) -> None:
        self._record("other")

    def handle_decl(self, decl: str) -> None:
        self._record("other")

    handle_charref = handle_entityref
    handle_pi = unknown_decl = handle_comment


def _tokenize(source: str) -> list[_Token]:
    found = _Tokenizer(source).found
    ends = [*(start for start, *_ in found[1:]), len(source)][: len(found)]
    return [
        _Token(kind, start, end, tag, is_self_closing)
        for (start, kind, tag, is_self_closing), end in zip(found, ends, strict=True)
        if end > start
    ]


def _tokens(source: str) -> Iterator[tuple[_Token, bool]]:
    """Yield the tokens, and whether each belongs to an element that is not translated."""
    open_tags: list[str] = []  # the skipped element, and elements of the same name in it
    for token in _tokenize(source):
        if open_tags:
            if token.kind == "start" and token.tag == open_tags[0] and not token.is_self_closing:
                open_tags.append(token.tag)
            elif token.kind == "end" and token.tag == open_tags[0]:
                open_tags.pop()
            yield token, True
            continue
        begins = (
            token.kind == "start" and not token.is_self_closing and token.tag not in VOID_ELEMENTS
        )
        if begins and (
            token.tag in _SKIPPED or _NO_TRANSLATE.search(source[token.start : token.end])
        ):
            open_tags.append(token.tag)
            yield token, True
        else:
            yield token, False


def _read_entity(text: str) -> Part:
    """Return the character of an entity that is a letter or escapes markup; protect others."""
    character = unescape(text)
    name = text.strip("&;").lower()
    if text.endswith(";") and (
        name in _TEXT_ENTITIES or (len(character) == 1 and character.isalpha())
    ):
        return character
    return ProtectedSpan(text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _skeleton(source: str) -> Iterator[tuple[int, str]]:
    """Yield everything that a translation must not change, with its line.

    Within a segment, the order may change, as word order differs between languages.
    """
    line, at = 1, 0
    run: list[tuple[int, str]] = []
    for token, is_skipped in _tokens(source):
        line, at = line + source.count("\n", at, token.start), token.start
        text = source[token.start : token.end]
        if token.kind in ("text", "entity") and not is_skipped:
            continue
        if token.kind == "start" and not is_skipped:
            text = _ATTRIBUTE.sub(r"\1\2", text)
        if is_skipped or token.kind == "other" or token.tag in _INLINE:
            run.append((line, text))
            continue
        yield from _sorted_texts(run)
        run = []
        yield line, text
    yield from _sorted_texts(run)


def _sorted_texts(run: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Sort the texts of a run; the line numbers keep their order, for error messages."""
    texts = sorted(text for _, text in run)
    yield from ((line, text) for (line, _), text in zip(run, texts, strict=True))
