#!/usr/bin/env python3
"""Write the names of languages in other languages, from CLDR.

    pip install babel && python scripts/language_names.py

A name that several languages have is omitted.
"""

from __future__ import annotations

import json
from collections import defaultdict

from babel import Locale, UnknownLocaleError

from llmtool.text import languages

_READERS = (
    "ar bg bn cs da de el es fa fi fr he hi hu id it ja ko ms nb nl pl pt ro ru sr sv sw th tr uk"
    " ur vi zh zh_Hant"
).split()
_IN_CLDR = {"no": ("no", "nb"), "tl": ("tl", "fil"), "zh-cn": (), "zh-tw": ()}


def names_in_cldr() -> dict[str, set[str]]:
    """Return the folded names of each tag: in the languages of `_READERS`, and its own."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    tags = (*languages.NAMES, *languages._VARIETIES)
    for reader in _READERS:
        shown = Locale.parse(reader).languages
        for tag in (*languages._COMMON, *languages._VARIETIES):
            for code in _IN_CLDR.get(tag, (_cldr_code(tag),)):
                if code in shown:
                    names[tag].add(languages._fold(shown[code]))
    for tag in tags:
        try:
            own = Locale.parse(_cldr_code(tag)).languages.get(_cldr_code(tag))
        except (UnknownLocaleError, ValueError):
            continue
        if own:
            names[tag].add(languages._fold(own))
    return names


def _cldr_code(tag: str) -> str:
    base, *subtags = tag.split("-")
    return "_".join((base, *(each.title() if len(each) == 4 else each.upper() for each in subtags)))


def main() -> None:
    languages.OTHER_NAMES_FILE.write_text("{}", encoding="utf-8")
    names = names_in_cldr()
    tags_of: defaultdict[str, set[str]] = defaultdict(set)
    for tag, found in names.items():
        for name in found:
            tags_of[name].add(tag)
    new = {
        tag: sorted(
            name for name in found if len(tags_of[name]) == 1 and languages.find_code(name) is None
        )
        for tag, found in sorted(names.items())
    }
    text = json.dumps({tag: each for tag, each in new.items() if each}, ensure_ascii=False)
    text = text.replace('], "', '],\n"')
    languages.OTHER_NAMES_FILE.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
