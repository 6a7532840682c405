"""What is wrong with a reply that should be a translation."""

from __future__ import annotations

import re
import unicodedata

from llmtool.engine.types import FinishReason
from llmtool.tasks.translate.placeholders import Placeholders
from llmtool.text.languages import Language, is_in

# How much longer or shorter than its source a translation may be, by weight; short ones get slack.
_RATIO, _SLACK = 4.0, 24.0
_WIDE_WEIGHT = 2.5  # a CJK character says about as much as so many letters
_MIN_LETTERS = 20  # fewer do not tell a language
_ECHO_WORDS = 5
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'", "‘": "’"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_WORD = re.compile(r"\w+")


def tidy(source: str, reply: str) -> str:
    """Return a reply without the white space and the quotes that it has and its source has not."""
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
    """Return why a reply is no translation of a passage, None if nothing speaks against it.

    Marks are read elsewhere. `instruction` is what the model was told around the passage: a reply
    that repeats some of it is an echo.

    Example:
        >>> from llmtool.text.languages import find_language
        >>> from llmtool.tasks.translate.placeholders import make_placeholders
        >>> told = {"finish_reason": "stop", "instruction": "", "to": find_language("German")}
        >>> find_fault(make_placeholders(["Good evening, ladies and gentlemen."]), "Guten", **told)
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
    if text > source * _RATIO + _SLACK:
        return "much longer than its source"
    if text * _RATIO + _SLACK / _RATIO < source:
        return "much shorter than its source"
    if _holds(reply, placeholders.text):
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
    told = _runs(instruction)
    return bool(told & _runs(reply) - _runs(source))


def _holds(reply: str, source: str) -> bool:
    """Whether a reply has the whole source in it, beside something else."""
    words, told = _words(source), _words(reply)
    n = len(words)
    return _ECHO_WORDS <= n < len(told) and any(
        told[i : i + n] == words for i in range(len(told) - n + 1)
    )


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return the runs of a few words that a text has."""
    words = _words(text)
    return {tuple(words[i : i + _ECHO_WORDS]) for i in range(len(words) - _ECHO_WORDS + 1)}
