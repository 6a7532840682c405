"""gettext message catalogs; the only importer of polib, which validates the scanner's result.

The segments are the entries with untranslated forms, and fuzzy ones. A translation replaces the
msgstr; it also removes the fuzzy flag and the previous msgid of a fuzzy entry. Forms that a person
wrote remain. Where no translation is accepted, the entry stays unchanged, and gettext shows the
msgid if the msgstr is empty. The header of a template is completed for the target language.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.documents.lines import split_lines
from llmtool.documents.localization.bar_contexts import has_contexts, split_context
from llmtool.documents.localization.catalog_header import complete_header, find_field
from llmtool.documents.localization.icu import find_icu_fault
from llmtool.documents.localization.messages import (
    find_invented_placeholder,
    join_message,
    quote_note,
    split_message,
)
from llmtool.documents.localization.plural_forms import (
    PluralForms,
    begin_form,
    parse_plural_forms,
    split_forms,
)
from llmtool.documents.protected_spans import find_nesting_fault, positional
from llmtool.documents.types import (
    Document,
    Mark,
    OutsideText,
    Part,
    ProtectedSpan,
    Segment,
    has_letters,
)
from llmtool.errors import InputError

_FIELD = re.compile(
    r'[ \t]*(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)[ \t]*)?(".*")[ \t]*', re.DOTALL
)
_ESCAPED = re.compile(r'\\(n|t|r|a|b|f|v|\\|"|[0-7]{1,3}|x[0-9a-fA-F]{2})')
_CONTROL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_TO_ESCAPE = {ord(c): f"\\{name}" for name, c in _CONTROL_ESCAPES.items()} | {
    ord("\\"): "\\\\",
    ord('"'): '\\"',
}
# polib splits lines at these characters; gettext does not.
_LINE_SEPARATORS = {
    ord(c): chr(0xE000 + i) for i, c in enumerate("\v\f\x1c\x1d\x1e\x85\u2028\u2029")
}
_MARK_COMMENT = "# Machine translation"


class _Entry(msgspec.Struct, kw_only=True):
    """An entry: its texts by keyword, and the span of each keyword with its value."""

    start: int
    texts: dict[str, str] = {}
    spans: dict[str, tuple[int, int, int]] = {}  # start of the keyword, start and end of the value
    comments: list[str] = []
    references: list[str] = []
    flags: list[str] = []
    context: str = ""  # in its msgid, before a bar

    @property
    def is_header(self) -> bool:
        return self.texts.get("msgid") == "" and "msgctxt" not in self.texts

    @property
    def is_fuzzy(self) -> bool:
        return "fuzzy" in self.flags

    @property
    def values(self) -> list[str]:
        """The names of the msgstr fields, in order."""
        names = [name for name in self.spans if name.startswith("msgstr")]
        return sorted(names, key=lambda name: self.spans[name])

    @property
    def end(self) -> int:
        return self.spans[self.values[-1]][2]


class Catalog(Document):
    """A catalog; its segments are the entries with untranslated forms, and fuzzy ones.

    `to` is the code of the target language, for the header of a template. `mark` marks translated
    entries: with the flag fuzzy, or with a comment.

    Raises:
        InputError: the catalog is not valid; the error names the line.

    Example:
        >>> document = Catalog('msgid "One file"\\nmsgstr ""\\n\\nmsgid "Yes"\\nmsgstr "Ja"\\n')
        >>> [segment.text for segment in document.segments]
        ['One file']
    """

    has_targets = True

    def __init__(self, source: str, *, to: str | None = None, mark: Mark | None = None) -> None:
        _read(source)
        super().__init__(source)
        self._mark, self._to = mark, to
        entries, comments = _scan(source)
        if to is not None:
            self.source = _with_header(source, entries, to, self._newline)
            entries, comments = _scan(self.source)
        header_text = next((each.texts.get("msgstr", "") for each in entries if each.is_header), "")
        self._forms = parse_plural_forms(header_text)
        self.language = find_field(header_text, "Language")
        # The entry and the forms of each segment, by its start.
        self._entries: dict[int, tuple[_Entry, list[int]]] = {}
        self._messages = messages = [entry for entry in entries if not entry.is_header]
        _set_contexts(messages)
        found: list[Segment] = []
        for index, entry in enumerate(messages):
            around = [each.texts["msgid"] for each in _neighbours(messages, index)]
            found += self._segments(entry, around)
        self.segments = tuple(found)
        self.outside = (*comments, *(text for entry in entries for text in _outside(entry)))

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        entry, forms = self._entries[segment.start]
        keyword, value, _ = entry.spans[entry.values[0]]
        head = self.source[segment.start : value]
        if segment.start == entry.start:
            head = _change_flags(head, self._mark, self._newline)
        if "msgid_plural" not in entry.texts:
            text = join_message(parts, _form_text(entry, 0, None), entry.flags)
            return head + _quote(text, self._newline)
        head = head[: len(head) - (value - max(keyword, segment.start))]
        written = dict(zip(forms, split_forms(parts), strict=True))
        lines = []
        for form in range(max(self._n_forms(entry), len(entry.values))):
            name = f"msgstr[{form}]"
            if form in written:
                source = _form_text(entry, form, self._forms)
                text = _quote(join_message(written[form], source, entry.flags), self._newline)
            elif entry.texts.get(name):
                _, start, end = entry.spans[name]
                text = self.source[start:end]
            else:
                continue
            lines.append(f"{name} {text}")
        return head + self._newline.join(lines)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        entry, forms = self._entries[segment.start]
        before, after = split_forms(segment.parts), split_forms(parts)
        for form, source, translation in zip(forms, before, after, strict=True):
            for find in (_find_fault, find_icu_fault, find_nesting_fault):
                if fault := find(source, translation):
                    return fault
            text = _form_text(entry, form, self._forms)
            if invented := find_invented_placeholder(translation, text, entry.flags):
                return f"has the placeholder {invented}, which its source does not have"
        return None

    def translations(self) -> Mapping[tuple[str, ...], Sequence[Part]]:
        found: dict[tuple[str, ...], Sequence[Part]] = {}
        for entry in self._messages:
            names = [_value_name(entry, form) for form in range(self._n_forms(entry))]
            texts = [entry.texts.get(name, "") for name in names]
            if all(texts) and not entry.is_fuzzy:
                parts: list[Part] = []
                for form, text in enumerate(texts):
                    if "msgid_plural" in entry.texts:
                        parts.append(begin_form(self._example(entry, form)))
                    parts += split_message(text, entry.flags)
                found[_key(entry, range(len(texts)))] = parts
        return found

    def compare(self, output: str) -> str | None:
        before, after = _read(self.source), _read(output)
        if len(before) != len(after):
            return "the number of messages differs"
        for one, other in zip(before, after, strict=True):
            if _identity(one) != _identity(other):
                return f"line {one.linenum}: the message differs"
        return None

    def _segments(self, entry: _Entry, around: list[str]) -> Iterator[Segment]:
        forms = [
            form
            for form in range(self._n_forms(entry))
            if entry.is_fuzzy or not entry.texts.get(_value_name(entry, form))
        ]
        if not forms or not entry.values:
            return
        parts: list[Part] = []
        for form in forms:
            text = _form_text(entry, form, self._forms)
            if "msgid_plural" in entry.texts:
                parts.append(begin_form(self._example(entry, form)))
                parts += split_message(text, entry.flags)
            else:
                parts += split_message(text, entry.flags, to=self._to)
        if not has_letters(parts):
            return
        first = entry.spans[entry.values[0]]
        is_plural = "msgid_plural" in entry.texts
        start = first[0] if is_plural else first[1]
        if entry.is_fuzzy or self._mark:
            start = entry.start
        self._entries[start] = entry, forms
        context = (entry.texts["msgctxt"],) if "msgctxt" in entry.texts else ()
        context = (entry.context,) if entry.context else context
        yield Segment(
            start=start,
            end=entry.end,
            parts=tuple(parts),
            context=context,
            key=_key(entry, forms),
            notes=tuple(_notes(entry, around)),
            is_atomic=True,
        )

    def _n_forms(self, entry: _Entry) -> int:
        if "msgid_plural" not in entry.texts:
            return 1
        return len(self._forms.numbers) if self._forms else len(entry.values)

    def _example(self, entry: _Entry, form: int) -> int:
        """Return an example of the numbers of a form."""
        number = self._forms.example(form) if self._forms else None
        if number is None:
            number = 1 if form == 0 else 2
        elif self._forms and self._forms.has_one(form) and _is_singular(entry, form, self._forms):
            number = 1
        return number


def _quote(text: str, newline: str) -> str:
    """Return a text as a catalog string, each of its lines on a line of the file."""
    lines = [line for line in re.split(r"(?<=\n)", text) if line] or [""]
    quoted = [f'"{line.translate(_TO_ESCAPE)}"' for line in lines]
    return quoted[0] if len(quoted) == 1 else newline.join(['""', *quoted])


def _with_header(source: str, entries: list[_Entry], to: str, newline: str) -> str:
    """Return a catalog whose header is complete, so that gettext accepts its translation."""
    header = next((each for each in entries if each.is_header), None)
    has_plurals = any("msgid_plural" in each.texts for each in entries)
    if header is None:
        completed = complete_header("", to, is_template=True, has_plurals=has_plurals)
        at = 1 if source.startswith("\ufeff") else 0
        entry = newline.join(['msgid ""', f"msgstr {_quote(completed, newline)}", "", ""])
        return source[:at] + entry + source[at:]
    if "msgstr" not in header.texts:
        line = source.count("\n", 0, header.start) + 1
        raise InputError(f"line {line}: the header has no msgstr")
    text = header.texts["msgstr"]
    completed = complete_header(text, to, is_template=header.is_fuzzy, has_plurals=has_plurals)
    if completed == text:
        return source
    _, start, end = header.spans["msgstr"]
    head = _change_flags(source[header.start : start], None, newline)
    return source[: header.start] + head + _quote(completed, newline) + source[end:]


def _set_contexts(messages: list[_Entry]) -> None:
    """Find the contexts in msgids, if the catalog has them."""
    texts = (
        (
            each.texts["msgid"],
            each.texts.get("msgstr", ""),
            " ".join(each.comments + each.references),
        )
        for each in messages
        if not each.is_fuzzy
    )
    if not has_contexts(texts):
        return
    for each in messages:
        found = split_context(each.texts["msgid"])
        if found and not each.texts.keys() & {"msgctxt", "msgid_plural"}:
            each.context = found[0]


def _key(entry: _Entry, forms: Sequence[int]) -> tuple[str, ...]:
    names = ("msgctxt", "msgid", "msgid_plural")
    return (*(f"{name} {entry.texts.get(name)}" for name in names), *map(str, forms))


def _neighbours(messages: list[_Entry], index: int) -> list[_Entry]:
    return [*messages[max(0, index - 1) : index], *messages[index + 1 : index + 2]]


def _notes(entry: _Entry, around: list[str]) -> Iterator[str]:
    if context := entry.context or entry.texts.get("msgctxt"):
        yield f"context {quote_note(context)}"
    if entry.comments:
        yield f"comment {quote_note(' '.join(entry.comments))}"
    if around:
        yield f"neighbouring messages {', '.join(map(quote_note, around))}"


def _value_name(entry: _Entry, form: int) -> str:
    return f"msgstr[{form}]" if "msgid_plural" in entry.texts else "msgstr"


def _form_text(entry: _Entry, form: int, forms: PluralForms | None) -> str:
    """Return the text to translate for a form: the msgid for the number 1, else the plural."""
    plural = entry.texts.get("msgid_plural")
    is_singular = plural is None or _is_singular(entry, form, forms)
    text = entry.texts["msgid"] if is_singular or plural is None else plural
    return text[len(entry.context) + 1 :] if entry.context else text


def _is_singular(entry: _Entry, form: int, forms: PluralForms | None) -> bool:
    """Return whether a form is the translation of the msgid.

    A form for more numbers than 1 needs the placeholders of the plural. In the format of a flag,
    no form may have others.
    """
    if forms is None:
        is_only_one = has_one = form == 0 and len(entry.values) > 1
    else:
        is_only_one = forms.is_only_one(form)
        has_one = forms.has_one(form) and len(forms.numbers) > 1
    if not is_only_one and not has_one:
        return False
    texts = [split_message(entry.texts[name], entry.flags) for name in ("msgid", "msgid_plural")]
    singular, plural = (
        Counter(part.source for part in parts if isinstance(part, ProtectedSpan)) for parts in texts
    )
    first, following = map(positional, texts)
    if is_only_one:
        has_format = any(re.fullmatch(r"(?!no-).*-format", flag) for flag in entry.flags)
        return (singular <= plural and following[: len(first)] == first) or not has_format
    return singular == plural != Counter() and first == following


def _find_fault(source: Sequence[Part], translation: Sequence[Part]) -> str | None:
    before, after = (
        "".join(part if isinstance(part, str) else part.source or "x" for part in parts)
        for parts in (source, translation)
    )
    if not after.strip():
        return "is empty"
    if (before[:1] == "\n") != (after[:1] == "\n") or (before[-1:] == "\n") != (after[-1:] == "\n"):
        return "adds or loses a line break at its start or end"
    return None


def _scan(source: str) -> tuple[list[_Entry], list[OutsideText]]:
    """Return the entries of a catalog, and its comments."""
    entries: list[_Entry] = []
    comments: list[OutsideText] = []
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
            entry = None
        if is_comment:
            is_obsolete = line.lstrip().startswith("#~")
            reason = "obsolete message" if is_obsolete else "comment"
            comments.append(OutsideText(start, start + len(line), reason))
            if is_obsolete:
                continue
        if (is_comment or named is not None) and entry is None:
            entry = _Entry(start=start, texts={}, spans={}, comments=[], references=[], flags=[])
            entries.append(entry)
        if entry is None:
            continue
        if line.startswith("#,"):
            entry.flags += [flag for flag in re.split(r"[,\s]+", line[2:]) if flag]
        elif line.startswith("#."):
            entry.comments.append(line[2:].strip())
        elif line.startswith("#:"):
            entry.references.append(line[2:].strip())
        elif named is not None:
            field = named[1] or field
            entry.texts[field] = entry.texts.get(field, "") + _unescape(named[3][1:-1])
            span = entry.spans.get(field, (start + named.start(1), start + named.start(3)))
            entry.spans[field] = span[0], span[1], start + named.end(3)
    return [entry for entry in entries if "msgid" in entry.texts], comments


def _outside(entry: _Entry) -> Iterator[OutsideText]:
    """Yield the texts of an entry; segments may cover some of them."""
    for name, (keyword, start, end) in entry.spans.items():
        is_value = name.startswith("msgstr")
        reason = "header" if entry.is_header else "already translated" if is_value else "msgid"
        yield OutsideText(keyword, start, "keyword")
        yield OutsideText(start, end, "msgctxt" if name == "msgctxt" else reason)


def _change_flags(head: str, mark: Mark | None, newline: str) -> str:
    """Return the lines before a msgstr with the flags and comment of a machine translation.

    The flag fuzzy and the previous msgid of a fuzzy entry are removed.
    """
    lines: list[str] = []
    flags: list[str] = []
    at_flags = None
    for line in re.split(r"(?<=\n)", head):
        if line.startswith("#|"):
            continue
        if line.startswith("#,"):
            flags += [flag for flag in re.split(r"[,\s]+", line[2:]) if flag and flag != "fuzzy"]
            at_flags = len(lines) if at_flags is None else at_flags
            continue
        if at_flags is None and not line.startswith("#"):
            at_flags = len(lines)
        lines.append(line)
    if mark == "fuzzy":
        flags.insert(0, "fuzzy")
    if flags:
        lines.insert(at_flags or 0, f"#, {', '.join(flags)}{newline}")
    if mark == "comment" and not any(line.startswith(_MARK_COMMENT) for line in lines):
        lines.insert(0, f"{_MARK_COMMENT}{newline}")
    return "".join(lines)


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
        catalog = polib.pofile(text.removeprefix("\ufeff").translate(_LINE_SEPARATORS) + "\n")
    except Exception as exc:  # of any type
        found = re.search(r"line (\d+)", str(exc))
        position = f"line {found[1]}: " if found else ""
        raise InputError(f"{position}not a valid message catalog") from exc
    return list(catalog)


def _identity(entry: Any) -> tuple[object, ...]:
    flags = sorted(flag for flag in entry.flags if flag != "fuzzy")
    has_gap = sorted(map(int, entry.msgstr_plural)) != list(range(len(entry.msgstr_plural)))
    return entry.msgid, entry.msgid_plural, entry.msgctxt, flags, has_gap, entry.obsolete
