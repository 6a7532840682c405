"""Plural forms of gettext: the expression of a header, and those of languages.

Source of the table: the manual of GNU gettext (Plural forms), and the rules of CLDR for languages
that it does not list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from gettext import c2py

import msgspec

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
