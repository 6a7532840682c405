"""Find out whether a reply is a translation of its source."""

from __future__ import annotations

import re
import unicodedata

from llmtool.engine.types import FinishReason
from llmtool.tasks.translate.placeholders import Placeholders
from llmtool.text.languages import Language, is_in

# How much longer or shorter than its source a translation may be; short ones may deviate more.
_MAX_RATIO, _SLACK = 4.0, 24.0
_WIDE_WEIGHT = 2.5  # letters that a CJK character counts for
_MIN_LETTERS = 20  # to detect a language
_ECHO_WORDS = 5
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'", "‘": "’"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WORD = re.compile(r"\w+")


def tidy(source: str, reply: str) -> str:
    """Remove white space and quotation marks around a reply that its source does not have."""
    reply = reply.strip()
    closing = _QUOTES.get(reply[:1])
    if closing and len(reply) > 2 and reply.endswith(closing) and source[:1] not in _QUOTES:
        inner = reply[1:-1]
        if reply[0] not in inner and closing not in inner:
            return inner.strip()
    return reply


def find_fault(
    placeholders: Placeholders,
    reply: str,
    *,
    finish_reason: FinishReason,
    instruction: str,
    to: Language,
) -> str | None:
    """Return why a reply cannot be a translation, None if it can; placeholders are not checked.

    `instruction` is the prompt without the source text: a reply must not repeat it.

    Example:
        >>> from llmtool.text.languages import find_language
        >>> from llmtool.tasks.translate.placeholders import make_placeholders
        >>> german = {"finish_reason": "stop", "instruction": "", "to": find_language("German")}
        >>> source = make_placeholders(["Good evening, ladies and gentlemen."])
        >>> find_fault(source, "Guten", **german)
        'much shorter than its source'
    """
    if not reply.strip():
        return "empty"
    if _CONTROLS.search(reply) and not _CONTROLS.search(placeholders.text):
        return "holds control characters"
    if finish_reason == "length":
        return "cut at its limit of tokens"
    if reply.count("\n") != placeholders.text.count("\n"):
        return "another number of lines"
    source, text = _weigh(placeholders.plain), _weigh(reply)
    if text > source * _MAX_RATIO + _SLACK:
        return "much longer than its source"
    if text * _MAX_RATIO + _SLACK / _MAX_RATIO < source:
        return "much shorter than its source"
    if _contains(reply, placeholders.text):
        return "repeats its source"
    if _echoes(instruction, reply, placeholders.text):
        return "repeats the instruction"
    letters = sum(map(str.isalpha, reply))
    if letters >= _MIN_LETTERS and not is_in(reply, to.base):
        return f"not in {to.name}"
    return None


def _weigh(text: str) -> float:
    return sum(
        _WIDE_WEIGHT if unicodedata.east_asian_width(letter) in "WF" else 1.0
        for letter in text
        if letter.isalnum()
    )


def _echoes(instruction: str, reply: str, source: str) -> bool:
    return bool(_ngrams(instruction) & _ngrams(reply) - _ngrams(source))


def _contains(reply: str, source: str) -> bool:
    """Return whether a reply has the whole source in it, and more."""
    words, own = _words(source), _words(reply)
    n = len(words)
    return _ECHO_WORDS <= n < len(own) and any(
        own[i : i + n] == words for i in range(len(own) - n + 1)
    )


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return {tuple(words[i : i + _ECHO_WORDS]) for i in range(len(words) - _ECHO_WORDS + 1)}
