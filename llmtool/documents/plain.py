"""Plain text: a paragraph that was wrapped is one passage, any other line one of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmtool.documents.lines import join, width, wrap
from llmtool.documents.placeholders import split_parts
from llmtool.documents.types import Part, Segment

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
# What stands before the words of a line: indentation, quote marks, one bullet or number.
_BEFORE = re.compile(r"[ \t>|]*(?:(?:[-*+•–—·]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])[ \t]+)?")
_MIN_COLUMNS, _MAX_COLUMNS = 40, 120  # of text that somebody wrapped
_RAGGED = 0.72  # of the longest line, the shortest that a wrapped paragraph's other lines have


class Plain:
    """A text and its passages."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._newline = "\r\n" if "\r\n" in source else "\n"
        self._columns: dict[int, tuple[int, str]] = {}  # of wrapped passages, by where they start
        self.segments: tuple[Segment, ...] = tuple(self._segments())

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        if tuple(parts) == segment.parts:
            return self.source[segment.start : segment.end]
        text = "".join(part if isinstance(part, str) else part.source for part in parts)
        text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
        if segment.start not in self._columns:
            return text
        columns, before = self._columns[segment.start]
        return f"{self._newline}{before}".join(wrap(text, max(20, columns - width(before))))

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text = "".join(part if isinstance(part, str) else "x" for part in parts)
        return None if text.strip() else "empty"

    def compare(self, output: str) -> str | None:
        if len(_paragraphs(output)) != len(_paragraphs(self.source)):
            return "another number of paragraphs"
        return None

    def _segments(self) -> Iterator[Segment]:
        for lines in _paragraphs(self.source):
            if _is_wrapped([text for _, text in lines]):
                yield self._wrapped(lines)
            else:
                for start, text in lines:
                    yield from _of_line(start, text)

    def _wrapped(self, lines: list[tuple[int, str]]) -> Segment:
        first_start, first = lines[0]
        last_start, last = lines[-1]
        found = _BEFORE.match(first)
        assert found is not None
        start = first_start + found.end()
        bodies = [first[found.end() :].rstrip(), *(text.strip() for _, text in lines[1:])]
        second = lines[1][1]
        before = second[: len(second) - len(second.lstrip())]
        self._columns[start] = max(width(text) for _, text in lines), before
        return Segment(
            start=start, end=last_start + len(last.rstrip()), parts=split_parts(join(bodies))
        )


def parse(text: str) -> Plain:
    """Return the passages of a plain text.

    Example:
        >>> [segment.text for segment in parse("- One.\\n- Two.\\n").segments]
        ['One.', 'Two.']
    """
    return Plain(text)


def _paragraphs(text: str) -> list[list[tuple[int, str]]]:
    """Return runs of lines between blank ones: where each line starts, and its text."""
    found: list[list[tuple[int, str]]] = [[]]
    for match in _LINE.finditer(text):
        line = match[0].rstrip("\r\n")
        if line.strip():
            found[-1].append((match.start(), line))
        elif found[-1]:
            found.append([])
    return [lines for lines in found if lines]


def _of_line(start: int, line: str) -> Iterator[Segment]:
    found = _BEFORE.match(line)
    assert found is not None
    body = line[found.end() :].rstrip()
    parts = split_parts(body)
    if any(isinstance(part, str) and any(map(str.isalpha, part)) for part in parts):
        begin = start + found.end()
        yield Segment(start=begin, end=begin + len(body), parts=parts)


def _is_wrapped(lines: list[str]) -> bool:
    """Whether lines are a paragraph that was broken at a width: all but the last are about full."""
    if len(lines) < 2:
        return False
    widths = [width(line.rstrip()) for line in lines]
    longest = max(widths)
    if not _MIN_COLUMNS <= longest <= _MAX_COLUMNS:
        return False
    if any(_has_bullet(line) for line in lines[1:]):
        return False
    full = all(each >= longest * _RAGGED for each in widths[:-1])
    # Poems and addresses: a first word of the next line would have had room.
    could_hold = sum(
        widths[i] + 1 + width(lines[i + 1].split()[0]) <= longest for i in range(len(lines) - 1)
    )
    return full and could_hold <= (len(lines) - 1) // 2


def _has_bullet(line: str) -> bool:
    found = _BEFORE.match(line)
    return bool(found and found[0].strip(" \t"))
