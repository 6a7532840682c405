"""gettext message catalogs; the only importer of polib, which validates the scanner's result.

The segments are untranslated and fuzzy messages, and a translation replaces the msgstr. It also
removes the fuzzy flag and the previous msgid of a fuzzy entry. Where no translation is accepted,
the msgstr stays unchanged, and gettext shows the msgid if it is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmtool.documents.lines import split_lines
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.types import Document, Part, Segment, join_parts
from llmtool.errors import InputError

_FIELD = re.compile(r'[ \t]*(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)?[ \t]*(".*")[ \t]*')
_ESCAPED = re.compile(r'\\(n|t|r|a|b|f|v|\\|"|[0-7]{1,3}|x[0-9a-fA-F]{2})')
_CONTROL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class _Entry(msgspec.Struct, kw_only=True):
    """An entry: its texts by keyword, and the span of each msgstr."""

    start: int
    texts: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    comments: list[str] = []
    is_fuzzy: bool = False


class Catalog(Document):
    """A catalog; its segments are the untranslated and fuzzy messages.

    Raises:
        InputError: the catalog is not valid; the error names the line.

    Example:
        >>> document = Catalog('msgid "One file"\\nmsgstr ""\\n\\nmsgid "Yes"\\nmsgstr "Ja"\\n')
        >>> [segment.text for segment in document.segments]
        ['One file']
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        _read(source)
        self._values: dict[int, int] = {}  # the start of each msgstr, by the start of its segment
        self.segments = tuple(
            segment for entry in _entries(source) for segment in self._segments(entry)
        )

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        head = self.source[segment.start : self._values[segment.start]]
        return _without_fuzzy(head) + self._quote(join_parts(parts))

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        before, after = (
            "".join(part if isinstance(part, str) else "x" for part in each)
            for each in (segment.parts, parts)
        )
        if not after.strip():
            return "is empty"
        if before[:1] == "\n" != after[:1] or (before[-1:] == "\n") != (after[-1:] == "\n"):
            return "adds or loses a line break at its start or end"
        return None

    def compare(self, output: str) -> str | None:
        before, after = _read(self.source), _read(output)
        if len(before) != len(after):
            return "the number of messages differs"
        for one, other in zip(before, after, strict=True):
            if _identity(one) != _identity(other):
                return f"line {one.linenum}: the message differs"
        return None

    def _segments(self, entry: _Entry) -> Iterator[Segment]:
        msgid = entry.texts.get("msgid", "")
        values = {name: text for name, text in entry.texts.items() if name.startswith("msgstr")}
        if not msgid or (all(values.values()) and not entry.is_fuzzy):
            return
        plural = entry.texts.get("msgid_plural")
        context = [entry.texts["msgctxt"]] if "msgctxt" in entry.texts else []
        start = entry.start
        for name in sorted(values, key=lambda each: entry.spans[each]):
            first, last = entry.spans[name]
            if not entry.is_fuzzy or name not in ("msgstr", "msgstr[0]"):
                start = first
            is_singular = name == "msgstr[0]" and len(values) > 1
            text = msgid if plural is None or is_singular else plural
            self._values[start] = first
            yield Segment(
                start=start,
                end=last,
                parts=split_parts(text),
                context=tuple([*context, *entry.comments]),
            )

    def _quote(self, text: str) -> str:
        """Return a text as a catalog string, each of its lines on a line of the file."""
        lines = text.splitlines(keepends=True) or [""]
        quoted = [f'"{_escape(line)}"' for line in lines]
        return quoted[0] if len(quoted) == 1 else self._newline.join(['""', *quoted])


def _entries(source: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    field = ""
    for number, (line_start, text) in enumerate(split_lines(source), 1):
        line = text.removeprefix("\ufeff")
        start = line_start + len(text) - len(line)
        is_comment = line.lstrip().startswith("#")
        named = None if is_comment else _FIELD.fullmatch(line)
        if line.strip() and not is_comment and named is None:
            raise InputError(f"line {number}: expected a comment, msgid or msgstr")
        begins = named is not None and named[1] in ("msgctxt", "msgid")
        is_open = entry is not None and any(name.startswith("msgstr") for name in entry.texts)
        if entry is not None and is_open and (is_comment or begins or not line.strip()):
            yield entry
            entry = None
        if is_comment and not line.lstrip().startswith("#~"):
            entry = entry or _Entry(start=start, texts={}, spans={}, comments=[])
            if line.startswith("#,"):
                entry.is_fuzzy |= "fuzzy" in re.split(r"[,\s]+", line)
            elif line.startswith("#."):
                entry.comments.append(line[2:].strip())
        elif named is not None:
            entry = entry or _Entry(start=start, texts={}, spans={}, comments=[])
            field = named[1] or field
            value = (start + named.start(3), start + named.end(3))
            entry.texts[field] = entry.texts.get(field, "") + _unescape(named[3][1:-1])
            first = entry.spans[field][0] if field in entry.spans else value[0]
            entry.spans[field] = first, value[1]
    if entry is not None:
        yield entry


def _without_fuzzy(head: str) -> str:
    """Return the lines before a msgstr without the fuzzy flag and the previous msgid."""
    lines = []
    for line in head.splitlines(keepends=True):
        if line.startswith("#|"):
            continue
        if line.startswith("#,"):
            flags = [flag for flag in re.split(r"[,\s]+", line[2:].strip()) if flag != "fuzzy"]
            if not flags:
                continue
            end = line[len(line.rstrip("\r\n")) :]
            line = f"#, {', '.join(flags)}{end}"
        lines.append(line)
    return "".join(lines)


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _unescape(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        escape = found[1]
        if escape in _CONTROL_ESCAPES:
            return _CONTROL_ESCAPES[escape]
        if escape[0] == "x" or escape.isdigit():
            return chr(int(escape.lstrip("x"), 16 if escape[0] == "x" else 8))
        return escape

    return _ESCAPED.sub(character, text)


def _read(text: str) -> list[Any]:
    """Return the entries that polib parses.

    Raises:
        InputError: the catalog is not valid.
    """
    import polib

    if "msgid" not in text:
        raise InputError("line 1: the catalog has no messages (msgid)")
    try:
        # With the newline, polib never takes the text for a file name.
        catalog = polib.pofile(text.removeprefix("\ufeff") + "\n")
    except (OSError, ValueError, IndexError, KeyError) as exc:
        found = re.search(r"line (\d+)", str(exc))
        position = f"line {found[1]}: " if found else ""
        raise InputError(f"{position}not a valid message catalog") from exc
    return list(catalog)


def _identity(entry: Any) -> tuple[object, ...]:
    flags = sorted(flag for flag in entry.flags if flag != "fuzzy")
    plurals = sorted(entry.msgstr_plural)
    return entry.msgid, entry.msgid_plural, entry.msgctxt, flags, plurals, entry.obsolete
