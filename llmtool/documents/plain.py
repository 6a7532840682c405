"""Plain text: a wrapped paragraph is one segment, and so is any other line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmtool.documents.lines import display_width, join_lines, split_lines, wrap
from llmtool.documents.protected_spans import PROTECTED_IN_TEXT, split_parts
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    Segment,
    has_letters,
    is_blank,
    join_parts,
)

# Before the words of a line: indentation, quote marks, one bullet or number.
_PREFIX = re.compile(r"[ \t>|]*(?:(?:[-*+•–—·]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])[ \t]+)?")
_MIN_COLUMNS, _MAX_COLUMNS = 40, 120  # width of wrapped text
# Lines of a wrapped paragraph, except the last, have at least this share of the longest width.
_MIN_FILL = 0.72
_SENTENCE_END = re.compile(r"[.!?…。！？｡।۔؟:;：；][\"'”’»」』)）]*\Z")


class PlainText(Document):
    """A plain text and its segments.

    Example:
        >>> [segment.text for segment in PlainText("- One.\\n- Two.\\n").segments]
        ['One.', 'Two.']
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self._wrapping: dict[int, tuple[int, str]] = {}  # columns and prefix, by start
        texts = tuple(self._texts())
        self.segments = tuple(each for each in texts if isinstance(each, Segment))
        self.outside = tuple(each for each in texts if isinstance(each, OutsideText))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text = join_parts(parts)
        text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
        if segment.start not in self._wrapping:
            return text
        columns, prefix = self._wrapping[segment.start]
        return f"{self._newline}{prefix}".join(wrap(text, max(20, columns - display_width(prefix))))

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        return "is empty" if is_blank(parts) else None

    def compare(self, output: str) -> str | None:
        if len(_paragraphs(output)) != len(_paragraphs(self.source)):
            return "the number of paragraphs differs"
        return None

    def _texts(self) -> Iterator[Segment | OutsideText]:
        for lines in _paragraphs(self.source):
            if _is_wrapped([text for _, text in lines]):
                yield from self._wrapped_texts(lines)
            else:
                for start, text in lines:
                    yield from _line_texts(start, text)

    def _wrapped_texts(self, lines: list[tuple[int, str]]) -> Iterator[Segment | OutsideText]:
        first_start, first = lines[0]
        last_start, last = lines[-1]
        found = _PREFIX.match(first)
        assert found is not None
        start = first_start + found.end()
        bodies = [first[found.end() :].rstrip(), *(text.strip() for _, text in lines[1:])]
        second = lines[1][1]
        prefix = second[: len(second) - len(second.lstrip())]
        self._wrapping[start] = max(display_width(text) for _, text in lines), prefix
        parts = split_parts(join_lines(bodies), PROTECTED_IN_TEXT)
        yield OutsideText(first_start, start, "list label")
        yield _text(start, last_start + len(last.rstrip()), parts)


def _paragraphs(text: str) -> list[list[tuple[int, str]]]:
    """Return the paragraphs, each as the start and text of its lines."""
    found: list[list[tuple[int, str]]] = [[]]
    for start, line in split_lines(text):
        if line.strip():
            found[-1].append((start, line))
        elif found[-1]:
            found.append([])
    return [lines for lines in found if lines]


def _line_texts(start: int, line: str) -> Iterator[Segment | OutsideText]:
    found = _PREFIX.match(line)
    assert found is not None
    body = line[found.end() :].rstrip()
    begin = start + found.end()
    yield OutsideText(start, begin, "list label")
    yield _text(begin, begin + len(body), split_parts(body, PROTECTED_IN_TEXT))


def _text(start: int, end: int, parts: tuple[Part, ...]) -> Segment | OutsideText:
    if has_letters(parts):
        return Segment(start=start, end=end, parts=parts)
    return OutsideText(start, end, "address or placeholder")


def _is_wrapped(lines: list[str]) -> bool:
    """Return whether lines are one paragraph that was wrapped at a fixed width."""
    if len(lines) < 2:
        return False
    widths = [display_width(line.rstrip()) for line in lines]
    longest = max(widths)
    if not _MIN_COLUMNS <= longest <= _MAX_COLUMNS:
        return False
    if any(_has_bullet(line) for line in lines[1:]):
        return False
    if all(_SENTENCE_END.search(line.rstrip()) for line in lines):
        return False  # one sentence per line
    is_full = all(each >= longest * _MIN_FILL for each in widths[:-1])
    # In poems and addresses, the first word of the next line often fits.
    n_short = sum(
        widths[i] + 1 + display_width(lines[i + 1].split()[0]) <= longest
        for i in range(len(lines) - 1)
    )
    return is_full and n_short <= (len(lines) - 1) // 2


def _has_bullet(line: str) -> bool:
    found = _PREFIX.match(line)
    return bool(found and found[0].strip(" \t"))
