"""Message catalogs of gettext; the only importer of polib, which checks what our scanner finds.

The passages are the messages without a translation, and the fuzzy ones: their msgstr is what a
translation takes the place of. A fuzzy entry that gets one loses its flag and its previous msgid,
since both say that the translation is of another text. A message that stays as it was stays
untranslated, which gettext shows in its own language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmtool.documents.placeholders import split_parts
from llmtool.documents.types import Part, Segment
from llmtool.errors import InputError

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_FIELD = re.compile(r'[ \t]*(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)?[ \t]*(".*")[ \t]*')
_ESCAPED = re.compile(r'\\(n|t|r|a|b|f|v|\\|"|[0-7]{1,3}|x[0-9a-fA-F]{2})')
_MEANING = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class _Entry(msgspec.Struct, kw_only=True):
    """An entry as it is read: texts by keyword, and where each msgstr stands."""

    start: int
    texts: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    comments: list[str] = []
    is_fuzzy: bool = False


class Catalog:
    """A catalog and its passages."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._newline = "\r\n" if "\r\n" in source else "\n"
        self._values: dict[int, int] = {}  # where the msgstr of a passage begins, by its start
        self.segments: tuple[Segment, ...] = tuple(
            segment for entry in _entries(source) for segment in self._segments(entry)
        )

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        original = self.source[segment.start : segment.end]
        if tuple(parts) == segment.parts:
            return original
        text = "".join(part if isinstance(part, str) else part.source for part in parts)
        head = original[: self._values[segment.start] - segment.start]
        return _without_fuzzy(head) + self._quote(text)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        before, after = (
            "".join(part if isinstance(part, str) else "x" for part in each)
            for each in (segment.parts, parts)
        )
        if not after.strip():
            return "empty"
        if before[:1] == "\n" != after[:1] or (before[-1:] == "\n") != (after[-1:] == "\n"):
            return "begins or ends with another line break"
        return None

    def compare(self, output: str) -> str | None:
        before, after = _read(self.source), _read(output)
        if len(before) != len(after):
            return "another number of messages"
        for one, other in zip(before, after, strict=True):
            if _identity(one) != _identity(other):
                return f"line {one.linenum}: another message"
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
                before=tuple([*context, *entry.comments]),
            )

    def _quote(self, text: str) -> str:
        """Return a text as a string of a catalog; lines of it are lines of the file."""
        lines = text.splitlines(keepends=True) or [""]
        quoted = [f'"{_escape(line)}"' for line in lines]
        return quoted[0] if len(quoted) == 1 else self._newline.join(['""', *quoted])


def parse(text: str) -> Catalog:
    """Return the messages of a catalog that have no translation.

    Raises:
        InputError: it is broken, with its line.

    Example:
        >>> document = parse('msgid "One file"\\nmsgstr ""\\n\\nmsgid "Yes"\\nmsgstr "Ja"\\n')
        >>> [segment.text for segment in document.segments]
        ['One file']
    """
    _read(text)
    return Catalog(text)


def _entries(source: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    field = ""
    for number, found in enumerate(_LINE.finditer(source), 1):
        line = found[0].rstrip("\r\n").removeprefix("\ufeff")
        start = found.start() + found[0].find(line) if line else found.start()
        is_comment = line.lstrip().startswith("#")
        named = None if is_comment else _FIELD.fullmatch(line)
        if line.strip() and not is_comment and named is None:
            raise InputError(f"line {number}: neither a comment nor a message of a catalog")
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
    """Return the lines above a msgstr without what says that it is of another text."""
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
    def meaning(found: re.Match[str]) -> str:
        word = found[1]
        if word in _MEANING:
            return _MEANING[word]
        if word[0] == "x" or word.isdigit():
            return chr(int(word.lstrip("x"), 16 if word[0] == "x" else 8))
        return word

    return _ESCAPED.sub(meaning, text)


def _read(text: str) -> list[Any]:
    """Return the entries as polib reads them.

    Raises:
        InputError: it is no catalog.
    """
    import polib

    if "msgid" not in text:
        raise InputError("line 1: there is no message (msgid) in this catalog")
    try:
        catalog = polib.pofile(text.removeprefix("\ufeff") + "\n")  # never a file's name
    except (OSError, ValueError, IndexError, KeyError) as exc:
        found = re.search(r"line (\d+)", str(exc))
        place = f"line {found[1]}: " if found else ""
        raise InputError(f"{place}the catalog is broken there") from exc
    return list(catalog)


def _identity(entry: Any) -> tuple[object, ...]:
    flags = sorted(flag for flag in entry.flags if flag != "fuzzy")
    plurals = sorted(entry.msgstr_plural)
    return entry.msgid, entry.msgid_plural, entry.msgctxt, flags, plurals, entry.obsolete
