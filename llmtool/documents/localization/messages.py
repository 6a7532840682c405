"""Messages of programs, in catalogs and JSON: their placeholders, plural bars and ICU syntax."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

import msgspec

from llmtool.documents.html.elements import ELEMENTS
from llmtool.documents.localization.icu import escape_icu, is_icu, split_icu
from llmtool.documents.protected_spans import (
    ADDRESSES,
    PAIRED_SIGNS,
    PLACEHOLDERS,
    PRIVATE,
    TAGS,
    hide_protected,
    is_word_in_brackets,
    show_protected,
    split_parts,
)
from llmtool.documents.types import Part, ProtectedSpan, join_parts, make_break

# Syntax that prose does not have.
_MESSAGE = r"""
    (?<![\d%])%L?\d{1,2}(?!\d)%? | %L?n(?![A-Za-z])     # %1 %L2 %n of Qt, %1% of Boost
  | %\|[^|\n]*\|                                        # %|1$s| of Boost
  | %(?:\d+\$)?\#@\w+@                                 # %#@files@ of Apple
  | %[A-Za-z_][A-Za-z0-9_]*% | (?<![\w%])%[a-z_][a-z0-9_]*      # %name% %name
  | @(?:\.[a-z]+)?:(?:\([A-Za-z0-9_.-]+\)|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)  # @:key
  | (?<![A-Za-z0-9_@])@[a-z_][A-Za-z0-9_]*              # @name
  | (?<![A-Za-z0-9_:/@\[]):[A-Za-z_][A-Za-z0-9_]*:?       # :name
  | &(?:[A-Za-z]+|\#\d+|\#[xX][0-9A-Fa-f]+);            # &nbsp;
  | \\[a-zA-Z]                                           # \n as two characters
  | \[(?:\d+|\*|-?Inf),(?:\d+|\*|Inf)\]                 # [2,*] of Laravel
  | \[_(?:-?\d+|\*)\]                                   # [_1] of Maketext, [quant,_1,file,files]
  | \[(?:[*\#]|[a-z]\w{0,30}),_(?:-?\d+|\*)[,\]]
"""
# &lt;a href="x"&gt; of messages that become HTML when they are shown
_ESCAPED_TAGS = rf"""
    &lt;/?(?:{"|".join(sorted(ELEMENTS))})(?:\s(?:(?!&[lg]t;)[^\n])*)?/?&gt;
"""
# A pattern of strftime, with a conversion that printf does not have: %b %d, %Y
_DATE = re.compile(
    r"(?=.*%[-_^#0EO]*[bBhHIjklmMUVwWyY])(?:\W*%[-_^#0EO]*[aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ])"
    r"{2,}[^\w%]*"
)
# Two or more runs of the same letter: EEE, d MMM yyyy and dddd, MMMM Do YYYY
_DATE_LETTERS = re.compile(
    r"(?=.*(?:yy|YY|MM|DD|dd|HH|hh|EE|mm))"
    r"(?:[^\w'\[]*(?:'[^']*'|\[[^\[\]]*\]|(?P<letter>[aADdEeHhKkLMmQSsWwYyZz])(?P=letter)*o?)(?!\w))"
    r"{2,}\W*"
)
_MAX_DATE = 60
_MAX_NOTE = 120  # characters of a comment, 80 are common
_DOLLAR_NUMBER = re.compile(r"\$([1-9])(?!\d|[.,]\d)")
_BB_CODE_END = re.compile(r"\[/([A-Za-z]\w*)\]")
# Plural forms, not alternatives in brackets or the lines of a table.
_BARS = re.compile(r"(?<!\s)\s*\|+\s*")
_NO_FORMS = re.compile(r"\n|\*\|\w+\|\*|[(\[{<][^()\[\]{}<>|]*\|[^()\[\]{}<>]*[)\]}>]")
_PRINTF = r"""
    %(?:\d+\$)?[-#0+'I ]*(?:\*(?:\d+\$)?|\d+)?(?:\.(?:\*(?:\d+\$)?|\d+)?)?(?:hh|ll|[hlLqjzZt])?
      (?:[diouxXeEfFgGaAcCsSpnm@r]|<PRI[A-Za-z0-9]+>)
  | %\([^()]*\)[-#0+ ]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[hlL]?[diouxXeEfFgGcrsa]
  | %[-#0+ ]*\d*(?:\.\d+)?(?:<\w+>[-#0+ ]*\d*(?:\.\d+)?[A-Za-z]|\{\w+\})
"""
_VARIABLE = r"%(?:\d+\$)?\#@\w+@"  # of a stringsdict
_JAVA_PRINTF = r"""
    %(?:\d+\$|<)?[-#+ 0,(]*\d*(?:\.\d+)?(?:[bBhHsScCdoxXeEfgGaAn]|[tT][A-Za-z])
"""
# Not preceded by a number, as the percent sign of "100%d" may be, nor followed by a space.
_ARGUMENT = re.compile(
    r"(?<![\d%])%(?:(?:\d+\$)?(?:[-#+0,(]*\d*(?:\.\d+)?(?:hh|ll|[hlLqjzt])?"
    r"(?:[@a-zA-Z](?![a-z])|[sd])|\#@)|L?\d{1,2}|L?n)"
)
_BRACES = r"\{[^{}]*\}"
_NUMBERS = r"%L?\d{1,2} | %L?n"


class _Syntax(msgspec.Struct, frozen=True):
    """The placeholders of a format, and its escapes with the text that they stand for."""

    pattern: str
    escapes: tuple[tuple[str, str], ...] = ()
    # Characters that cannot occur in the text, except in an escape.
    special: str = ""


_PERCENT = (("%%", "%"),)
_DOUBLE_BRACES = (("{{", "{"), ("}}", "}"))
_BY_FORMAT: dict[str, _Syntax] = {
    **dict.fromkeys(
        "c python php perl awk lua ruby javascript tcl elisp".split(),
        _Syntax(_PRINTF, _PERCENT, "%"),
    ),
    "objc": _Syntax(rf"{_VARIABLE} | {_PRINTF}", _PERCENT, "%"),
    "java-printf": _Syntax(_JAVA_PRINTF, _PERCENT, "%"),
    "boost": _Syntax(rf"%\|[^|\n]*\| | %\d+% | {_PRINTF}", _PERCENT, "%"),
    **dict.fromkeys(
        ("python-brace", "csharp", "c++", "rust"), _Syntax(_BRACES, _DOUBLE_BRACES, "{}")
    ),
    "perl-brace": _Syntax(_BRACES),
    "java": _Syntax(_BRACES, (("''", "'"),), "'"),
    **dict.fromkeys(("qt", "qt-plural", "kde", "kde-kuit", "ycp", "smalltalk"), _Syntax(_NUMBERS)),
    "sh": _Syntax(r"\$(?:\w+|\{\w+\})"),
    **dict.fromkeys(("lisp", "scheme", "librep"), _Syntax(r"~[^A-Za-z~%\n]*[A-Za-z~%]")),
}


def split_message(
    text: str, flags: Collection[str] = (), *, to: str | None = None
) -> tuple[Part, ...]:
    """Split a message into text, protected spans and breaks.

    The flags of a catalog, such as `c-format` and `no-c-format`, tell what is a placeholder. A
    pattern of a date (`%b %d, %Y`, `d MMM yyyy`) is one placeholder. A text that is invalid in the
    format of its flag is split as if it had none. An ICU message gets the plural forms of the
    language `to`.

    Example:
        >>> [part.source for part in split_message("%1 to :name") if not isinstance(part, str)]
        ['%1', ':name']
        >>> split_message("100%% of %s", ["c-format"])
        ('100% of ', ProtectedSpan(source='%s'))
    """
    if len(text) <= _MAX_DATE and (_DATE.fullmatch(text) or _DATE_LETTERS.fullmatch(text)):
        return (ProtectedSpan(text),)
    syntax = _syntax_of(flags)
    parts = _split_by_syntax(text, syntax) if syntax else None
    if parts is not None:
        return parts
    icu = split_icu(text, to) if is_icu(text) else None
    return tuple(
        piece
        for part in (_split_at_bars(text) if icu is None else icu)
        for piece in (_split_text(part, flags) if isinstance(part, str) else (part,))
    )


def split_tagged_message(
    parts: Sequence[Part],
    *,
    to: str | None = None,
    escape: Callable[[Part], Part] = lambda part: part,
) -> tuple[Part, ...]:
    """Split the texts of a message with tags; the forms of an ICU message may contain tags.

    An ICU message gets the plural forms of the language `to`. `escape` returns a part of a text
    with the source of its protected span.

    Example:
        >>> from llmtool.documents.types import ProtectedSpan
        >>> parts = ["{n, plural, other {", ProtectedSpan("<x/>"), " files}}"]
        >>> [part.source for part in split_tagged_message(parts) if not isinstance(part, str)]
        ['{n, plural, other {', '<x/>', '}}']
    """
    text, tags = hide_protected(parts, str)
    icu = split_icu(text, to) if tags and is_icu(text) else None
    if icu is None:
        return tuple(
            piece
            for part in parts
            for piece in (
                map(escape, split_message(part, to=to)) if isinstance(part, str) else (part,)
            )
        )
    found: list[Part] = []
    for part in map(escape, icu):
        if isinstance(part, ProtectedSpan):
            shown = show_protected(part.source, tags)
            found.append(make_break(shown, part.note) if part.is_break else ProtectedSpan(shown))
            continue
        for piece in split_parts(part, PRIVATE):
            if isinstance(piece, str):
                found += map(escape, _split_text(piece, ()))
            else:
                found.append(ProtectedSpan(show_protected(piece.source, tags)))
    return tuple(found)


def escape_message(
    parts: Sequence[Part], source: str, flags: Collection[str] = ()
) -> Sequence[Part]:
    """Return the parts of a message, with text escaped as in `source`."""
    syntax = _syntax_of(flags)
    if syntax and _split_by_syntax(source, syntax) is not None:
        return [_escape(part, syntax) if isinstance(part, str) else part for part in parts]
    return escape_icu(parts) if is_icu(source) and split_icu(source) else parts


def join_message(parts: Sequence[Part], source: str, flags: Collection[str] = ()) -> str:
    """Return the message of parts, with text escaped as in `source`."""
    return join_parts(escape_message(parts, source, flags))


def flags_of(text: str, flag: str) -> tuple[str, ...]:
    """Return a flag if a text has arguments of its format; `%` is text in others.

    Example:
        >>> flags_of("100%% of %1$s", "java-printf-format"), flags_of("100% of it", "objc-format")
        (('java-printf-format',), ())
    """
    syntax = _syntax_of((flag,))
    has_arguments = syntax and _split_by_syntax(text, syntax) and _ARGUMENT.search(text)
    return (flag,) if has_arguments else ()


def quote_note(text: str) -> str:
    """Return a text of a file in quotes, on one line, for a note to the model."""
    text = " ".join(text.split())
    text = text if len(text) <= _MAX_NOTE else f"{text[:_MAX_NOTE]}…"
    return json.dumps(text, ensure_ascii=False)


def find_invented_placeholder(
    parts: Sequence[Part], source: str, flags: Collection[str]
) -> str | None:
    """Return text that would become a placeholder in the format of the flags, or None."""
    syntax = _syntax_of(flags)
    if not syntax or _split_by_syntax(source, syntax) is None:
        return None
    texts = (_escape(part, syntax) for part in parts if isinstance(part, str))
    spans = (part for text in texts for part in _split_by_syntax(text, syntax) or ())
    return next((part.source for part in spans if isinstance(part, ProtectedSpan)), None)


def _syntax_of(flags: Collection[str]) -> _Syntax | None:
    names = (flag.removesuffix("-format") for flag in flags if flag.endswith("-format"))
    return next((_BY_FORMAT[name] for name in names if name in _BY_FORMAT), None)


def _split_by_syntax(text: str, syntax: _Syntax) -> tuple[Part, ...] | None:
    """Return the parts of a message, with its escapes replaced; None if it is invalid."""
    parts: list[Part] = []
    plain = dict(syntax.escapes)
    at, pending = 0, ""
    for found in _compile(syntax).finditer(text):
        if is_word_in_brackets(found[0], text):
            continue
        between = text[at : found.start()]
        if any(character in between for character in syntax.special):
            return None
        at = found.end()
        pending += between
        if found[0] in plain:
            pending += plain[found[0]]
            continue
        parts += [pending, ProtectedSpan(found[0])] if pending else [ProtectedSpan(found[0])]
        pending = ""
    if any(character in text[at:] for character in syntax.special):
        return None
    pending += text[at:]
    return (*parts, pending) if pending else tuple(parts)


@lru_cache(maxsize=64)
def _compile(syntax: _Syntax) -> re.Pattern[str]:
    escapes = [re.escape(escaped) for escaped, _ in syntax.escapes]
    return re.compile(
        "|".join([*escapes, ADDRESSES, TAGS, _ESCAPED_TAGS, syntax.pattern]), re.VERBOSE
    )


@lru_cache(maxsize=64)
def _general(excluded: str) -> re.Pattern[str]:
    """Return the pattern of messages without flags, except for syntax that begins so."""
    pattern = f"{PAIRED_SIGNS} | {PLACEHOLDERS} | {_MESSAGE}"
    if excluded:
        pattern = rf"(?![{re.escape(excluded)}])(?:{pattern})"
    return re.compile(f"{ADDRESSES} | {TAGS} | {_ESCAPED_TAGS} | {pattern}", re.VERBOSE)


def _split_text(text: str, flags: Collection[str]) -> tuple[Part, ...]:
    names = (flag[3:].removesuffix("-format") for flag in flags if flag.startswith("no-"))
    excluded = sorted({_BY_FORMAT[name].special[:1] or "%" for name in names if name in _BY_FORMAT})
    parts = split_parts(text, _general("".join(excluded)))
    extra = [*_dollar_numbers(text), *_bb_codes(text)]
    if not extra:
        return parts
    pattern = re.compile("|".join(extra))
    return tuple(
        piece
        for part in parts
        for piece in (split_parts(part, pattern) if isinstance(part, str) else (part,))
    )


def _dollar_numbers(text: str) -> list[str]:
    """Return a pattern of $1, $2, …, if all of them are in a text: others are prices."""
    numbers = sorted({int(found[1]) for found in _DOLLAR_NUMBER.finditer(text)})
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        return []
    return [_DOLLAR_NUMBER.pattern]


def _bb_codes(text: str) -> list[str]:
    """Return a pattern of the tags in square brackets that have an end tag."""
    names = "|".join(sorted({found[1] for found in _BB_CODE_END.finditer(text)}))
    return [rf"\[/?(?:{names})(?:=[^\]\n]*)?\]"] if names else []


def _split_at_bars(text: str) -> list[Part]:
    """Split plural forms such as "one apple | {n} apples"."""
    parts: list[Part] = []
    at = 0
    for found in () if _NO_FORMS.search(text) else _BARS.finditer(text):
        if found.start() > at:
            parts.append(text[at : found.start()])
        parts.append(make_break(found[0]))
        at = found.end()
    return [*parts, text[at:]] if at < len(text) else parts


def _escape(text: str, syntax: _Syntax) -> str:
    for escaped, plain in syntax.escapes:
        text = text.replace(plain, escaped)
    return text
