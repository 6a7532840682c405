"""Subtitles: SubRip and WebVTT; the only importer of srt.

Each block of lines under a timing is a segment, or one per speaker. Numbers, timings, settings,
notes and styles stay unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from llmtool.documents.lines import balance, join_lines, split_lines
from llmtool.documents.protected_spans import (
    find_nesting_fault,
    hide_protected,
    show_protected,
    split_parts,
)
from llmtool.documents.types import (
    Document,
    Format,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
)
from llmtool.errors import InputError

# Some programs write a colon before the milliseconds, or a time before the start.
_CLOCK = r"-?(?:\d+:)?\d{1,2}:\d{1,2}(?:[,.:]\d{1,3})?"
_TIMING = re.compile(rf"[ \t]*({_CLOCK})[ \t]*-->[ \t]*({_CLOCK})(?:[ \t].*)?")
_CLOCK_LIKE = re.compile(r"[ \t]*-?\d+[:;.,]\S")
# From a tag such as {\p1} to {\p0}.
_DRAWING = re.compile(
    r"\{\\(?:[^{}\n]*\\)?p[1-9]\d*[\\}].*?(?:\{\\(?:[^{}\n]*\\)?p0[^{}\n]*\}|\Z)", re.DOTALL
)
# Drawings, tags, karaoke timings, positions and entities.
_MARKUP = re.compile(
    rf"({_DRAWING.pattern}|<[^<>\n]*>|\{{\\[^{{}}\n]*\}}|&(?:\w+|#\d+);)", re.DOTALL
)
_SPEAKER = re.compile(r"[ \t]*(?:<[^<>\n]*>|\{\\[^{}\n]*\})*[ \t]*[-–—‐][ \t]*")
# A line that does not continue on the next: lyrics between notes, or a sound in brackets.
_WHOLE_LINE = re.compile(
    r"(?:<[^<>\n]*>|\{\\[^{}\n]*\}|\s)*"
    r"(?:[♪♫♬].*[♪♫♬]|\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）|【[^【】]*】)(?:<[^<>\n]*>|\s)*"
)
_VTT_BLOCKS = {
    "WEBVTT": "header",
    "NOTE": "comment",
    "STYLE": "style",
    "REGION": "style",
}
_SPEAKER_CHANGE = re.compile(_SPEAKER.pattern + r"(?:(?<=[ \t])\S|[^\d\s])")  # but not "-5"

_Line = tuple[int, str]  # its start and text


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
        found: list[Segment | OutsideText] = []
        for block in _blocks(source, format):
            found += [block] if isinstance(block, OutsideText) else _segments(block)
        self.segments = tuple(each for each in found if isinstance(each, Segment))
        self.outside = tuple(each for each in found if isinstance(each, OutsideText))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text, protected = hide_protected(parts, self._escape)
        n_lines = len(self.source[segment.start : segment.end].splitlines())
        return show_protected(self._newline.join(balance(text.strip(), n_lines)), protected)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text = "".join(part for part in parts if isinstance(part, str))
        if text.count("-->") > segment.text.count("-->") or _TIMING.search(text):
            return "contains -->, which marks a timing"
        if not text.strip():
            return "is empty"
        if text.strip().isdecimal() and not segment.text.strip().isdecimal():
            return "is only a number"
        return find_nesting_fault(segment.parts, parts)

    def compare(self, output: str) -> str | None:
        before, after = (_parse_srt(text) for text in (self.source, output))
        if before is None or self.format == "vtt":
            before, after = _times(self.source), _times(output)
        if after is None:
            return "it is not valid SubRip"
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


def _blocks(source: str, format: Format) -> Iterator[list[_Line] | OutsideText]:
    """Yield the lines under each timing, and the text outside of them."""
    lines = split_lines(source)
    timings = [i for i, (_, line) in enumerate(lines) if _TIMING.fullmatch(line)]
    for i, (_, line) in enumerate(lines):
        if "-->" in line and not _TIMING.fullmatch(line) and _looks_like_timing(line):
            raise InputError(f"line {i + 1}: malformed timing; write 00:00:01,000 --> 00:00:02,000")
    if not timings:
        if format == "vtt" and source.removeprefix("\ufeff").startswith("WEBVTT"):
            yield from _outside(lines)
            return
        raise InputError("line 1: no timing found; expected 00:00:01,000 --> 00:00:02,000")
    if format == "srt":
        for number, (_, line) in enumerate(lines[: timings[0]], 1):
            if line.strip("\ufeff \t") and not line.strip("\ufeff \t").isdecimal():
                raise InputError(f"line {number}: text without a timing")
    else:
        yield from _outside(lines[: timings[0]], precedes_timing=True)
    for i, timing in enumerate(timings):
        start, line = lines[timing]
        yield OutsideText(start, start + len(line), "timing")
        last = timings[i + 1] if i + 1 < len(timings) else len(lines)
        below = lines[timing + 1 : last]
        is_last = i + 1 == len(timings)
        if format == "vtt":
            # Only an empty line ends a cue; a line with a space belongs to it.
            end = next((k for k, (_, line) in enumerate(below) if not line), len(below))
            yield below[:end]
            yield from _outside(below[end:], precedes_timing=not is_last)
        elif not is_last and below and below[-1][1].strip().isdecimal():
            yield below[:-1]  # without the number of the next subtitle
        else:
            yield below


def _outside(lines: list[_Line], *, precedes_timing: bool = False) -> Iterator[OutsideText]:
    """Yield the blocks of a WebVTT file that are not cues."""
    blocks = _split_blocks(lines, is_blank=lambda line: not line)
    for i, block in enumerate(blocks):
        (start, first), (last_start, last) = block[0], block[-1]
        end = last_start + len(last)
        word = first.removeprefix("\ufeff").split(None, 1)[:1]
        reason = _VTT_BLOCKS.get(word[0]) if word else None
        is_identifier = precedes_timing and block[-1] == lines[-1] and i + 1 == len(blocks)
        if reason is not None:
            yield OutsideText(start, end, reason)
        elif is_identifier and len(block) == 1:
            yield OutsideText(start, end, "cue identifier")
        else:
            yield OutsideText(start, end, "a player shows no text without a timing", True)


def _looks_like_timing(line: str) -> bool:
    before, _, after = line.partition("-->")
    return bool(_CLOCK_LIKE.match(before) and re.match(r"[ \t]*-?\d", after))


def _split_blocks(lines: list[_Line], is_blank: Callable[[str], bool]) -> list[list[_Line]]:
    blocks: list[list[_Line]] = [[]]
    for start, line in lines:
        if not is_blank(line):
            blocks[-1].append((start, line))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _segments(cue: list[_Line]) -> Iterator[Segment | OutsideText]:
    for block in _split_blocks(cue, is_blank=lambda line: not line.strip()):
        (first, _), (last_start, last) = block[0], block[-1]
        if _is_json("\n".join(line for _, line in block)):
            yield OutsideText(first, last_start + len(last), "metadata")
            continue
        turns = _speaker_turns(block)
        for (start, line), *rest in turns:
            dash = _SPEAKER.match(line) if len(turns) > 1 else None
            at = dash.end() if dash else 0
            if any(map(str.isalpha, line[:at])):
                yield OutsideText(start, start + at, "tag or placeholder")
            yield from _segment([(start + at, line[at:]), *rest])


def _speaker_turns(block: list[_Line]) -> list[list[_Line]]:
    """Split lines by speaker: a dash marks a change. A whole line is also a turn."""
    turns: list[list[_Line]] = []
    all_have_dashes = all(_SPEAKER.match(line) for _, line in block)
    is_whole = False
    for start, line in block:
        was_whole, is_whole = is_whole, _WHOLE_LINE.fullmatch(line) is not None
        if not turns or all_have_dashes or was_whole or is_whole or _SPEAKER_CHANGE.match(line):
            turns.append([])
        turns[-1].append((start, line))
    return turns


def _is_json(text: str) -> bool:
    """Return whether a cue is data for a program."""
    if text.strip()[:1] not in ("{", "["):
        return False
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _segment(lines: list[_Line]) -> Iterator[Segment | OutsideText]:
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
    for order in (range(len(parts)), range(len(parts) - 1, -1, -1)):
        for at in order:
            part = parts[at]
            if isinstance(part, str):
                if part.strip():
                    break
            elif not _MARKUP.fullmatch(part.source) or part.source[0] == "&":
                break
            else:
                parts[at] = ProtectedSpan(part.source, is_fixed=True)
    end = last_start + len(last.rstrip())
    if has_letters(parts):
        yield Segment(start=start, end=end, parts=tuple(parts))
    else:
        is_drawing = any(_DRAWING.match(part.source) for part in parts if not isinstance(part, str))
        yield OutsideText(start, end, "drawing" if is_drawing else "tag or placeholder")


def _times(text: str) -> list[object]:
    return [line for _, line in split_lines(text) if _TIMING.fullmatch(line)]


def _parse_srt(text: str) -> list[object] | None:
    """Return the number, times and settings of each subtitle, None if `srt` rejects the text."""
    import srt

    try:
        return [
            (cue.index, cue.start, cue.end, cue.proprietary)
            for cue in srt.parse(text.removeprefix("\ufeff"))
        ]
    except (srt.SRTParseError, ValueError):
        return None
