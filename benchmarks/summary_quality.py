"""Measure a summary against its source, without the checks of `llmtool` itself.

Facts, invented numbers and names, near-copies and words are found in the text alone, so that a
change of the product cannot change how it is measured. `lead` and `central` are summaries that need
no model, to compare with; `richest` shows how many facts sentences of the source can hold.

Limitations: the unit of a number is compared for common units only. Capitalized words are names in
English, apart from the first of a sentence; in German only after a title or another name, because
nouns are capitalized too; in Chinese only before words such as 公司 and 女士.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

Facts = Mapping[str, Sequence[str]]

_SAME = str.maketrans("‘’‚“”„«»‐‑‒–—−\u00a0\u2009\u202f", '\'\'\'"""""------   ')
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[^\Wa-z_])|(?<=[。！？])(?=[^”’」])")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Cllr|Hr|Fr|ca|tel|vs|bzw|z\. ?B|e\.g|i\.e))\.$"
)
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['-][^\W_{_CJK}]+)*")
_MARKUP = re.compile(r"^\s*(?:[-*+•>]\s+|#{1,6}\s+|\d{1,2}[.)]\s+)?|[*`|_]+", re.MULTILINE)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:[, ']\d{3})+(?![\d])")


def plain(text: str) -> str:
    """Return a text with plain quotes and dashes, and without separators of thousands."""
    text = unicodedata.normalize("NFC", text).translate(_SAME)
    return _GROUPED.sub(lambda match: re.sub("[, ']", "", match[0]), text)


def split(text: str) -> list[str]:
    """Return the sentences of a text; a line of a list or table ends a sentence too.

    Example:
        >>> split("Dr. Rask paid 1,200 euros. She left.\\n- A point")
        ['Dr. Rask paid 1200 euros.', 'She left.', 'A point']
    """
    found = []
    for line in _MARKUP.sub(" ", plain(text)).splitlines():
        begin = 0
        for end in _END.finditer(line):
            if not _ABBREVIATED.search(line[begin : end.start()]):
                found.append(line[begin : end.end()])
                begin = end.end()
        found.append(line[begin:])
    return [" ".join(each.split()) for each in found if _WORD.search(each)]


def paragraphs(text: str) -> str:
    """Join the lines of each paragraph that are wrapped; lists and tables keep their lines."""
    return re.sub(r"(?<=[\w,;])\n(?=[a-z(])", " ", text)


def tokens(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(plain(text))]


def count_words(text: str) -> int:
    """Count words; two Chinese or Japanese characters count as one."""
    wide = len(re.findall(f"[{_CJK}]", text))
    return len(re.sub(f"[{_CJK}]", " ", text).split()) + math.ceil(wide / 2)


# Facts


def facts_in(text: str, facts: Facts) -> list[str]:
    """Return the facts of which one sentence of the text matches all patterns."""
    sentences = split(text)
    return [name for name, forms in facts.items() if any(states(s, forms) for s in sentences)]


def states(sentence: str, forms: Sequence[str]) -> bool:
    return all(re.search(form, sentence, re.IGNORECASE) for form in forms)


# Numbers, dates and names that are not in the source

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = {
    **{"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9},
    **{"tausend": 1000, "millionen": 10**6, "milliarden": 10**9, "万": 10**4, "亿": 10**8},
    **{"mn": 10**6, "bn": 10**9},
}
_VALUES = {
    **{word: i for i, word in enumerate(_SMALL)},
    **{word: 10 * i for i, word in enumerate(_TENS, 2)},
    **{
        f"{ten}-{one}": 10 * i + j
        for i, ten in enumerate(_TENS, 2)
        for j, one in enumerate(_SMALL[1:10], 1)
    },
    "hundred": 100, "dozen": 12,
    **{
        word: i
        for i, word in enumerate(
            "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split(), 2
        )
    },
}  # fmt: skip
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
# Words that count without being a fact: "one of them", "a hundred".
_VAGUE = {"one", "hundred", "zero"}
_NUMBER = re.compile(
    rf"(?<![\w.,])(?P<digits>\d+(?:[.,:]\d+)*)(?!\d)"
    rf"(?:\s?(?P<scale>{'|'.join(_SCALES)})(?![^\W\d_])|(?P<short>[km])(?![^\W\d_]))?"
    rf"|\b(?P<word>{'|'.join(sorted(_VALUES, key=len, reverse=True))})\b"
    r"(?:\s(?P<times>hundred|thousand|million|billion)\b)?",
    re.IGNORECASE,
)
_UNITS = {
    "%": r"%|per ?cent\w*|prozent\w*|pp\b|points?\b",
    "euro": r"€|euros?\b|eur\b|欧元",
    "pound": r"£|pounds?\b|gbp\b",
    "dollar": r"\$|dollars?\b|usd\b",
    "crown": r"kroner?\b|crowns?\b|kr\b",
    "yuan": r"元|yuan\b",
    **{
        unit: rf"{unit}s?\b"
        for unit in ("second", "minute", "hour", "day", "week", "month", "metre", "kilometre")
    },
    "year": r"years?\b|annual\w*|jahre?n?\b",
    "tonne": r"tonn?e?s?\b|tonnen\b",
    "degree": r"degrees?\b|°|grad\b",
}
_AFTER = {unit: re.compile(rf"[\s-]?(?:{form})", re.IGNORECASE) for unit, form in _UNITS.items()}
_WITHIN = {unit: re.compile(form, re.IGNORECASE) for unit, form in _UNITS.items()}
_CURRENCIES = {"euro", "pound", "dollar", "crown", "yuan"}
_SIGNS = {"€": "euro", "£": "pound", "$": "dollar"}
_MONTHS = {
    name: i % 12 + 1
    for i, name in enumerate(
        "january february march april may june july august september october november december "
        "januar februar märz april mai juni juli august september oktober november dezember".split()
    )
}
_MONTH = "|".join(
    [*sorted(_MONTHS, key=len, reverse=True), "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"]
)
_RANGE = re.compile(
    rf"\b(\d{{1,2}})\.?\s?(?:-|,|to|and|or|until|und|bis)\s?(\d{{1,2}})\.?\s+({_MONTH})\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th|\.)?(?:\s+of)?\s+({_MONTH})\b"
    rf"|\b({_MONTH})\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?\b(?!\s*\d{{3}})"
    r"|\b\d{4}-(\d{2})-(\d{2})\b|(\d{1,2})月(\d{1,2})日",
    re.IGNORECASE,
)


def numbers(text: str) -> Iterator[tuple[float, str | None, str]]:
    """Yield value, unit and spelling of each number, in digits or words.

    Example:
        >>> list(numbers("48.6 million euros, twenty-three people, 31.4 percent"))
        [(48600000.0, 'euro', '48.6 million euros'), (23.0, None, 'twenty-three'), (31.4, '%', '31.4 percent')]
    """  # noqa: E501
    for match in _NUMBER.finditer(text):
        if match["digits"]:
            values = _read(match["digits"])
            scale = _SCALES[match["scale"].casefold()] if match["scale"] else 1
            scale = {"k": 1000, "m": 10**6}.get((match["short"] or "").casefold(), scale)
        else:
            word = match["word"].casefold()
            if word in _VAGUE and not match["times"]:
                continue
            values = (float(_VALUES[word]),)
            scale = _SCALES[match["times"].casefold()] if match["times"] else 1
        unit, end = _SIGNS.get(text[max(0, match.start() - 1) : match.start()]), match.end()
        for name, form in _AFTER.items():
            if not unit and (after := form.match(text, match.end())):
                unit, end = name, after.end()
        for value in values:
            yield round(value * scale, 6), unit, text[match.start() : end]


def _read(digits: str) -> tuple[float, ...]:
    """Return the value of digits; a time, ratio or version has one value for each part."""
    if re.fullmatch(r"\d+(?:[.,]\d+)?", digits):
        return (float(digits.replace(",", ".")),)
    return tuple(float(part) for part in re.split("[.,:]", digits))


def dates(text: str) -> set[tuple[int, int]]:
    """Return (month, day) of each date.

    Example:
        >>> sorted(dates("from 4 to 6 November, and on December 3rd"))
        [(11, 4), (11, 6), (12, 3)]
    """
    found = set()
    text = _RANGE.sub(r"\1 \3 \2 \3", text)
    for day, name, name2, day2, month3, day3, month4, day4 in _DATE.findall(text):
        word = (name or name2).casefold()
        month = next((n for full, n in _MONTHS.items() if word and full.startswith(word)), 0)
        found.add((month or int(month3 or month4), int(day or day2 or day3 or day4)))
    return found


def invented(summary: str, source: str, *, language: str = "en") -> list[str]:
    """Return the numbers, quantities, dates and names of a summary that are not in its source.

    A number counts as well if its unit, such as percent or days, is not that of the source, and a
    full name if the source does not have its parts together.

    Example:
        >>> invented("Ms Rask paid 40 euros to Tom Beck.", "Tom Rask paid 40 pounds. Beck left.")
        ['40 euros', 'Tom Beck']
    """
    lines = [s for part in plain(source).splitlines() for s in split(part)]
    known = _quantities(source, lines)
    known_dates = dates(plain(source))
    found: dict[str, None] = {}
    for sentence in split(summary):
        for value, unit, spelled in numbers(sentence):
            if not any(_agrees(unit, *each) for each in known.get(value, ())):
                found[spelled] = None
        for month, day in dates(sentence) - known_dates:
            found[f"{day}/{month}"] = None
        for name in unknown_names(sentence, source, lines, language=language):
            found[name] = None
    return list(found)


Occurrence = tuple["str | None", str]  # the unit next to a number, and the sentences around it


def _quantities(source: str, lines: Sequence[str]) -> dict[float, list[Occurrence]]:
    """Return the numbers of a text; near "74 million", "129" may mean millions as well."""
    known: dict[float, list[Occurrence]] = {}
    for i, line in enumerate(lines):
        around = " ".join(lines[max(0, i - 1) : i + 2])
        for value, unit, _ in numbers(line):
            known.setdefault(value, []).append((unit, around))
            for scale in (1000, 10**6, 10**9):
                if any(word in around.casefold() for word, n in _SCALES.items() if n == scale):
                    known.setdefault(value * scale, []).append((unit, around))
        for value in _ordinals(line):
            known.setdefault(value, []).append((None, around))
    for line in plain(source).splitlines():  # the unit of a table is in its head
        if _is_table(line):
            for value, _, _ in numbers(_MARKUP.sub(" ", line)):
                known.setdefault(value, []).append((None, ""))
    for value, _, _ in numbers(plain(source)):  # those that look like markup: "# 7 Faults"
        known.setdefault(value, [(None, "")])
    return known


def _agrees(unit: str | None, other: str | None, around: str) -> bool:
    """Whether a number with a unit may be one of the source, which has another unit or none."""
    if unit is None or unit == other or not around:
        return True
    return other is None and (unit in _CURRENCIES or bool(_WITHIN[unit].search(around)))


def _is_table(line: str) -> bool:
    return line.count("|") > 1 or "...." in line or line.startswith("    ") or "\t" in line


def _ordinals(text: str) -> Iterator[float]:
    for word in tokens(text):
        if word in _ORDINALS:
            yield _ORDINALS.index(word) + 1
        elif match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", word):
            yield float(match[1])


_TITLES = set(
    "mr mrs ms miss dr prof professor sir judge father cllr councillor herr frau doktor the a an "
    "this that these those it its he she they we i in on at of for from to by with and but or as "
    "when while if after before since until although because however also our their his her there "
    "all both each every no not one some many most more other another such so then thus".split()
)
_TITLE_DE = re.compile(r"\b(?:Herrn?|Frau|Dr\.|Prof\.|Professorin|Professor|Firma)\s+$")
_CAPITAL = re.compile(r"[^\W\d_a-zß-öø-ÿ][\w'&-]+")
_CODE = re.compile(r"(?=[\w-]*[A-Z])(?=[\w-]*\d)[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*|\b[A-Z]{2,}\b")
_NAMED_ZH = re.compile(
    r"[\u4e00-\u9fff]{2,4}(?=公司|大学|先生|女士|教授|博士|馆长|主任|经理|工程师)"
)


def unknown_names(
    sentence: str, source: str, lines: Sequence[str], *, language: str
) -> Iterator[str]:
    """Yield the names of a sentence that its source does not contain."""
    text = plain(source)
    known = set(tokens(text))
    known |= {part for word in known for part in re.split("['-]", word)}
    for match in _CODE.finditer(sentence):
        if match[0].casefold() not in known and match[0].casefold() not in text.casefold():
            yield match[0]
    if language == "zh":
        for match in _NAMED_ZH.finditer(sentence):
            if not any(match[0][i:] in text for i in range(len(match[0]) - 1)):
                yield match[0]
        return
    for run in _runs(sentence):
        if language == "de" and len(run) == 1 and not _TITLE_DE.search(sentence[: run[0].start()]):
            continue
        stems = [_stem(match[0]) for match in run]
        unknown = [
            match[0]
            for match, stem in zip(run, stems, strict=True)
            if match[0].casefold() not in known
            and match[0].casefold() not in _TITLES
            and not _is_known(stem, known)
        ]
        if len(run) == 1 and _starts(sentence, run[0].start()):
            continue  # the first word of a sentence may be any word
        if unknown:
            yield " ".join(unknown)
        elif len(run) > 1 and language == "en":
            words = [stem for stem in stems if stem not in _TITLES]
            if not all(_near(*pair, lines) for pair in zip(words, words[1:], strict=False)):
                yield " ".join(match[0] for match in run)


def _near(first: str, second: str, lines: Sequence[str]) -> bool:
    """Whether a sentence has both words with at most two between them, in any order."""
    gap = r"\W+(?:\w+\W+){0,2}"
    a, b = re.escape(first), re.escape(second)
    near = re.compile(rf"\b(?:{a}\w*{gap}{b}|{b}\w*{gap}{a})", re.IGNORECASE)
    return any(near.search(line) for line in lines)


def _runs(sentence: str) -> Iterator[list[re.Match[str]]]:
    """Yield neighbouring capitalized words, such as the parts of a full name."""
    run: list[re.Match[str]] = []
    for match in _CAPITAL.finditer(sentence):
        if match.start() and re.match(r"[\w'-]", sentence[match.start() - 1]):
            continue
        if run and (
            sentence[run[-1].end() : match.start()] != " " or run[-1][0].endswith(("'s", "s'"))
        ):
            yield run
            run = []
        if not run and match[0].casefold() in _TITLES:
            continue
        run.append(match)
    if run:
        yield run


def _starts(sentence: str, begin: int) -> bool:
    """Whether a word begins a sentence, a quotation or the text after a colon."""
    before = sentence[:begin].rstrip()
    return not before or before[-1] in ":\"(['-"


def _is_known(stem: str, known: set[str]) -> bool:
    """Whether a name is a word of the source, or part of one: "Postgres" of "PostgreSQL"."""
    if stem in known or (len(stem) > 4 and any(word.startswith(stem) for word in known)):
        return True
    return "-" in stem and all(part in known for part in stem.split("-"))


def _stem(word: str) -> str:
    return re.sub(r"'s?$", "", word.casefold())


# Near-copies


def copies(summary: str) -> list[str]:
    """Return the sentences that repeat an earlier one, apart from a few words.

    Two sentences of at least four words are near-copies if their sets of words overlap by 0.7, or
    their pairs of neighbouring words by 0.6 (Dice's coefficient).

    Example:
        >>> copies("Ann will lead the new unit. It rained. Bob will lead the new unit.")
        ['Bob will lead the new unit.']
    """
    found, seen = [], []
    for sentence in split(summary):
        words = tokens(sentence)
        if len(words) < 4:
            continue
        parts = set(words), set(zip(words, words[1:], strict=False))
        if any(_dice(parts[0], a) >= 0.7 or _dice(parts[1], b) >= 0.6 for a, b in seen):
            found.append(sentence)
        seen.append(parts)
    return found


def _dice(a: set, b: set) -> float:
    return 2 * len(a & b) / (len(a) + len(b))


# Summaries without a model


def lead(source: str, n_words: int) -> str:
    """Return the first words of a text."""
    spans = [m.end() for m in re.finditer(rf"[{_CJK}]{{1,2}}|[^\s{_CJK}]+", source)]
    return source if len(spans) <= n_words else source[: spans[n_words - 1]]


def central(source: str, n_words: int) -> str:
    """Return sentences near the centroid of the text (TF-IDF), dense with numbers and names.

    After Radev et al., "Centroid-based summarization of multiple documents" (2004), with the
    redundancy penalty of MMR (Carbonell and Goldstein, 1998). But: no weight for position.
    """
    sentences = [s for s in dict.fromkeys(split(source)) if count_words(s) >= 4]
    vectors = _vectors(sentences)
    mean = Counter[str]()
    for vector in vectors:
        mean.update(vector)
    near = _standard([_cosine(vector, mean) for vector in vectors])
    dense = _standard([_density(sentence) for sentence in sentences])
    score = [a + b for a, b in zip(near, dense, strict=True)]
    chosen: list[int] = []
    left = n_words
    for i in sorted(range(len(sentences)), key=lambda i: -score[i]):
        size = count_words(sentences[i])
        if size <= left and all(_cosine(vectors[i], vectors[j]) < 0.5 for j in chosen):
            chosen.append(i)
            left -= size
    return "\n".join(sentences[i] for i in sorted(chosen))


def richest(source: str, facts: Facts, n_words: int) -> str:
    """Return the sentences with the most facts for their length, which a perfect choice finds."""
    sentences = split(source)
    held = [{name for name, forms in facts.items() if states(s, forms)} for s in sentences]
    chosen: set[int] = set()
    known: set[str] = set()
    left = n_words
    while options := [
        i for i in range(len(sentences)) if held[i] - known and count_words(sentences[i]) <= left
    ]:
        best = max(options, key=lambda i: len(held[i] - known) / count_words(sentences[i]))
        chosen.add(best)
        known |= held[best]
        left -= count_words(sentences[best])
    return "\n".join(sentences[i] for i in sorted(chosen))


def _vectors(sentences: Sequence[str]) -> list[Counter[str]]:
    bags = [Counter(tokens(sentence)) for sentence in sentences]
    spread = Counter(word for bag in bags for word in bag)
    return [
        Counter({word: n * math.log(len(bags) / spread[word]) for word, n in bag.items()})
        for bag in bags
    ]


def _cosine(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    size = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
    return sum(x * b.get(word, 0.0) for word, x in a.items()) / size if size else 0.0


def _density(sentence: str) -> float:
    names = [m for run in _runs(sentence) for m in run if m.start()]
    return (sum(1 for _ in numbers(sentence)) + len(names)) / (count_words(sentence) + 5)


def _standard(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((x - mean) ** 2 for x in values) / len(values)) or 1.0
    return [(x - mean) / spread for x in values]
