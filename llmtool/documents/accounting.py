"""Account for the text of a document that is not translated."""

from __future__ import annotations

import re
from collections import Counter

from llmtool.documents.types import Document, OutsideText, ProtectedSpan, find_unaccounted

_UNRECOGNIZED = "the parser does not recognize this text"
# Why a span in a segment is protected, by its syntax; other spans are placeholders.
_REASONS = (
    (re.compile("`"), "code"),
    (re.compile(r"\{[\w:+-]+\}`|:[\w:+.-]+:`"), "role"),
    (re.compile(r"<?(?:https?|ftp|file|mailto|tel):|www\.|<?[^\s@<{]+@[\w-]+\."), "address"),
    (re.compile(r"(?:<|&lt;)/?[A-Za-z]|<!--|<\d"), "tag"),
    (re.compile(r"&#?\w+;"), "character reference"),
    (re.compile(r"\[\^"), "footnote label"),
    (re.compile(r"!?\[\["), "wiki link"),
    (re.compile(r"!?\[|\("), "link target"),
    (re.compile(r"\$\$|\$.*\$$|\\[(\[]", re.DOTALL), "formula"),
    (re.compile(r"\\@?[A-Za-z]"), "code"),
    (re.compile(r":\w+:$"), "emoji name"),
    (re.compile(r"\{\{[<%]|\{[%#]"), "template"),
    (re.compile(r"\{:|\{ ?[#.]"), "attribute list"),
)


def find_unsupported(document: Document) -> list[OutsideText]:
    """Return the natural language outside of the segments, and text with no known reason.

    Example:
        >>> from llmtool.documents.types import Document, OutsideText
        >>> document = Document("key = Hello")
        >>> document.segments, document.outside = (), (OutsideText(0, 3, "key"),)
        >>> find_unsupported(document)[0].reason
        'the parser does not recognize this text'
    """
    unaccounted = [
        OutsideText(start, end, _UNRECOGNIZED, is_language=True)
        for start, end in (_strip(document.source, *span) for span in find_unaccounted(document))
    ]
    outside = [each for each in document.outside or () if each.is_language]
    return sorted((*outside, *unaccounted), key=lambda each: each.start)


def count_protected(document: Document) -> dict[str, int]:
    """Count the letters that are protected for each reason, in segments and outside of them.

    Example:
        >>> from llmtool.documents.plain import PlainText
        >>> count_protected(PlainText("Dear {name}, see https://x.org."))
        {'address': 9, 'placeholder': 4}
    """
    counted: Counter[str] = Counter()
    attributes: list[str] = []  # translated, in tags of the next segment
    for segment in document.segments:
        if segment.start == segment.end:
            attributes.append(segment.source)
            continue
        for part in segment.parts:
            if isinstance(part, ProtectedSpan):
                reason = protected_reason(part.source)
                is_markdown = reason in ("formula", "wiki link") or part.source.startswith("[")
                if is_markdown and not document.has_formulas:
                    reason = "placeholder"
                text = part.source
                for value in attributes:
                    text = text.replace(value, "")
                counted[reason] += _count_letters(text)
        attributes.clear()
    for each in document.outside or ():
        if not each.is_language:
            counted[each.reason] += _count_letters(document.source[each.start : each.end])
    return dict(sorted((reason, n) for reason, n in counted.items() if n))


def protected_reason(span: str) -> str:
    """Return why a span in a segment is protected.

    Example:
        >>> [protected_reason(span) for span in ("`x`", "(u 'T')", "$x$", "{name}", "<b>")]
        ['code', 'link target', 'formula', 'placeholder', 'tag']
    """
    return next((name for syntax, name in _REASONS if syntax.match(span)), "placeholder")


def _count_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _strip(source: str, start: int, end: int) -> tuple[int, int]:
    text = source[start:end]
    return end - len(text.lstrip()), start + len(text.rstrip())
