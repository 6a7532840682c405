"""Numbers and names of a text, normalized so that different spellings of one are equal.

Limitations: fractions and numbers in words above ninety-nine are not read, and names in scripts
without capital letters are not recognized.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

import msgspec

from llmtool.text.words import FUNCTION_WORDS

_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen twenty""".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: n for n, word in enumerate(_UNITS)}
_NUMBER_WORDS |= {word: 10 * n for n, word in enumerate(_TENS, 2)}
_SCALES = {  # powers of ten
    word: power
    for power, words in {
        2: "hundred",
        3: "thousand k tausend thousands",
        4: "万 萬",
        6: "million m mn mio millionen millions millones",
        8: "亿 億",
        9: "billion bn milliarden mrd billions milliards",
        12: "trillion",
    }.items()
    for word in words.split()
}
_PERCENT = r"%|％|\bper ?cent\b|\bpercent\b|\bprozent\b|\bpour cent\b|\bpor ciento\b"
_NUMBER = re.compile(
    rf"""
    (?P<digits>
        (?<![\w.,])[-−](?=\d)\d+(?:[.,]\d+)?
        | \d{{1,3}}(?:[,.’'\u00a0\u202f\u2009 ]\d{{3}})+(?:[.,]\d+)?(?!\d)
        | \d+(?:[.,:h]\d+)*
    )
    (?:\s*(?P<half>[ap])\.?m\b\.?)?
    (?:[\s-]?(?P<scale>hundred|thousands?|millions?|billions?|trillion|millionen|milliarden|tausend
        |millones|milliards|mio|mrd|mn|bn|[mk])(?![\w²³/])|(?P<wide>[万萬亿億]))?
    (?:\s*(?P<percent>{_PERCENT}))?
    |
    \b(?P<word>{"|".join(sorted(_NUMBER_WORDS, key=len, reverse=True))})
    (?:-(?P<unit>{"|".join(_UNITS[1:10])}))?\b
    (?:[\s-](?P<word_scale>hundred|thousand|million|billion)\b)?
    (?:\s*(?P<word_percent>{_PERCENT}))?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MONTHS = {
    name: n
    for n, names in enumerate(
        (
            "january jan januar janvier enero", "february feb februar février febrero",
            "march mar märz mars marzo", "april apr avril abril", "may mai mayo",
            "june jun juni juin junio", "july jul juli juillet julio",
            "august aug août agosto", "september sep sept septembre septiembre",
            "october oct oktober octobre octubre", "november nov novembre noviembre",
            "december dec dezember décembre diciembre",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)(?!\d)")
_WORD = re.compile(r"[^\W\d_][\w]*(?:[’'.&-][^\W\d_]\w*)*|\b\d+[A-Z]\w*|[A-Z]+\d+\w*")
_START = re.compile(r"[.!?…:。！？]\W*\Z|\A\W*\Z|^\W*\Z|[“\"„«]\Z")
_POSSESSIVE = re.compile(r"[’'](?:s|S)?$")


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A number from `start` to `end` of a text, and what it can mean: "1.200" is 1.2 or 1200.

    A time of day has a reading such as "t9:40", a month "month5".
    """

    readings: frozenset[str]
    is_percent: bool
    start: int
    end: int


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """A capitalized word; `text` is in lower case, without a possessive ending.

    `opens` is whether it begins a sentence, where every word is capitalized.
    """

    text: str
    start: int
    end: int
    opens: bool


def find_numbers(text: str) -> list[Number]:
    """Return the numbers of a text, in digits or words, and the months of its dates.

    "one" alone is not a number.

    Example:
        >>> [sorted(each.readings) for each in find_numbers("4.2 million at 9.40 am, twenty-three")]
        [['4200000'], ['9.4', 't9:40'], ['23']]
        >>> [sorted(each.readings) for each in find_numbers("2026-05-03 or 3 May 2026")]
        [['2026'], ['month5'], ['3'], ['3'], ['month5'], ['2026']]
    """
    found = []
    dates = list(_DATE.finditer(text))
    for date in dates:
        values = (str(int(date[1])), f"month{int(date[2])}", str(int(date[3])))
        for index, value in enumerate(values, 1):
            span = date.span(index)
            found.append(_number({value}, span))
    for match in _NUMBER.finditer(text):
        if any(date.start() <= match.start() < date.end() for date in dates):
            continue
        readings = set(_readings(match))
        if readings:
            is_percent = bool(match["percent"] or match["word_percent"])
            found.append(_number(readings, match.span(), is_percent=is_percent))
    for word in _WORD.finditer(text):
        month = _MONTHS.get(word[0].rstrip(".").casefold()) if word[0][0].isupper() else None
        if month is not None and _is_month(text, word):
            found.append(_number({f"month{month}"}, word.span()))
    return sorted(found, key=lambda number: number.start)


def find_names(text: str) -> list[Name]:
    """Return the capitalized words of a text, except function words and months.

    Example:
        >>> [(name.text, name.opens) for name in find_names("Lena's bus, by Acme, left.")]
        [('lena', True), ('acme', False)]
    """
    found = []
    for word in _WORD.finditer(text):
        plain = _POSSESSIVE.sub("", word[0])
        lower = plain.casefold()
        is_acronym = len(plain) > 1 and plain.isupper()  # "WHO" is not "who"
        if not any(c.isupper() for c in plain) or (lower in FUNCTION_WORDS and not is_acronym):
            continue
        if (lower in _MONTHS and _is_month(text, word)) or lower in _NUMBER_WORDS:
            continue
        before = text[max(0, word.start() - 8) : word.start()]
        opens = plain[1:].islower() and _START.search(before) is not None
        found.append(Name(text=lower, start=word.start(), end=word.end(), opens=opens))
    return found


def _number(readings: set[str], span: tuple[int, int], *, is_percent: bool = False) -> Number:
    return Number(readings=frozenset(readings), is_percent=is_percent, start=span[0], end=span[1])


def _is_month(text: str, word: re.Match[str]) -> bool:
    """Return whether a word that names a month does so: "May" and "Mar" can be other words."""
    if len(word[0]) > 4 and word[0].casefold() not in ("march", "mars", "avril"):
        return True
    before, after = (
        text[max(0, word.start() - 12) : word.start()],
        text[word.end() : word.end() + 6],
    )
    return bool(
        re.search(r"\d(?:st|nd|rd|th)?\.?(?: of)? \Z|\b(?:in|since|until|from|to|by|of|and|early"
                  r"|late|mid|last|next|im|seit|bis|en) \Z", before, re.IGNORECASE)
        or re.match(r"\.? \d", after)
    )  # fmt: skip


def _readings(match: re.Match[str]) -> Iterator[str]:
    if match["word"]:
        word = match["word"].lower()
        value = Decimal(_NUMBER_WORDS[word])
        if match["unit"]:
            if word not in _TENS:
                return
            value += _NUMBER_WORDS[match["unit"].lower()]
        elif word == "one" and not match["word_scale"] and not match["word_percent"]:
            return
        yield _plain(
            value.scaleb(_SCALES[match["word_scale"].lower()] if match["word_scale"] else 0)
        )
        return
    digits = match["digits"].replace("−", "-")
    scale = (match["scale"] or match["wide"] or "").lower()
    exponent = _SCALES.get(scale, 0)
    time = re.fullmatch(r"(\d{1,2})[:.h](\d\d)", digits)
    hour = re.fullmatch(r"\d{1,2}", digits)
    if (time or (hour and match["half"])) and not scale:
        hours = int(time[1] if time else digits)
        minutes = int(time[2]) if time else 0
        shifted = hours % 12 + 12 * (match["half"].lower() == "p") if match["half"] else hours
        if hours < 25 and minutes < 60:
            yield f"t{shifted}:{minutes:02}"
            if match["half"] is None and ":" in digits and hours < 13:
                yield f"t{hours % 12 + 12}:{minutes:02}"
        if time and ":" in digits:
            return
    for value in _decimals(digits):
        yield _plain(value.scaleb(exponent))


def _decimals(digits: str) -> Iterator[Decimal]:
    """Yield the values that digits with separators can have."""
    parts = re.split(r"[^\d-]", digits)
    separators = re.findall(r"[^\d-]", digits)
    if not separators:
        yield Decimal(digits)
        return
    is_grouped = all(len(part) == 3 for part in parts[1:]) and len(parts[0].lstrip("-")) <= 3
    if is_grouped and len(set(separators)) == 1 and separators[0] not in ":h":
        yield Decimal("".join(parts))
    if separators[-1] in ".," and all(len(part) == 3 for part in parts[1:-1]):
        grouping = set(separators[:-1])
        if separators[-1] not in grouping:
            yield Decimal("".join(parts[:-1]) + "." + parts[-1])
            return
    if len(separators) > 1 and not is_grouped or set(separators) & set(":h"):
        for part in parts:  # a date or version, such as 3.5.2026
            try:
                yield Decimal(part)
            except InvalidOperation:
                continue


def _plain(value: Decimal) -> str:
    text = f"{value.normalize():f}"
    return "0" if text in ("-0", "") else text


def same_number(one: Number, other: Number) -> bool:
    """Return whether two numbers can mean the same.

    Example:
        >>> same_number(*find_numbers("1.200 = 1,200"))
        True
    """
    return one.is_percent == other.is_percent and bool(one.readings & other.readings)


def mention_keys(text: str) -> list[str]:
    """Return a key for each number and name of a text, for counting them.

    Example:
        >>> mention_keys("On 3 May the council of Rem paid 4.2 million.")
        ['3', 'month5', '4200000', 'rem']
    """
    numbers = [min(number.readings) for number in find_numbers(text)]
    return numbers + [name.text for name in find_names(text) if not name.opens]
