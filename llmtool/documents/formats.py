"""Detect the format of a document and parse it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import PurePath
from types import NoneType
from typing import cast, get_args

from llmtool import worker
from llmtool.documents.signatures import is_fragment, is_page
from llmtool.documents.types import Dialect, Document, Format, Mark
from llmtool.errors import InputError, UsageError
from llmtool.option_names import option

_CLASSES: dict[Format, tuple[str, str]] = {
    "txt": ("plain", "PlainText"),
    "md": ("markdown.document", "Markdown"),
    "html": ("html.document", "Html"),
    "srt": ("subtitles.srt_and_vtt", "Subtitles"),
    "vtt": ("subtitles.srt_and_vtt", "Subtitles"),
    "po": ("localization.catalogs", "Catalog"),
    "json": ("localization.json_values", "JsonValues"),
    "xliff": ("localization.xliff", "Xliff"),
    "android": ("localization.android", "AndroidStrings"),
    "qt": ("localization.qt", "QtMessages"),
    "strings": ("localization.apple_strings", "AppleStrings"),
    "properties": ("localization.properties", "Properties"),
    "ass": ("subtitles.ass", "AssSubtitles"),
    "rst": ("rst.document", "Rst"),
    "docx": ("packages", "Package"),
    "epub": ("packages", "Package"),
}
# Formats that declare the language of their text or have its plural forms, and those with a mark
# for machine translations.
_TARGETED = ("html", "android", "docx", "epub", "json", "properties")
_MARKS: dict[Mark, tuple[Format, ...]] = {"fuzzy": ("po", "xliff", "qt"), "comment": ("po",)}
_SUFFIXES: dict[str, Format] = {
    ".txt": "txt", ".text": "txt", ".md": "md", ".markdown": "md", ".mdx": "md", ".html": "html",
    ".htm": "html", ".xhtml": "html", ".srt": "srt", ".vtt": "vtt", ".po": "po", ".pot": "po",
    ".json": "json", ".arb": "json", ".xlf": "xliff", ".xliff": "xliff", ".strings": "strings",
    ".properties": "properties", ".ass": "ass", ".ssa": "ass", ".rst": "rst",
    ".docx": "docx", ".epub": "epub",
}  # fmt: skip
_CODE = frozenset(
    ".py .pyi .js .jsx .ts .tsx .mjs .c .h .cc .cpp .hpp .cs .go .rs .java .kt .swift .rb .php .pl"
    " .sh .bash .zsh .sql .css .scss .lua .r .scala .toml .yaml .yml .ini .xml .ipynb".split()
)
_TABLES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
# Formats that would be damaged as plain text, with the name and the program that converts them.
_PANDOC = "convert it to Markdown with pandoc"
_SUBTITLES = "convert it to SubRip (.srt) with ffmpeg"
_UNSUPPORTED = {
    **dict.fromkeys((".tex", ".latex", ".ltx"), ("LaTeX", _PANDOC)),
    **dict.fromkeys((".adoc", ".asciidoc"), ("AsciiDoc", "convert it to HTML with asciidoctor")),
    **dict.fromkeys((".wiki", ".mediawiki"), ("MediaWiki markup", _PANDOC)),
    **dict.fromkeys((".texi", ".texinfo"), ("Texinfo", "convert it to HTML with makeinfo")),
    **dict.fromkeys((".dbk", ".docbook"), ("DocBook", _PANDOC)),
    ".org": ("Org mode", _PANDOC),
    ".textile": ("Textile", _PANDOC),
    ".typ": ("Typst", _PANDOC),
    ".rtf": ("RTF", _PANDOC),
    ".fb2": ("FictionBook", _PANDOC),
    ".opml": ("OPML", _PANDOC),
    ".pod": ("Perl documentation", "convert it to Markdown with pod2markdown"),
    ".lrc": ("a lyrics file with times", _SUBTITLES),
    **dict.fromkeys((".sub", ".sbv", ".smi", ".ttml", ".dfxp"), ("a subtitle file", _SUBTITLES)),
    **dict.fromkeys((".eml", ".mbox"), ("an e-mail", "save its text")),
    **dict.fromkeys((".resx", ".tmx", ".svg", ".plist", ".dita"), ("XML", "extract its text")),
}
# How a text without a suffix begins.
_STARTS = {
    ".tex": re.compile(r"\s*(?:%.*\n\s*)*\\documentclass\b"),
    ".org": re.compile(r"\s*#\+(?:title|author|date|options|startup|begin_[a-z]+)\b", re.I),
    ".adoc": re.compile(
        r"\s*= \S.*\n(?::[\w-]+:.*\n|(?:.*\n){0,20}?\n(?:== \S.*[^=\s]|\[\w+.*\])\n)"
    ),
    ".lrc": re.compile(r"\s*(?:\[[a-z]+:[^\]\n]*\]\s*)*\[\d\d:\d\d\.\d{2,3}\]"),
}
_OTHERS = frozenset(".pdf .log .diff .patch .env".split())
_SRT = re.compile(r"\s*\d+[ \t]*\r?\n\s*-?\d+:\d{1,2}:\d{1,2}[,.:]\d{1,3}[ \t]*-->")
_PO = re.compile(r'^msgid[ \t]+"', re.MULTILINE)
# The first element of XML formats; `.ts` is also TypeScript.
_ROOT = re.compile(
    r"\s*(?:(?:<\?xml\b[^>]*>|<!--(?:(?!-->).)*-->"
    r"|<!DOCTYPE\s[^\[>]*(?:\[(?:(?!\]\s*>).)*\]\s*)?>)\s*)*<(xliff|resources|TS)[\s>]",
    re.DOTALL,
)
_ROOTS: dict[str, Format] = {"xliff": "xliff", "resources": "android", "TS": "qt"}
_STRINGS = re.compile(
    r"\s*(?:/\*(?:(?!\*/).)*\*/\s*|//[^\n]*\n\s*)*"
    r'"(?:[^"\\\n]|\\.)*"\s*=\s*"(?:[^"\\]|\\.)*"\s*;',
    re.DOTALL,
)
_TAGS = re.compile(r"</(?:p|div|h[1-6]|ul|ol|table|section|article|main|nav)\s*>", re.IGNORECASE)
# Markdown syntax with weights: prose also has an occasional asterisk or dash.
_MARKDOWN_SIGNS = (
    (re.compile(r"^ {0,3}#{1,6} +\S", re.MULTILINE), 2),
    (re.compile(r"^ {0,3}(```|~~~)", re.MULTILINE), 2),
    (re.compile(r"^ {0,3}\|?[ :]*---[ :-]*\|", re.MULTILINE), 2),
    (re.compile(r"\[[^\[\]\n]+\]\([^)\s\[]+(?: +\"[^\"\n]*\")?\)"), 2),
    (re.compile(r"^\[[^\]\n]+\]:\s+\S", re.MULTILINE), 2),
    (re.compile(r"\A---\r?\n(?:.*\r?\n)*?---\r?\n"), 2),
    (re.compile(r"^\S.*\r?\n(?:={3,}|-{3,})[ \t]*(?:\r?\n|\Z)", re.MULTILINE), 1),
    (re.compile(r"(?<!\*)\*\*[^\s*][^*\n]*\*\*"), 1),
    (re.compile(r"(?<!`)`[^`\n]+`(?!`)"), 1),
    (re.compile(r"^ {0,3}[-*+] +\S.*\r?\n {0,3}[-*+] +\S", re.MULTILINE), 1),
    (re.compile(r"^ {0,3}> +\S", re.MULTILINE), 1),
)
_MIN_WEIGHT = 2
# docutils searches the rest of a paragraph for the end of each inline element.
_UNCHECKED_CHARACTERS: dict[Format, int] = {"rst": 5000}
# A translation takes at most 500 MB besides the model: its text is there several times, with up to
# 4 bytes for each character, it is parsed twice, and each segment takes 2 KB more.
MAX_CHARACTERS, MAX_SEGMENTS = 8 << 20, 50_000
_MAX_MEMORY_BYTES = 200 << 20  # of the child that parses it
_SAMPLE_CHARACTERS = 20_000
_MAX_LINE = 100  # characters of a line in an error


def check_format(name: str) -> Format:
    """Return a name as a `Format`.

    Raises:
        UsageError: the format is unknown.
    """
    if name not in get_args(Format):
        raise UsageError(f"unknown format {name!r}; choose from {', '.join(get_args(Format))}")
    return cast("Format", name)


def has_known_suffix(name: str) -> bool:
    """Whether a name ends in the suffix of a document, a table or code.

    Example:
        >>> has_known_suffix("notes.txt"), has_known_suffix("e.g."), has_known_suffix(".md")
        (True, False, False)
    """
    suffix = PurePath(name).suffix.lower()
    return (
        suffix in _SUFFIXES or suffix in _TABLES or suffix in _CODE | _OTHERS | _UNSUPPORTED.keys()
    )


def detect(name: str | None, text: str) -> Format:
    """Return the format of a text from the suffix of its file name, else from its content.

    Raises:
        UsageError: the suffix is that of code, of a table, or of a format that is not supported.
        InputError: the text is a PDF.

    Example:
        >>> detect("page.md", ""), detect(None, "WEBVTT\\n"), detect(None, "5 * 3 is 15.")
        ('md', 'vtt', 'txt')
    """
    suffix = PurePath(name).suffix.lower() if name else ""
    if text.startswith("%PDF-"):
        raise InputError(
            "cannot translate a PDF; extract its text with pdftotext FILE -, and pipe it in"
        )
    if "\x1e" in text[:10]:
        from llmtool.documents.packages import package_format

        if format := package_format(text):
            return format
    if suffix in ("", ".ts", ".xml") and (root := _detect_root(text)):
        return root
    if suffix in _TABLES:
        raise UsageError(
            f"{name} is a table; use {option('each', _TABLES[suffix])} {option('field', 'NAME')} "
            f"(first line: {_first_line(text)})"
        )
    if suffix in _CODE:
        raise UsageError(
            f"{name} is source code, which a translation would break; translate a catalog of its "
            "messages, such as a .po file"
        )
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if unsupported := unsupported_format(suffix, text):
        kind, remedy = unsupported
        if not suffix:
            remedy += f", or use {option('format', 'txt')} if it is plain text"
        raise UsageError(f"{name or 'the text'} is {kind}, which is not supported; {remedy}")
    return _detect_by_content(text)


def unsupported_format(suffix: str, text: str) -> tuple[str, str] | None:
    """Return the name of a format that plain text would damage, and how to convert it, or None.

    Example:
        >>> unsupported_format(".tex", "")
        ('LaTeX', 'convert it to Markdown with pandoc')
    """
    if suffix == "":
        starts = (each for each, start in _STARTS.items() if start.match(text))
        suffix = next(starts, "")
    return _UNSUPPORTED.get(suffix)


def parse(
    text: str,
    format: Format,
    *,
    dialect: Dialect = "auto",
    to: str | None = None,
    mark: Mark | None = None,
) -> Document:
    """Parse a text in a format; `dialect` is that of Markdown.

    `to` is the code of the target language, for formats that declare it or have its plural forms.
    `mark` is for formats with a state or comment for translations of a machine.

    Raises:
        InputError: the text is not valid in that format; the error names the line.
        UsageError: the format has no such mark.
    """
    if mark is not None and format not in _MARKS[mark]:
        raise UsageError(
            f"{option('mark', mark)}: is supported for {', '.join(_MARKS[mark])}, not {format}"
        )
    module, name = _CLASSES[format]
    make = getattr(importlib.import_module(f"llmtool.documents.{module}"), name)
    if format == "md":
        return cast("Document", make(text, dialect))
    if any(format in formats for formats in _MARKS.values()):
        return cast("Document", make(text, to=to, mark=mark))
    if format in _TARGETED:
        return cast("Document", make(text, to=to))
    return cast("Document", make(text, format) if format in ("srt", "vtt") else make(text))


def check_limits(
    text: str,
    format: Format,
    *,
    dialect: Dialect = "auto",
    to: str | None = None,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Parse a long text in a child process, within limits of time and memory.

    It is for what `parse` is to parse in this process, since a document cannot be passed on: it has
    methods that write a translation. Short texts are not checked: no reader needs more than seconds
    for them, and none finds so many segments in them. `check` is polled; it raises to stop.

    Raises:
        InputError: a limit was reached, or the text is not valid in that format.
        UsageError: the extra for the format is not installed.
    """
    if len(text) > MAX_CHARACTERS:
        raise _too_large(len(text), "characters", MAX_CHARACTERS)
    if len(text) > _UNCHECKED_CHARACTERS.get(format, worker.MAX_IN_PROCESS):
        worker.call(
            _parse_only,
            text,
            format,
            dialect,
            to,
            returns=NoneType,
            memory_bytes=_MAX_MEMORY_BYTES,
            check=check,
        )


def _parse_only(text: str, format: Format, dialect: Dialect, to: str | None) -> None:
    n_segments = len(parse(text, format, dialect=dialect, to=to).segments)
    if n_segments > MAX_SEGMENTS:
        raise _too_large(n_segments, "segments", MAX_SEGMENTS)


def _too_large(n: int, unit: str, limit: int) -> InputError:
    return InputError(
        f"the document has {n:,} {unit}; at most {limit:,} can be translated at once; split it"
    )


def _detect_by_content(text: str) -> Format:
    text = text.removeprefix("\ufeff")
    sample = text[:_SAMPLE_CHARACTERS]
    if sample.startswith("WEBVTT"):
        return "vtt"
    if sample.lstrip().lower().startswith("[script info]"):
        return "ass"
    if root := _detect_root(text):
        return root
    if _STRINGS.match(sample):
        return "strings"
    if _SRT.match(sample):
        return "srt"
    if _PO.search(sample) and "msgstr" in sample:
        return "po"
    if is_page(sample) or is_fragment(sample):
        return "html"
    if sample.lstrip()[:1] in ("{", "[") and _is_json(text):
        return "json"
    if sum(weight for sign, weight in _MARKDOWN_SIGNS if sign.search(sample)) >= _MIN_WEIGHT:
        return "md"
    return "html" if sample.lstrip().startswith("<") and _TAGS.search(sample) else "txt"


def _detect_root(text: str) -> Format | None:
    found = _ROOT.match(text.removeprefix("\ufeff")[:_SAMPLE_CHARACTERS])
    return _ROOTS[found[1]] if found else None


def _first_line(text: str) -> str:
    line = next(iter(text.removeprefix("\ufeff").splitlines()), "")
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…"


def _is_json(text: str) -> bool:
    import msgspec

    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
