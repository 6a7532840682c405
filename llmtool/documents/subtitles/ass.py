"""Advanced SubStation Alpha and SubStation Alpha; the only importer of pysubs2, which compares.

The segments are the texts of dialogue lines, or one per speaker. Override tags are protected.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence

from llmtool.documents.lines import balance, join_lines, split_lines
from llmtool.documents.protected_spans import hide_protected, show_protected, split_parts
from llmtool.documents.types import Document, OutsideText, Part, ProtectedSpan, Segment, has_letters
from llmtool.errors import InputError, missing_extra

_UNCLOSED_HEADING = re.compile(r"^.{0,3}\[[^\]\n]{1000}", re.MULTILINE)
_OVERRIDE = re.compile(r"(\{[^{}]*\}|\\h)")
_BREAK = re.compile(r"\\[Nn]")
_DRAWING = re.compile(r"\\p(\d+)")
_KARAOKE = re.compile(r"\{[^{}]*\\(?:k|K|kf|ko)\d")
_DASH = re.compile(r"(?:\{[^{}]*\})*\s*[-–—]\s*")
_SYNTAX = re.compile(r"[{}]|\\[Nnh]")


class AssSubtitles(Document):
    """A subtitle file and its segments.

    Raises:
        InputError: there is no `[Events]` section, or it has no `Format:` line.
        UsageError: the extra `ass` is not installed.

    Example:
        >>> source = (
        ...     "[Events]\\n"
        ...     "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\\n"
        ...     "Dialogue: 0,0:00:01.00,0:00:02.00,,,0,0,0,,{\\\\i1}Good morning,\\\\Neverybody!\\n"
        ... )
        >>> AssSubtitles(source).segments[0].text.strip()
        'Good morning, everybody!'
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        _events(source)
        segments: list[Segment] = []
        self.outside = tuple(self._outside(segments))
        self.segments = tuple(segments)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        text, protected = hide_protected(parts, lambda text: " ".join(text.split("\n")))
        breaks = _BREAK.findall(self.source[segment.start : segment.end])
        mark = breaks[0] if breaks else ""
        lines = balance(text.strip(), len(breaks) + 1)
        return show_protected(mark.join(lines), protected)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        text = "".join(part for part in parts if isinstance(part, str))
        if _SYNTAX.search(text) and not _SYNTAX.search(segment.text):
            return "contains { } or a backslash, which mark a tag or a line break"
        return None if text.strip() else "is empty"

    def compare(self, output: str) -> str | None:
        before, after = _events(self.source), _events(output)
        if len(before) != len(after):
            return "the number of lines in [Events] differs"
        for number, (one, other) in enumerate(zip(before, after, strict=True), 1):
            if one != other:
                return f"line {number} of [Events] differs"
        return None

    def _outside(self, segments: list[Segment]) -> Iterator[OutsideText]:
        """Append the segments, and yield the text outside of them."""
        section, n_fields = "", 0
        for start, line in split_lines(self.source):
            kind, separator, value = line.partition(":")
            kind = kind.strip().lower()
            end = start + len(line)
            if line.lstrip("\ufeff ").startswith("["):
                section = line.strip("\ufeff []").lower()
            if section == "events" and kind == "format":
                n_fields = value.count(",") + 1
            if section != "events" or kind != "dialogue" or not separator:
                reason = "comment" if kind in ("comment", ";") else "settings"
                yield OutsideText(start, end, reason)
                continue
            if not n_fields:
                raise InputError("the section [Events] has no Format: line")
            fields = value.split(",", n_fields - 1)
            text = fields[-1] if len(fields) == n_fields else ""
            at = end - len(text)
            yield OutsideText(start, at, "settings")
            yield from self._line(at, text, segments)

    def _line(self, start: int, text: str, segments: list[Segment]) -> Iterator[OutsideText]:
        if _KARAOKE.search(text):
            reason = "karaoke syllables are not supported"
            yield OutsideText(start, start + len(text), reason, is_language=True)
            return
        at = 0
        for first, last in _turns(text):
            yield OutsideText(start + at, start + first, "line break")
            at, piece = last, text[first:last]
            parts = tuple(_parts(piece))
            if has_letters(parts):
                segments.append(Segment(start=start + first, end=start + last, parts=parts))
            else:
                yield OutsideText(start + first, start + last, "drawing or tag")


def _turns(text: str) -> list[tuple[int, int]]:
    """Return the spans of the texts of a line: one, or one per speaker."""
    breaks = [found.span() for found in _BREAK.finditer(text)]
    starts = [0, *(end for _, end in breaks)]
    ends = [*(start for start, _ in breaks), len(text)]
    if len(starts) < 2 or not all(
        _DASH.match(text, start, end) for start, end in zip(starts, ends, strict=True)
    ):
        return [(0, len(text))]
    found = []
    for start, end in zip(starts, ends, strict=True):
        dash = _DASH.match(text, start, end)
        assert dash is not None
        found.append((dash.end(), end))
    return found


def _parts(text: str) -> Iterator[Part]:
    """Yield the parts of a text; the commands of a drawing are protected."""
    is_drawing, at_start = False, True
    lines = join_lines([line.strip() for line in _BREAK.split(text)])
    pieces = [piece for piece in _OVERRIDE.split(lines) if piece]
    last_text = max(
        (i for i, piece in enumerate(pieces) if not _OVERRIDE.fullmatch(piece)), default=-1
    )
    for i, piece in enumerate(pieces):
        if _OVERRIDE.fullmatch(piece):
            for level in _DRAWING.findall(piece):
                is_drawing = level != "0"
            yield ProtectedSpan(piece, is_fixed=at_start or i > last_text)
        elif is_drawing:
            yield ProtectedSpan(piece)
        else:
            at_start = at_start and not piece.strip()
            yield from split_parts(piece)


def _events(source: str) -> list[tuple[object, ...]]:
    """Return what pysubs2 reads of each event but its text: the tags and drawings in any order.

    Raises:
        InputError: the file is not valid.
        UsageError: the extra `ass` is not installed.
    """
    try:
        import pysubs2
    except ImportError as exc:
        raise missing_extra("support of .ass files", "ass") from exc
    if not re.search(r"^\ufeff?\[Events\]", source, re.IGNORECASE | re.MULTILINE):
        raise InputError("line 1: not an .ass file; it has no section [Events]")
    if heading := _UNCLOSED_HEADING.search(source):  # pysubs2 takes quadratic time for it
        line = source.count("\n", 0, heading.start()) + 1
        raise InputError(f"line {line}: the name of the section does not end")
    format = "ass" if "[V4 Styles]" not in source else "ssa"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fields that it cannot parse
            file = pysubs2.SSAFile.from_string(source.removeprefix("\ufeff"), format_=format)
    except Exception as exc:  # of any type
        raise InputError("not a valid .ass file; check the lines of [Events]") from exc
    styles = tuple(sorted(file.styles))
    return [
        (
            each.type, each.start, each.end, each.style, each.name, each.effect, each.layer,
            each.marginl, each.marginr, each.marginv, styles,
            sorted(_OVERRIDE.findall(each.text)),
        )
        for each in file.events
    ]  # fmt: skip
