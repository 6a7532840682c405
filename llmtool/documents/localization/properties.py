"""Java properties; the only importer of javaproperties, which finds the entries and their values.

A translation replaces the value of an entry. In a file of ASCII characters, it is ASCII as well,
since Java before version 9 reads properties as Latin-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from llmtool.documents.localization.icu import is_icu, split_icu
from llmtool.documents.localization.messages import (
    flags_of,
    join_message,
    quote_note,
    split_message,
)
from llmtool.documents.localization.values import find_message_fault, is_message
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    join_parts,
)
from llmtool.errors import InputError, missing_extra

_KEY = re.compile(
    r"(?:[ \t\f]|\\(?:\r\n|\r|\n))*((?:[^\s=:\\]|\\(?:\r\n|.))*)"
    r"(?:[ \t\f]|\\(?:\r\n|\r|\n))*[=:]?(?:[ \t\f]|\\(?:\r\n|\r|\n))*",
    re.DOTALL,
)
_COMMENT = re.compile(r"[ \t\f]*[#!][^\r\n]*(?:\r\n?|\n)?")
_BREAK = re.compile(r"\\(?:\r\n|.)|(\r\n?|\n)", re.DOTALL)
_CONTINUATION = re.compile(r"(\\[^\r\n])|\\(?:\r\n|\r|\n)[ \t\f]*")
_FORMAT = "java-printf-format"
# A value with arguments of java.text.MessageFormat, in which apostrophes quote.
_MESSAGE_FORMAT = re.compile(r"\{\d+\s*[,}]")
_CHOICE = re.compile(r"\{\s*\w+\s*,\s*choice\s*,")
_QUOTED = re.compile(r"('[^']+(?:'|\Z))")


class Properties(Document):
    """The messages of a properties file; ICU messages get the plural forms of the language `to`.

    Raises:
        InputError: the file is not valid; the error names the line.
        UsageError: the extra `properties` is not installed.

    Example:
        >>> document = Properties("# Menu\\nmenu.open = Open {0}\\\\u2026\\n")
        >>> document.segments[0].parts
        ('Open ', ProtectedSpan(source='{0}'), '…')
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        super().__init__(source)
        self._is_ascii = source.isascii()
        self._values: dict[int, str] = {}  # by the start of each segment
        segments: list[Segment] = []
        outside: list[OutsideText] = []
        comments: list[str] = []
        for start, line, entry in _entries(source):
            end = start + len(line.rstrip("\r\n"))
            key = getattr(entry, "key", None)
            if key is None:
                if any(map(str.isalpha, line)):
                    outside.append(OutsideText(start, end, "comment"))
                    comments.append(line.strip().lstrip("#! "))
                else:
                    comments = []
                continue
            value_start = _value_start(start, line)
            outside.append(OutsideText(start, value_start, "key"))
            if not is_message(entry.value):
                outside.append(OutsideText(value_start, end, "identifier"))
            elif is_icu(entry.value) and split_icu(entry.value) is None:
                reason = "the syntax of the ICU message is not supported"
                outside.append(OutsideText(value_start, end, reason, is_language=True))
            else:
                self._values[value_start] = entry.value
                notes = tuple(f"comment {quote_note(each)}" for each in comments)
                segments.append(
                    Segment(
                        start=value_start,
                        end=end,
                        parts=_split(entry.value, to),
                        context=(key,),
                        key=(key,),
                        notes=notes,
                        is_atomic=is_icu(entry.value),
                    )
                )
            comments = []
        self.segments, self.outside = tuple(segments), tuple(outside)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        value = self._values[segment.start]
        if _CHOICE.search(value):
            # An apostrophe would be doubled once or twice, depending on the text around it.
            parts = [part.replace("'", "’") if isinstance(part, str) else part for part in parts]
            return _escape(join_parts(parts), is_ascii=self._is_ascii)
        if _is_java(value):
            parts = [part.replace("'", "''") if isinstance(part, str) else part for part in parts]
            return _escape(join_parts(parts), is_ascii=self._is_ascii)
        text = join_message(parts, value, flags_of(value, _FORMAT))
        return _escape(text, is_ascii=self._is_ascii)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        value = self._values[segment.start]
        flags = () if _is_java(value) else flags_of(value, _FORMAT)
        return find_message_fault(segment.parts, parts, value, flags)

    def compare(self, output: str) -> str | None:
        before, after = (
            [entry for _, _, entry in _entries(text) if hasattr(entry, "key")]
            for text in (self.source, output)
        )
        if len(before) != len(after):
            return "the number of entries differs"
        for one, other in zip(before, after, strict=True):
            if one.key != other.key or (one.value != other.value and not is_message(one.value)):
                return f"the entry {one.key} differs"
        return None


def _entries(source: str) -> Iterator[tuple[int, str, Any]]:
    """Yield the entries, comments and empty lines, each with its start and its source.

    Raises:
        InputError: the file is not valid.
        UsageError: the extra `properties` is not installed.
    """
    try:
        import javaproperties
    except ImportError as exc:
        raise missing_extra("support of properties files", "properties") from exc
    at = 0
    try:
        while at < len(source):
            line = source[at : _end_of_line(source, at)]
            for entry in javaproperties.parse(_join_continuations(line)):
                yield at, line, entry
            at += len(line)
    except javaproperties.InvalidUEscapeError as exc:
        number = source.count("\n", 0, at) + 1
        raise InputError(f"line {number}: invalid escape {exc.escape}; write \\uXXXX") from exc


def _end_of_line(source: str, start: int) -> int:
    """Return where a comment ends, or a line with those that continue it."""
    if comment := _COMMENT.match(source, start):
        return comment.end()
    breaks = (each for each in _BREAK.finditer(source, start) if each[1] is not None)
    return next((each.end() for each in breaks), len(source))


def _join_continuations(line: str) -> str:
    """Return a logical line in at most two lines; javaproperties takes quadratic time for more.

    The first continuation remains, since no comment begins after it.
    """
    first = next((each for each in _CONTINUATION.finditer(line) if each[1] is None), None)
    if first is None:
        return line
    rest = line[first.end() :]
    return line[: first.end()] + _CONTINUATION.sub(lambda found: found[1] or "", rest)


def _value_start(start: int, line: str) -> int:
    found = _KEY.match(line)
    assert found is not None  # the expression also matches an empty text
    return start + min(found.end(), len(line.rstrip("\r\n")))


def _is_java(value: str) -> bool:
    """Return whether a value is a message of java.text, and not one of ICU with plural forms."""
    return bool(_MESSAGE_FORMAT.search(value)) and not is_icu(value)


def _split(value: str, to: str | None) -> tuple[Part, ...]:
    if not _is_java(value):
        parts = split_message(value, flags_of(value, _FORMAT), to=to)
        if not _CHOICE.search(value):
            return parts
        return tuple(p.replace("''", "'") if isinstance(p, str) else p for p in parts)
    found: list[Part] = []
    for i, piece in enumerate(_QUOTED.split(value.replace("''", "\0"))):
        if i % 2:
            found.append(ProtectedSpan(piece.replace("\0", "''")))
        else:
            found += split_parts(piece.replace("\0", "'"))
    return tuple(found)


def _escape(text: str, *, is_ascii: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    text = text.replace("\t", "\\t").replace("\f", "\\f")
    if text[:1] == " ":
        text = f"\\{text}"
    if not is_ascii:
        return text
    return "".join(c if c < "\x7f" else _escape_character(c) for c in text)


def _escape_character(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
