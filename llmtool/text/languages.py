"""Language names and codes, and language detection; the only importer of py3langid.

py3langid knows 140 languages and often identifies short texts as a rare one, so it is restricted to
the languages below. A text may be in a language unless another is clearly more likely, because
related languages (Danish and Norwegian) and short greetings cannot be distinguished.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from llmtool.errors import UsageError
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian",
    "bg": "Bulgarian", "bn": "Bengali", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech",
    "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "eo": "Esperanto", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian",
    "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese", "ne": "Nepali",
    "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak",
    "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
    "zu": "Zulu",
}  # fmt: skip
# Native names and other common ones, without case and accents.
_OTHER_NAMES = {
    "አማርኛ": "am", "العربية": "ar", "عربي": "ar", "azərbaycanca": "az", "azərbaycan dili": "az",
    "беларуская": "be", "български": "bg", "বাংলা": "bn", "bosanski": "bs", "català": "ca",
    "čeština": "cs", "česky": "cs", "cymraeg": "cy", "dansk": "da", "deutsch": "de",
    "ελληνικά": "el", "español": "es", "castellano": "es", "eesti": "et", "euskara": "eu",
    "فارسی": "fa", "farsi": "fa", "suomi": "fi", "français": "fr", "gaeilge": "ga", "galego": "gl",
    "ગુજરાતી": "gu", "עברית": "he", "हिन्दी": "hi", "हिंदी": "hi", "hrvatski": "hr", "magyar": "hu",
    "հայերեն": "hy", "bahasa indonesia": "id", "íslenska": "is", "italiano": "it", "日本語": "ja",
    "にほんご": "ja", "ქართული": "ka", "қазақша": "kk", "қазақ тілі": "kk", "ខ្មែរ": "km",
    "ភាសាខ្មែរ": "km", "ಕನ್ನಡ": "kn", "한국어": "ko", "조선말": "ko", "latina": "la", "ລາວ": "lo",
    "ພາສາລາວ": "lo", "lietuvių": "lt", "latviešu": "lv", "македонски": "mk", "മലയാളം": "ml",
    "монгол": "mn", "मराठी": "mr", "bahasa melayu": "ms", "melayu": "ms", "malti": "mt",
    "မြန်မာ": "my", "မြန်မာဘာသာ": "my", "नेपाली": "ne", "nederlands": "nl", "norsk": "no",
    "bokmål": "no", "nynorsk": "no", "norsk bokmål": "no", "norsk nynorsk": "no", "ਪੰਜਾਬੀ": "pa",
    "polski": "pl", "پښتو": "ps", "português": "pt", "română": "ro", "русский": "ru",
    "සිංහල": "si", "slovenčina": "sk", "slovenščina": "sl", "shqip": "sq", "српски": "sr",
    "srpski": "sr", "svenska": "sv", "kiswahili": "sw", "தமிழ்": "ta", "తెలుగు": "te", "ไทย": "th",
    "ภาษาไทย": "th", "filipino": "tl", "türkçe": "tr", "українська": "uk", "اردو": "ur",
    "oʻzbekcha": "uz", "oʻzbek": "uz", "tiếng việt": "vi", "中文": "zh", "汉语": "zh", "漢語": "zh",
    "华语": "zh", "華語": "zh", "国语": "zh", "國語": "zh", "普通话": "zh", "普通話": "zh",
    "mandarin": "zh", "isizulu": "zu",
    "简体中文": "zh-hans", "简体": "zh-hans", "簡體中文": "zh-hans", "繁體中文": "zh-hant",
    "繁体中文": "zh-hant", "繁體": "zh-hant", "正體中文": "zh-hant", "brasil português": "pt-br",
    "brazil portuguese": "pt-br", "português brasileiro": "pt-br", "português do brasil": "pt-br",
}  # fmt: skip
_CODE_ALIASES = {"nb": "no", "nn": "no", "iw": "he", "in": "id", "fil": "tl", "cmn": "zh"}
_VARIETIES = {
    "pt-br": "Brazilian Portuguese", "pt-pt": "European Portuguese", "en-gb": "British English",
    "en-us": "American English", "es-mx": "Mexican Spanish", "fr-ca": "Canadian French",
    "zh-cn": "Simplified Chinese", "zh-hans": "Simplified Chinese", "zh-sg": "Simplified Chinese",
    "zh-tw": "Traditional Chinese", "zh-hant": "Traditional Chinese",
    "zh-hk": "Traditional Chinese",
    "de-ch": "Swiss Standard German", "de-at": "Austrian German",
}  # fmt: skip
_SHORT_LETTERS = 20
# Another language is clearly more likely from this ratio of probabilities.
_CLEAR_RATIO, _CLEAR_RATIO_IF_SHORT = 2.0, 10.0


class Language(NamedTuple):
    """A natural language: its tag with a region if one was given ("pt-BR"), and without ("pt").

    `name` is its English name, for prompts ("Brazilian Portuguese").
    """

    code: str
    base: str
    name: str


def find_language(word: str) -> Language:
    """Return a language by its English name, native name or code.

    Raises:
        UsageError: the language is unknown; the error suggests a similar name.

    Example:
        >>> find_language("german").name, find_language("pt-BR").name, find_language("zh_TW").base
        ('German', 'Brazilian Portuguese', 'zh')
    """
    name = _fold(word)
    tag = _find_tag(name)
    if tag is None:
        hint = suggest(name, (*NAMES, *NAMES.values(), *_VARIETIES.values()))
        hint = hint or "; give a name or code, such as German, Deutsch or de"
        raise UsageError(f"unknown language {word!r}{hint}")
    base, shorter = tag.partition("-")[0], tag.rpartition("-")[0]
    english = _VARIETIES.get(tag) or _VARIETIES.get(shorter) or NAMES[base]
    return Language(code=_format_tag(tag), base=base, name=english)


def _find_tag(name: str) -> str | None:
    """Return the language tag of a folded name, such as `pt` or `zh-hans`, None if unknown."""
    code, _, region = name.partition("-")
    code = _CODE_ALIASES.get(code, code)
    if code in NAMES:
        return f"{code}-{region}" if region else code
    if found := _tags_by_name().get(name):
        return found
    # "Chinese (Simplified)" and "中文（简体）" are the same as "Simplified Chinese" and "简体中文".
    main, is_qualified, variety = name.removesuffix(")").partition("(")
    if not is_qualified:
        return None
    main, variety = main.strip(), variety.strip()
    return _tags_by_name().get(f"{variety} {main}") or _tags_by_name().get(variety + main)


@lru_cache(maxsize=1)
def _tags_by_name() -> dict[str, str]:
    varieties = reversed(_VARIETIES.items())  # the first tag of a variety is the usual one
    english = {name: code for code, name in (*varieties, *NAMES.items())}
    return {_fold(name): code for name, code in (*english.items(), *_OTHER_NAMES.items())}


def _fold(name: str) -> str:
    """Return a name without case, accents and differences of width, apostrophes and separators."""
    plain = re.sub("[\u0300-\u036f]+", "", unicodedata.normalize("NFKD", name))
    plain = re.sub("['`\u02bb\u02bc\u2018\u2019]", "", unicodedata.normalize("NFKC", plain))
    return " ".join(plain.casefold().replace("_", "-").split())


def _format_tag(code: str) -> str:
    """Return a language tag with the usual case: `pt-BR`, `zh-Hant`."""
    base, _, region = code.partition("-")
    if not region:
        return base
    return f"{base}-{region.upper() if len(region) == 2 else region.title()}"


def find_code(name: str) -> str | None:
    """Return the code of a language by its English name, native name or code, without a region.

    Example:
        >>> find_code("pt-BR"), find_code("german"), find_code("Klingon")
        ('pt', 'de', None)
    """
    tag = _find_tag(_fold(name))
    return None if tag is None else tag.partition("-")[0]


def may_be_in(text: str, code: str) -> bool:
    """Return whether a text may be in a language: no other is clearly more likely.

    A text without letters is in no language.

    Example:
        >>> may_be_in("Die Rechnung ist falsch.", "de"), may_be_in("Die Rechnung ist falsch.", "en")
        (True, False)
    """
    letters = sum(map(str.isalpha, text))
    if not letters:
        return False
    probabilities = _probabilities(text)
    ratio = _CLEAR_RATIO if letters >= _SHORT_LETTERS else _CLEAR_RATIO_IF_SHORT
    return probabilities[code] * ratio >= max(probabilities.values())


def detect_language(text: str) -> str | None:
    """Return the code of the most likely language of a text, None if it has no letters."""
    if not any(map(str.isalpha, text)):
        return None
    probabilities = _probabilities(text)
    return max(probabilities, key=lambda code: probabilities[code])


def _probabilities(text: str) -> dict[str, float]:
    return {code: float(probability) for code, probability in _identifier().rank(text)}


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(NAMES))
    return identifier
