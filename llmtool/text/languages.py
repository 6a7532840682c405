"""Language names and codes, and language detection; the only importer of py3langid.

py3langid knows 140 languages and often identifies short texts as a rare one, so it is restricted to
the languages below. A text may be in a language unless another is clearly more likely, because
related languages (Danish and Norwegian) and short greetings cannot be distinguished.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

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
_NATIVE_NAMES = {
    "العربية": "ar", "български": "bg", "català": "ca", "čeština": "cs", "dansk": "da",
    "deutsch": "de", "ελληνικά": "el", "español": "es", "castellano": "es", "suomi": "fi",
    "français": "fr", "francais": "fr", "עברית": "he", "हिन्दी": "hi", "hrvatski": "hr",
    "magyar": "hu", "bahasa indonesia": "id", "italiano": "it", "日本語": "ja", "한국어": "ko",
    "lietuvių": "lt", "nederlands": "nl", "norsk": "no", "polski": "pl", "português": "pt",
    "română": "ro", "русский": "ru", "slovenčina": "sk", "slovenščina": "sl", "svenska": "sv",
    "türkçe": "tr", "українська": "uk", "tiếng việt": "vi", "中文": "zh", "farsi": "fa",
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


class Language(msgspec.Struct, frozen=True, kw_only=True):
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
    tag = word.strip().replace("_", "-").lower()
    for code, name in _VARIETIES.items():
        if tag in (code, name.lower()):
            return Language(code=_format_tag(code), base=code.partition("-")[0], name=name)
    base = find_code(word)
    if base is not None:
        region = tag.partition("-")[2]
        return Language(
            code=_format_tag(f"{base}-{region}") if region else base, base=base, name=NAMES[base]
        )
    hint = suggest(tag, (*NAMES, *NAMES.values(), *_VARIETIES.values()))
    hint = hint or "; give a name or code, such as German or pt"
    raise UsageError(f"unknown language {word!r}{hint}")


def _format_tag(code: str) -> str:
    """Return a language tag with the usual case: `pt-BR`, `zh-Hant`."""
    base, _, region = code.partition("-")
    return f"{base}-{region.upper() if len(region) == 2 else region.title()}"


def find_code(name: str) -> str | None:
    """Return the code of a language by its English name, native name or code, without a region.

    Example:
        >>> find_code("pt-BR"), find_code("german"), find_code("Klingon")
        ('pt', 'de', None)
    """
    word = name.strip().lower()
    code = word.replace("_", "-").partition("-")[0]
    code = _CODE_ALIASES.get(code, code)
    if code in NAMES:
        return code
    if word in _NATIVE_NAMES:
        return _NATIVE_NAMES[word]
    return next((code for code, known in NAMES.items() if known.lower() == word), None)


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
