"""Find the ends of sentences in languages with full stops, and in CJK text."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Closing punctuation and quotes; in CJK text no space follows. A match begins at the first of
# several signs, so that the search takes linear time.
_END = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’»)\]*_]*(?=\s)|[。！？]+[」』”’）]*")
_BLANK_LINE = re.compile(r"\n\s*\n")
_SPACE = re.compile(r"\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|Prof|St|Sr|Jr|Gen|Col|Sgt|Lt|Rev|Hon|vs|etc|cf|al|ca|approx|No"
    r"|Nos|Fig|Figs|Eq|Sec|Ch|Vol|pp|ed|eds|Inc|Ltd|Co|Corp|bzw|usw|Nr|Str|bspw|Bd|Mme|Mlle|Sra?"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b(?:[A-Za-z]\.)+[A-Za-z])\Z"
)
_BEFORE_NUMBER = re.compile(  # "no. 14", "Art. 5", "tel. 0421"
    r"\b(?:nos?|nr|pp?|arts?|abs|ch|kap|figs?|abb|tab|secs?|vol|bd|tel|ext|min|max|approx|ca|inkl|exkl"
    r"|zzgl|apt|rm|paras?|cl|ziff|núm|pág)\Z",
    re.IGNORECASE,
)
_SHORT_WORD = re.compile(r"\b[^\W\d_]{1,4}\Z")  # before a lower-case word, an abbreviation
_MONTH = re.compile(  # "3. Mai"
    r"(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_LOOKBACK = 12  # characters before a full stop


def sentence_ends(text: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Yield the end of each sentence between two positions, without the white space after it.

    The last sentence has no end if the text does not continue after it.

    Example:
        >>> text = "Ask Dr. Ode. It rained. 雨が降った。Then?"
        >>> [text[:end] for end in sentence_ends(text)][:2]
        ['Ask Dr. Ode.', 'Ask Dr. Ode. It rained.']
    """
    stop, first = len(text) if end is None else end, start
    for found in _END.finditer(text, start, stop):
        if found.end() < stop and not _is_abbreviation(text, first, found, stop):
            yield found.end()
            first = found.end()


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences, each with the white space after it.

    Example:
        >>> split_sentences("It rained. 雨が降った。Then?")
        ['It rained. ', '雨が降った。', 'Then?']
    """
    ends = {*sentence_ends(text), *(blank.start() for blank in _BLANK_LINE.finditer(text))}
    parts, start = [], 0
    for end in [*sorted(ends), len(text)]:
        space = _SPACE.match(text, end)
        end = space.end() if space else end
        if text[start:end].strip():
            parts.append(text[start:end])
            start = end
    if not parts:
        return [text] if text else []
    parts[-1] += text[start:]
    return parts


def _is_abbreviation(text: str, first: int, found: re.Match[str], end: int) -> bool:
    if found[0] != ".":
        return False
    following = text[found.end() : min(end, found.end() + _LOOKBACK)].lstrip()
    before = text[max(first, found.start() - _LOOKBACK) : found.start()]
    if following[:1].islower() and _SHORT_WORD.search(before):
        return True
    if re.search(r"\b\d{1,2}\Z", before) and (following[:1].islower() or _MONTH.match(following)):
        return True
    if following[:1].isdigit() and _BEFORE_NUMBER.search(before):
        return True
    return _ABBREVIATION.search(before) is not None and before[-3:] not in ("a.m", "p.m")
