"""Apple strings files; the only importer of openstep_plist, which validates what is found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from llmtool.documents.localization.messages import (
    flags_of,
    join_message,
    quote_note,
    split_message,
)
from llmtool.documents.localization.values import (
    find_message_fault,
    is_message,
    join_surrogates,
)
from llmtool.documents.types import Document, OutsideText, Part, Segment
from llmtool.errors import InputError, missing_extra

_TOKEN = re.compile(
    r"""
    (?P<space>[\s\ufeff]+)
  | (?P<comment>/\*.*?\*/|//[^\r\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\w$/:.-]+)
  | (?P<mark>[=;])
    """,
    re.VERBOSE | re.DOTALL,
)
_FORMAT = "objc-format"
_ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{1,4})|([0-7]{1,3})|(.))", re.DOTALL)
_CHARACTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class _Entry(msgspec.Struct, frozen=True):
    """A key and the span of its value, with the quotation marks; they are equal in `key;`."""

    key: tuple[int, int]
    value: tuple[int, int]
    comments: tuple[str, ...]


class AppleStrings(Document):
    """The messages of a strings file, whose values a translation replaces.

    Raises:
        InputError: the file is not valid; the error names the line.
        UsageError: the extra `strings` is not installed.

    Example:
        >>> document = AppleStrings('/* Title */\\n"greeting" = "Hello, %@!";\\n')
        >>> document.segments[0].context, document.segments[0].source
        (('greeting',), 'Hello, %@!')
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        _read(source)
        segments: list[Segment] = []
        self.outside = tuple(self._outside(segments))
        self.segments = tuple(segments)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text = join_message(parts, *self._message(segment))
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r") + '"'

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return find_message_fault(segment.parts, parts, *self._message(segment))

    def _message(self, segment: Segment) -> tuple[str, tuple[str, ...]]:
        """Return the text of a segment, and the flags for its placeholders."""
        text = _unquote(self.source[segment.start : segment.end])
        return text, flags_of(text, _FORMAT)

    def compare(self, output: str) -> str | None:
        before, after = _read(self.source), _read(output)
        if list(before) != list(after):
            return "the keys differ"
        for key, value in before.items():
            if value != after[key] and not is_message(value):
                return f"the value of {key} differs"
        return None

    def _outside(self, segments: list[Segment]) -> Iterator[OutsideText]:
        """Append the segments, and yield the text outside of them."""
        for entry in _entries(self.source):
            if isinstance(entry, tuple):
                yield OutsideText(*entry, "comment")
                continue
            yield OutsideText(*entry.key, "key")
            (start, end), text = entry.value, _unquote(self.source[slice(*entry.value)])
            if entry.value == entry.key:
                continue
            if is_message(text):
                key = _unquote(self.source[slice(*entry.key)])
                parts = split_message(text, flags_of(text, _FORMAT))
                notes = tuple(f"comment {quote_note(each)}" for each in entry.comments)
                segments.append(
                    Segment(
                        start=start, end=end, parts=parts, context=(key,), key=(key,), notes=notes
                    )
                )
            else:
                yield OutsideText(start, end, "identifier")


def _entries(source: str) -> Iterator[_Entry | tuple[int, int]]:
    """Yield the entries, and the spans of comments."""
    at = 0
    texts: list[tuple[int, int]] = []
    comments: list[str] = []
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            line = source.count("\n", 0, at) + 1
            raise InputError(f'line {line}: expected "key" = "value"; or a comment')
        at = found.end()
        if found["comment"]:
            comments.append(found[0].strip("/* \t\r\n"))
            yield found.span()
        elif found["string"]:
            texts.append(found.span())
        elif found[0] == ";" and texts:
            yield _Entry(texts[0], texts[-1], tuple(comments))
            texts, comments = [], []


def _read(source: str) -> dict[str, str]:
    """Return the keys and values that openstep_plist parses.

    Raises:
        InputError: the file is not valid.
        UsageError: the extra `strings` is not installed.
    """
    try:
        import openstep_plist
    except ImportError as exc:
        raise missing_extra("support of Apple strings files", "strings") from exc
    for _ in _entries(source):  # openstep_plist crashes on thousands of nested lists
        pass
    try:
        values = openstep_plist.loads(source.removeprefix("\ufeff"))
    except openstep_plist.ParseError as exc:
        found = re.search(r"line (\d+)", str(exc))
        position = f"line {found[1]}: " if found else ""
        raise InputError(f'{position}not a valid strings file; write "key" = "value";') from exc
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        raise InputError('line 1: not a strings file; write "key" = "value";')
    return values


def _unquote(text: str) -> str:
    if text[:1] not in "\"'":
        return text

    def character(found: re.Match[str]) -> str:
        code, octal, other = found.groups()
        if code or octal:
            return chr(int(code or octal, 16 if code else 8))
        return _CHARACTERS.get(other, other)

    return join_surrogates(_ESCAPE.sub(character, text[1:-1]))
