"""Language tags in documents: whether one is that of a target, its direction, its locale."""

from __future__ import annotations

_SCRIPTS = {
    "zh-hans": "zh_CN", "zh-hant": "zh_TW", "sr-latn": "sr@latin", "sr-cyrl": "sr",
    "uz-cyrl": "uz@cyrillic", "ca-valencia": "ca@valencia",
}  # fmt: skip
_RIGHT_TO_LEFT = frozenset(
    "ar arc azb bal ckb dv fa glk he iw ks lrc mzn nqo pnb ps sd syr ug ur yi".split()
)
_RIGHT_TO_LEFT_SCRIPTS = frozenset(("arab", "hebr", "thaa", "syrc", "nkoo", "adlm", "rohg"))


def is_right_to_left(language: str) -> bool:
    """Return whether a language is written from right to left.

    Example:
        >>> is_right_to_left("ar-EG"), is_right_to_left("uz-Arab"), is_right_to_left("de")
        (True, True, False)
    """
    base, *subtags = language.replace("_", "-").casefold().split("-")
    scripts = [each for each in subtags if len(each) == 4 and each.isalpha()]
    return scripts[0] in _RIGHT_TO_LEFT_SCRIPTS if scripts else base in _RIGHT_TO_LEFT


def is_tag_of(tag: str, language: str) -> bool:
    """Return whether a tag is that of a language, or of a variety of it.

    Example:
        >>> is_tag_of("de_AT", "de"), is_tag_of("pt", "pt-BR"), is_tag_of("", "de")
        (True, False, False)
    """
    tag, language = (each.replace("_", "-").casefold() for each in (tag, language))
    return tag == language or tag.startswith(f"{language}-")


def locale_name(code: str) -> str:
    """Return a language tag as gettext and Qt write it.

    Example:
        >>> locale_name("pt-BR"), locale_name("zh-Hant"), locale_name("de")
        ('pt_BR', 'zh_TW', 'de')
    """
    tag = code.replace("_", "-").replace("@", "-").casefold()
    for known, locale in _SCRIPTS.items():
        if tag == known or tag.startswith(f"{known}-"):
            return locale
    language, _, region = tag.partition("-")
    return f"{language}_{region.upper()}" if len(region) == 2 else language
