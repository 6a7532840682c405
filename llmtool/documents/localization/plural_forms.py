"""Plural forms of languages, in gettext, Android and Qt.

Source of the table: the manual of GNU gettext (Plural forms), and the rules of CLDR for languages
that it does not list. Android names its forms as CLDR does; Qt has rules of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from gettext import c2py

import msgspec

from llmtool.documents.types import Part, ProtectedSpan, make_break

_FIELD = re.compile(r"nplurals\s*=\s*(\d+)\s*;\s*plural\s*=\s*([^;\n]+)")
_ONE_FORM = "nplurals=1; plural=0;"
_NOT_ONE = "nplurals=2; plural=(n != 1);"
_MORE_THAN_ONE = "nplurals=2; plural=(n > 1);"
_SLAVIC = (
    "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20)"
    " ? 1 : 2);"
)
_BY_LANGUAGE = {
    **dict.fromkeys("id ja km ko lo ms my th vi zh jv su yo bo dz".split(), _ONE_FORM),
    **dict.fromkeys(
        "fr hy kab am fa hi bn gu kn zu ln mg ti wa oc br ach tg tl fil".split(), _MORE_THAN_ONE
    ),
    **dict.fromkeys("be bs hr ru sr uk sh".split(), _SLAVIC),
    **dict.fromkeys(
        ("cs", "sk"), "nplurals=3; plural=(n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2;"
    ),
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);",
    "lt": (
        "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20)"
        " ? 1 : 2);"
    ),
    "lv": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);",
    "sl": "nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);",
    "ro": "nplurals=3; plural=(n==1 ? 0 : (n==0 || (n%100 > 0 && n%100 < 20)) ? 1 : 2);",
    "ar": (
        "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3"
        " : n%100>=11 ? 4 : 5);"
    ),
    "ga": "nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4);",
    "gd": "nplurals=4; plural=(n==1 || n==11 ? 0 : n==2 || n==12 ? 1 : n>2 && n<20 ? 2 : 3);",
    "cy": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n==3 ? 3 : n==6 ? 4 : 5);",
    "mt": (
        "nplurals=4; plural=(n==1 ? 0 : n==0 || (n%100>1 && n%100<11) ? 1"
        " : n%100>10 && n%100<20 ? 2 : 3);"
    ),
    "mk": "nplurals=2; plural=(n%10==1 && n%100!=11 ? 0 : 1);",
    "is": "nplurals=2; plural=(n%10!=1 || n%100==11);",
    "he": "nplurals=3; plural=(n==1 ? 0 : n==2 ? 1 : 2);",
    "pt-br": _MORE_THAN_ONE,
}  # fmt: skip
# The names in CLDR of the forms above, and the form for other numbers if it is not one of them.
_CATEGORIES = {
    **dict.fromkeys(("be", "ru", "uk", "pl"), ("one few many", "other 1.5")),
    **dict.fromkeys(("bs", "hr", "sr", "sh"), ("one few other", "")),
    **dict.fromkeys(("cs", "sk", "lt"), ("one few other", "many 1.5")),
    **dict.fromkeys(("fr", "es", "it", "pt", "ca"), ("one other", "many 1000000")),
    "lv": ("one other zero", ""),
    "ro": ("one few other", ""),
    "sl": ("one two few other", ""),
    "ar": ("zero one two few many other", ""),
    "ga": ("one two few many other", ""),
    "gd": ("one two few other", ""),
    "cy": ("zero one two few many other", ""),
    "mt": ("one few many other", ""),
    "he": ("one two other", ""),
}
CATEGORIES = ("zero", "one", "two", "few", "many", "other")
# The rules of Qt that differ from those of gettext.
_BY_LANGUAGE_IN_QT = {
    **dict.fromkeys("hu fa tr".split(), _ONE_FORM),
    **dict.fromkeys("lo km ka".split(), _NOT_ONE),
    "he": _NOT_ONE,
    "ga": "nplurals=3; plural=(n==1 ? 0 : n==2 ? 1 : 2);",
    "mk": "nplurals=3; plural=(n%10==1 ? 0 : n%10==2 ? 1 : 2);",
    "cy": "nplurals=5; plural=(n==0 ? 0 : n==1 ? 1 : n>=2 && n<=5 ? 2 : n==6 ? 3 : 4);",
    "tl": "nplurals=3; plural=(n<=1 ? 0 : n%10==4 || n%10==6 || n%10==9 ? 1 : 2);",
}
# Small numbers, and those of forms for large numbers only, such as "millions" in French.
_NUMBERS = (*range(1, 202), 0, 1000, 10_000, 100_000, 1_000_000)


class PluralForms(msgspec.Struct, frozen=True):
    """The forms of a header: for each, the numbers that belong to it, of a sample."""

    numbers: tuple[tuple[int, ...], ...]

    def example(self, form: int) -> int | None:
        """Return a number that belongs to a form, None if the sample has none.

        Example:
            >>> forms = parse_plural_forms(header_of("ru"))
            >>> [forms.example(i) for i in range(3)], forms.is_only_one(0)
            ([21, 2, 5], False)
        """
        if form >= len(self.numbers) or not self.numbers[form]:
            return None
        numbers = self.numbers[form]
        return next((n for n in numbers if n > 1), numbers[0])

    def is_only_one(self, form: int) -> bool:
        """Return whether a form is for the number 1 alone."""
        return form < len(self.numbers) and self.numbers[form] == (1,)

    def has_one(self, form: int) -> bool:
        return form < len(self.numbers) and 1 in self.numbers[form]


def header_of(language: str) -> str:
    """Return the `Plural-Forms` field of a language, by its code: "de", "pt-BR".

    Example:
        >>> header_of("ja"), header_of("pt-BR")
        ('nplurals=1; plural=0;', 'nplurals=2; plural=(n > 1);')
    """
    code = language.replace("_", "-").casefold()
    return _BY_LANGUAGE.get(code) or _BY_LANGUAGE.get(
        code.partition("-")[0].partition("@")[0], _NOT_ONE
    )


def qt_forms(language: str) -> PluralForms:
    """Return the numerus forms of a language in Qt.

    Example:
        >>> [len(qt_forms(language).numbers) for language in ("de", "tr", "ru")]
        [2, 1, 3]
    """
    base = language.replace("_", "-").casefold().partition("-")[0]
    forms = parse_plural_forms(_BY_LANGUAGE_IN_QT.get(base) or header_of(language))
    assert forms is not None
    return forms


def categories_of(language: str) -> dict[str, tuple[str, bool]]:
    """Return the forms of a language by their names in CLDR, in its order.

    Each has a number that belongs to it, and whether it is for the number 1 alone.

    Example:
        >>> categories_of("ru")["few"], list(categories_of("ja"))
        (('2', False), ['other'])
    """
    base = language.replace("_", "-").casefold().partition("-")[0]
    forms = parse_plural_forms(header_of(language))
    assert forms is not None
    names, extra = _CATEGORIES.get(base) or (("other", "one other")[len(forms.numbers) - 1], "")
    found = {
        name: (str(forms.example(i)), forms.is_only_one(i)) for i, name in enumerate(names.split())
    }
    if extra:
        name, number = extra.split()
        found[name] = number, False
    return {name: found[name] for name in CATEGORIES if name in found}


def begin_form(number: object) -> ProtectedSpan:
    """Return the break before a plural form, with an example of its numbers."""
    return make_break("", f"plural form for the number {number}")


def split_forms(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts of each plural form, or those of a message without forms."""
    forms: list[list[Part]] = []
    for part in parts:
        if isinstance(part, ProtectedSpan) and part.is_break and not part.source:
            forms.append([])
        elif forms:
            forms[-1].append(part)
        else:
            forms.append([part])
    return forms


def parse_plural_forms(field: str) -> PluralForms | None:
    """Return the forms of a `Plural-Forms` field, None if it is invalid."""
    found = _FIELD.search(field)
    n_forms = int(found[1][:4]) if found else 0
    if found is None or not 1 <= n_forms <= 100:
        return None
    try:
        form_of: Callable[[int], int] = c2py(found[2])
        forms = [(n, form_of(n)) for n in _NUMBERS]
    except (ValueError, ArithmeticError, RecursionError, SyntaxError):
        return None
    if any(not 0 <= form < n_forms for _, form in forms):
        return None
    return PluralForms(
        tuple(tuple(n for n, form in forms if form == each) for each in range(n_forms))
    )
