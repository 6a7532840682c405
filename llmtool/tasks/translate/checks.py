"""Check whether a reply can be a translation of its source."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape

from llmtool.documents.language_tags import is_right_to_left
from llmtool.engine.types import FinishReason
from llmtool.tasks.translate.placeholders import Placeholders
from llmtool.tasks.translate.remarks import has_remark
from llmtool.text.languages import (
    Language,
    has_foreign_letters,
    has_letters_of,
    is_own_name,
    may_be_in,
    may_have_script,
)

# The length of a translation relative to its source; the slack matters for short texts.
_MAX_RATIO, _SLACK = 4.0, 24.0
_MAX_RATIO_WITH_CONTEXT = 2.0  # as it may contain the translation of the text around it
_WIDE_WEIGHT = 2.5  # a CJK character counts as so many letters
_MIN_LETTERS, _MIN_WEIGHT = 20, 30  # to detect a language
_ECHO_WORDS = 5
_SENTENCE_WORDS = 3
_PUNCTUATION = ".,:;!?…()\"'“”"
_ENGLISH_WORDS = frozenset(
    "a all an and are as at be by can cannot do for from has if in is it no not of on or out that"
    " the this to was when will with you your".split()
)
_MAX_REPEATS = 4  # of one to four words in a row
_MAX_REPEATED_WORDS = 4
_REPEATED_LETTERS = re.compile(r"([^\W\d_]{1,8}?)\1{3,}")  # of scripts without spaces
_LONG_WORD = re.compile(r"[^\W\d_]{10,}")  # as `_MAX_REPEATS` allows shorter runs
_MIN_WRAPPED_COLUMNS = 30  # of a line that was wrapped
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "'": "'", "‘": "’"}
_FENCED = re.compile(r"(?:```|~~~)\w*[ \t]*\n(.*?)\n(?:```|~~~)", re.DOTALL)
_EMPHASIZED = re.compile(r"(\*{1,3}|_{1,3}|`)(?=\S)([^*_`]+)(?<=\S)\1")
# Emphasis; in a_b_c and 2*3*4 the signs are within a word. Some people quote words with backticks.
_MARKED = re.compile(
    r"(?<![0-9A-Za-z_\u00c0-\u052f])(\*{1,3}|_{1,3}|~~|==)(?=[^\W_])[^*_`~=\n]*"
    r"(?<=[^\s*_`~=])\1(?![0-9A-Za-z_\u00c0-\u052f])"
)
_BLOCK_START = re.compile(r"\s*(?:#{1,6} |> ?\S)")
_REFERENCE = re.compile(r"&#?\w+;")
_QUOTE_REFERENCE = re.compile(r"&(?:quot|apos|#0*3[49]|#x0*2[27]);", re.IGNORECASE)
_ESCAPED_QUOTE = re.compile(r"\\([\"'])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# Other direction marks are part of text from right to left; these reverse letters.
_RTL_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")
_WORD = re.compile(r"\w+")
_IDENTIFIER = re.compile(  # a_b, a.b, a/b, a1, aB, Ab1, AbC, ABc
    r"(?<!\w)(?:[A-Za-z0-9]*_\w*|\w+[./\\:]\w[\w./\\:-]*|[A-Za-z]+\d\w*|[A-Za-z]*[a-z][A-Z]\w*"
    r"|[A-Z]{2,}[a-z]\w*)",
    re.ASCII,
)


def tidy(source: str, reply: str) -> str:
    """Strip white space, and a code fence, emphasis and quotation marks that the source lacks.

    References to quotation marks (`&quot;`) become characters if the source has no references, and
    so do escaped ones if it has no backslash.

    Example:
        >>> tidy("Open 'x'", "&#39;x&#39; öffnen ")
        "'x' öffnen"
        >>> tidy("Open 'x'", '\\"x\\" öffnen')
        '"x" öffnen'
    """
    reply = reply.strip()
    if "```" not in source and (fenced := _FENCED.fullmatch(reply)):
        reply = fenced[1].strip()
    if not _REFERENCE.search(source):
        reply = _QUOTE_REFERENCE.sub(lambda found: unescape(found[0]), reply)
    if "\\" not in source:
        reply = _ESCAPED_QUOTE.sub(r"\1", reply)
    if (marked := _EMPHASIZED.fullmatch(reply)) and marked[1][0] not in source:
        reply = marked[2]
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
    source_language: str | None = None,
    has_context: bool = False,
) -> str | None:
    """Return what is wrong with a reply, or None. Placeholders are not checked.

    `instruction` is the prompt without the source text; a reply must not repeat it. If it
    `has_context`, the text around the source, a reply must not contain the translation of that.

    Example:
        >>> from llmtool.text.languages import find_language
        >>> from llmtool.tasks.translate.placeholders import make_placeholders
        >>> german = {"finish_reason": "stop", "instruction": "", "to": find_language("German")}
        >>> source = make_placeholders(["Good evening, ladies and gentlemen."])
        >>> find_fault(source, "Guten", **german)
        'is much shorter than the source'
    """
    if not reply.strip():
        return "is empty"
    controls = _RTL_CONTROLS if is_right_to_left(to.code) else _CONTROLS
    if controls.search(reply) and not controls.search(placeholders.text):
        return "contains control characters"
    if finish_reason == "length":
        return "was truncated at the token limit"
    if _differ_in_lines(placeholders.text, reply):
        return "has a different number of lines"
    if _BLOCK_START.match(reply) and not _BLOCK_START.match(placeholders.text):
        return "begins with markup that is not in the source"
    if _adds_emphasis(placeholders.text, reply):
        return "adds emphasis"
    source, text = _letter_weight(placeholders.plain), _letter_weight(reply)
    if text > source * (_MAX_RATIO_WITH_CONTEXT if has_context else _MAX_RATIO) + _SLACK:
        return "is much longer than the source"
    if text * _MAX_RATIO + _SLACK / _MAX_RATIO < source:
        return "is much shorter than the source"
    if _may_repeat(reply):
        repeats = _count_repeats(reply)
        if repeats > _MAX_REPEATS and repeats > 2 * _count_repeats(placeholders.text):
            return "repeats itself"
    if _has_alternatives(placeholders.text, reply):
        return "has several translations"
    if source_language != to.base and _contains(reply, placeholders.text):
        return "repeats the source"
    if _is_untranslated(placeholders, reply, to, source_language):
        return f"is not in {to.name}"
    if _echoes(instruction, reply, placeholders.text):
        return "repeats the instruction"
    if has_remark(placeholders.text, reply, to.base):
        return "has a remark that is not in the source"
    if not may_have_script(_IDENTIFIER.sub(" ", reply), to.code) or (
        _is_in_another_language(placeholders.text, reply, to, source_language)
        # A variety of the source language may repeat a source in another language, such as a name.
        and (source_language != to.base or may_be_in(placeholders.plain, to.code))
    ):
        return None if is_own_name(reply, placeholders.plain) else f"is not in {to.name}"
    return None


def _is_in_another_language(
    source: str, reply: str, to: Language, source_language: str | None
) -> bool:
    """Return whether a reply is clearly in another language, judged by its words, not identifiers.

    A reply with only words of the source is judged with its identifiers, unless it has no others.
    The translation of a term may keep words of the source, which are not judged then.
    """
    bare = _IDENTIFIER.sub(" ", reply)
    source_words, words = set(_words(source)), set(_words(reply))
    if not any(map(str.isalpha, bare)) or not words <= source_words:
        reply = bare
        if source_language == "en" and _ENGLISH_WORDS.isdisjoint(source_words | words):
            kept = (word for word in _WORD.findall(bare) if word.casefold() not in source_words)
            reply = " ".join(kept)
    is_long = sum(map(str.isalpha, reply)) >= _MIN_LETTERS or _letter_weight(reply) >= _MIN_WEIGHT
    return is_long and not may_be_in(reply, to.code, source=source_language)


def _is_untranslated(
    placeholders: Placeholders, reply: str, to: Language, source_language: str | None
) -> bool:
    """Return whether a reply is not in the script of the target, judged by its source.

    It repeats letters of the script of the source, or a sentence has no letter of the target's.
    Letters that are foreign to both languages belong to a name, as in "Firefox 中文版".
    """
    source = placeholders.text
    if not any(map(str.isalpha, reply)) or source_language == to.base:
        return False
    if has_foreign_letters(reply, to.code) and _words(reply) == _words(source):
        return source_language is None or has_letters_of(_without_latin(reply), source_language)
    return _is_sentence(placeholders.plain) and not has_letters_of(reply, to.code)


def _without_latin(text: str) -> str:
    """Return a text without Latin letters, which every language may have in names."""
    return "".join(each for each in text if not unicodedata.name(each, "").startswith("LATIN "))


def _is_sentence(text: str) -> bool:
    """Return whether a text has three words in lower case, not counting identifiers.

    The first may have a capital if no other has. A text without capitals can be a command.
    """
    words = [word.strip(_PUNCTUATION) for word in _IDENTIFIER.sub(" ", text).split()]
    words = [word for word in words if word.isalpha()]
    n_lower = sum(map(str.islower, words))
    if n_lower == len(words):
        return n_lower >= _SENTENCE_WORDS and not _ENGLISH_WORDS.isdisjoint(words)
    is_capitalized = n_lower == len(words) - 1 and words[0].istitle()
    return n_lower + is_capitalized >= _SENTENCE_WORDS


def _differ_in_lines(source: str, reply: str) -> bool:
    """Return whether the lines of a reply differ; lines of a wrapped paragraph may."""
    if source.count("\n") == reply.count("\n"):
        return False
    before, after = (re.split(r"\n[ \t]*(?=\n)", text) for text in (source, reply))
    return len(before) != len(after) or any(
        one.count("\n") != other.count("\n") and not _is_wrapped(one)
        for one, other in zip(before, after, strict=True)
    )


def _adds_emphasis(source: str, reply: str) -> bool:
    """Return whether a reply has emphasis whose signs its source does not have."""
    if "**" in reply and "*" not in source:
        return True
    return any(found[1][0] not in source for found in _MARKED.finditer(reply))


def _is_wrapped(paragraph: str) -> bool:
    """Return whether a line of a paragraph continues on the next."""
    *lines, _ = paragraph.split("\n")
    return any(len(line) >= _MIN_WRAPPED_COLUMNS for line in lines)


def _letter_weight(text: str) -> float:
    if text.isascii():
        return sum(map(str.isalnum, text))
    return sum(
        _WIDE_WEIGHT if unicodedata.east_asian_width(letter) in "WF" else 1.0
        for letter in text
        if letter.isalnum()
    )


def _echoes(instruction: str, reply: str, source: str) -> bool:
    return bool(_ngrams(instruction) & _ngrams(reply) - _ngrams(source))


def _contains(reply: str, source: str) -> bool:
    """Return whether a reply contains the whole source and more."""
    source_words, words = _words(source), _words(reply)
    n = len(source_words)
    return _ECHO_WORDS <= n < len(words) and any(
        words[i : i + n] == source_words for i in range(len(words) - n + 1)
    )


def _has_alternatives(source: str, reply: str) -> bool:
    """Return whether a reply has two translations with most words in common: "A b c. / A b d." """
    if " / " not in reply or "/" in source:
        return False
    one, _, other = map(set, map(_words, reply.partition(" / ")))
    return len(one & other) * 2 > max(len(one), len(other), 3)


def _may_repeat(text: str) -> bool:
    """Return whether `_count_repeats` may be more than `_MAX_REPEATS`: it takes longer."""
    words = _words(text)
    return len(words) - len(set(words)) >= _MAX_REPEATS or any(
        map(_REPEATED_LETTERS.search, _LONG_WORD.findall(text))
    )


def _count_repeats(text: str) -> int:
    """Return how often the same words, or letters of a word, occur in a row at most."""
    words = _words(text)
    runs = _REPEATED_LETTERS.finditer(text)
    most = max((len(run[0]) // max(2, len(run[1])) for run in runs), default=1)
    for n in range(1, _MAX_REPEATED_WORDS + 1):
        n_equal = 0
        for word, following in zip(words, words[n:], strict=False):
            n_equal = n_equal + 1 if word == following else 0
            most = max(most, n_equal // n + 1)
    return most


@lru_cache(maxsize=8)  # several checks need those of one source and reply
def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


@lru_cache(maxsize=8)  # most requests have the same instruction
def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = _words(text)
    return set(zip(*(words[i:] for i in range(_ECHO_WORDS)), strict=False))
