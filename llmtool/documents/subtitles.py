"""Subtitles: SubRip and WebVTT; the only importer of srt.

Each block of lines under a timing is a segment, or one per speaker. Numbers, timings, settings,
notes and styles stay unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from llmtool.documents.lines import balance, join_lines, split_lines
from llmtool.documents.protected_spans import (
    find_nesting_fault,
    hide_protected,
    show_protected,
    split_parts,
)
from llmtool.documents.types import Document, Format, Part, ProtectedSpan, Segment, has_letters
from llmtool.errors import InputError

_CLOCK = r"(?:\d+:)?\d{1,2}:\d{1,2}(?:[,.]\d{1,3})?"
_TIMING = re.compile(rf"[ \t]*({_CLOCK})[ \t]*-->[ \t]*({_CLOCK})(?:[ \t].*)?")
# Tags, karaoke timings, positions and entities.
_MARKUP = re.compile(r"(<[^<>\n]*>|\{\\[^{}\n]*\}|&(?:\w+|#\d+);)")
_SPEAKER = re.compile(r"[ \t]*(?:<[^<>\n]*>|\{\\[^{}\n]*\})*[ \t]*[-–—‐][ \t]*")
_SPEAKER_CHANGE = re.compile(_SPEAKER.pattern + r"(?:(?<=[ \t])\S|[^\d\s])")  # but not "-5"


class Subtitles(Document):
    """A subtitle file and its segments.

    Raises:
        InputError: a timing is malformed or missing; the error names the line.

    Example:
        >>> source = "1\\n00:00:01,000 --> 00:00:02,000\\n<i>Good\\nmorning.</i>\\n"
        >>> Subtitles(source, "srt").segments[0].text.strip()
        'Good morning.'
    """

    def __init__(self, source: str, format: Format) -> None:
        super().__init__(source)
        self.format = format
        self.segments = tuple(
            segment for cue in _cues(source, format) for segment in _segments(cue)
        )

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text, protected = hide_protected(parts, self._escape)
        n_lines = len(self.source[segment.start : segment.end].splitlines())
        return show_protected(self._newline.join(balance(text.strip(), n_lines)), protected)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text = "".join(part for part in parts if isinstance(part, str))
        if "-->" in text:
            return "contains -->, which marks a timing"
        if not text.strip():
            return "is empty"
        if text.strip().isdecimal() and not segment.text.strip().isdecimal():
            return "is only a number"
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = _times(self.source, self.format), _times(output, self.format)
        if len(before) != len(after):
            return f"{len(before)} subtitles became {len(after)}"
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
            if one != other:
                return f"subtitle {number}: the timing differs"
        return None

    def _escape(self, text: str) -> str:
        text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
        if self.format == "vtt":
            return text.replace("&", "&amp;").replace("<", "&lt;")
        return text


def _cues(source: str, format: Format) -> Iterator[list[tuple[int, str]]]:
    """Yield the lines under each timing, each as its start and text."""
    lines = split_lines(source)
    timings = [i for i, (_, line) in enumerate(lines) if _TIMING.fullmatch(line)]
    for i, (_, line) in enumerate(lines):
        if "-->" in line and not _TIMING.fullmatch(line) and _looks_like_timing(line):
            raise InputError(f"line {i + 1}: malformed timing; write 00:00:01,000 --> 00:00:02,000")
    if not timings:
        if format == "vtt" and source.removeprefix("\ufeff").startswith("WEBVTT"):
            return
        raise InputError("line 1: no timing found; expected 00:00:01,000 --> 00:00:02,000")
    if format == "srt":
        for number, (_, line) in enumerate(lines[: timings[0]], 1):
            if line.strip("\ufeff \t") and not line.strip("\ufeff \t").isdecimal():
                raise InputError(f"line {number}: text without a timing")
    for i, timing in enumerate(timings):
        last = timings[i + 1] if i + 1 < len(timings) else len(lines)
        below = lines[timing + 1 : last]
        if format == "vtt":
            blank = next((k for k, (_, line) in enumerate(below) if not line.strip()), len(below))
            below = below[:blank]
        elif i + 1 < len(timings) and below and below[-1][1].strip().isdecimal():
            below = below[:-1]  # the number of the next subtitle
        yield below


def _looks_like_timing(line: str) -> bool:
    before, _, after = line.partition("-->")
    return bool(re.search(r"\d", before) and re.search(r"\d", after) and ":" in line)


def _segments(cue: list[tuple[int, str]]) -> Iterator[Segment]:
    blocks: list[list[tuple[int, str]]] = [[]]
    for start, line in cue:
        if line.strip():
            blocks[-1].append((start, line))
        elif blocks[-1]:
            blocks.append([])
    for block in blocks:
        turns = _speaker_turns(block)
        for (start, line), *rest in turns:
            dash = _SPEAKER.match(line) if len(turns) > 1 else None
            at = dash.end() if dash else 0
            yield from _segment([(start + at, line[at:]), *rest])


def _speaker_turns(block: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    """Split lines by speaker: a dash marks a change."""
    turns: list[list[tuple[int, str]]] = []
    all_have_dashes = all(_SPEAKER.match(line) for _, line in block)
    for start, line in block:
        if not turns or all_have_dashes or _SPEAKER_CHANGE.match(line):
            turns.append([])
        turns[-1].append((start, line))
    return turns


def _segment(lines: list[tuple[int, str]]) -> Iterator[Segment]:
    if not lines:
        return
    first_start, first = lines[0]
    start = first_start + len(first) - len(first.lstrip())
    last_start, last = lines[-1]
    parts: list[Part] = []
    for i, piece in enumerate(_MARKUP.split(join_lines([line.strip() for _, line in lines]))):
        if i % 2:
            parts.append(ProtectedSpan(piece))
        else:
            parts.extend(split_parts(piece) if piece else ())
    for from_one_end in (parts, parts[::-1]):
        for part in from_one_end:
            if (
                isinstance(part, ProtectedSpan)
                and _MARKUP.fullmatch(part.source)
                and part.source[0] != "&"
            ):
                at = next(i for i, each in enumerate(parts) if each is part)
                parts[at] = ProtectedSpan(part.source, is_fixed=True)
            elif not isinstance(part, str) or part.strip():
                break
    if has_letters(parts):
        yield Segment(start=start, end=last_start + len(last.rstrip()), parts=tuple(parts))


def _times(text: str, format: Format) -> list[tuple[object, ...]]:
    if format == "srt":
        import srt

        try:
            return [
                (cue.index, cue.start, cue.end, cue.proprietary)
                for cue in srt.parse(text.removeprefix("\ufeff"), ignore_errors=True)
            ]
        except (srt.SRTParseError, ValueError):
            pass
    return [tuple(found) for found in _TIMING.findall(text)]
