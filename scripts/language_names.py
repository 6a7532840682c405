#!/usr/bin/env python3
"""Write the names of languages, regions and scripts in widespread languages, from CLDR.

    pip install babel && python scripts/language_names.py

A name that several of them have is omitted.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from babel import Locale, UnknownLocaleError, localedata

from llmtool.text import languages

_READERS = (
    "ar bg bn cs da de el es fa fi fr he hi hu id it ja ko ms nb nl pl pt ro ru sr sv sw th tr uk"
    " ur vi zh zh_Hant"
).split()
# ISO 15924. Names of other scripts belong to languages without varieties.
_SCRIPTS = "Latn Cyrl Arab Deva Guru Hebr Mong Tfng Hans Hant".split()
_OWN_SCRIPTS = ("Latn", "Cyrl", "Arab")  # of languages with several
_LATIN_AMERICA = "419"
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
        for code in (_cldr_code(tag), f"{tag}_Cyrl", f"{tag}_Arab"):  # some have two names
            try:
                own = Locale.parse(code).languages.get(_cldr_code(tag))
            except (UnknownLocaleError, ValueError):
                continue
            if own:
                names[tag].add(languages._fold(own))
    return names


def names_of_subtags() -> dict[str, set[str]]:
    """Return the folded names of each region and script in the languages of `_READERS`.

    Other languages name their own regions and scripts: "Slovenščina (Italija)", "Oʻzbek (lotin)".
    """
    names: defaultdict[str, set[str]] = defaultdict(set)
    for reader in (*_READERS, "en"):
        locale = Locale.parse(reader)
        regions = {
            each: name
            for each, name in locale.territories.items()
            if each == _LATIN_AMERICA or (len(each) == 2 and not each.startswith("X"))
        }
        for subtag, name in (regions | {each: locale.scripts[each] for each in _SCRIPTS}).items():
            names[subtag.lower()].add(languages._fold(name))
    for identifier in localedata.locale_identifiers():
        locale = Locale.parse(identifier)
        shown = {**locale.scripts, **locale.territories}
        own = {locale.territory} if locale.language in languages.NAMES else set()
        own |= set(_OWN_SCRIPTS if locale.language in languages._SEVERAL_SCRIPTS else ())
        for subtag in own & shown.keys():
            names[subtag.lower()].add(languages._fold(shown[subtag]))
    return names


def _cldr_code(tag: str) -> str:
    base, *subtags = tag.split("-")
    return "_".join((base, *(each.title() if len(each) == 4 else each.upper() for each in subtags)))


def write(path: Path, names: Mapping[str, set[str]]) -> None:
    """Write the names that only one tag has."""
    n_tags = Counter(name for found in names.values() for name in found)
    new = {
        tag: sorted(name for name in found if n_tags[name] == 1)
        for tag, found in sorted(names.items())
    }
    text = json.dumps({tag: each for tag, each in new.items() if each}, ensure_ascii=False)
    path.write_text(text.replace('], "', '],\n"') + "\n", encoding="utf-8")


def main() -> None:
    for path in (languages.OTHER_NAMES_FILE, languages.SUBTAG_NAMES_FILE):
        path.write_text("{}", encoding="utf-8")
    found = {
        tag: {name for name in names if languages.find_code(name) is None}
        for tag, names in names_in_cldr().items()
    }
    write(languages.OTHER_NAMES_FILE, found)
    write(languages.SUBTAG_NAMES_FILE, names_of_subtags())


if __name__ == "__main__":
    main()
