"""Language names and codes, and language detection; the only importer of py3langid.

The names are a table of our own: `language_data`, which `langcodes` needs for names, has 24 MB.
Names in other languages, such as フランス語, and those of regions and scripts, such as Schweiz, are
those of CLDR (`scripts/language_names.py`).

py3langid knows 140 languages and often identifies short texts as a rare one, so only common
languages are detected. A text may be in a language unless its script is another one, or a
widespread language is clearly more likely: related languages (Danish and Norwegian) and short
greetings cannot be distinguished.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_COMMON = {
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
_OTHERS = {
    "aa": "Afar", "ab": "Abkhazian", "ace": "Acehnese", "ak": "Akan", "an": "Aragonese",
    "arn": "Mapudungun", "as": "Assamese", "ast": "Asturian", "av": "Avaric", "awa": "Awadhi",
    "ay": "Aymara", "ba": "Bashkir", "ban": "Balinese", "ber": "Berber", "bho": "Bhojpuri",
    "bi": "Bislama", "bm": "Bambara", "bo": "Tibetan", "br": "Breton", "brx": "Bodo",
    "bug": "Buginese", "cak": "Kaqchikel", "ce": "Chechen", "ceb": "Cebuano", "ch": "Chamorro",
    "chr": "Cherokee", "ckb": "Central Kurdish", "co": "Corsican", "cr": "Cree",
    "crh": "Crimean Tatar", "csb": "Kashubian", "cu": "Church Slavic", "cv": "Chuvash",
    "doi": "Dogri", "dsb": "Lower Sorbian", "dv": "Dhivehi", "dz": "Dzongkha", "ee": "Ewe",
    "ff": "Fulah", "fj": "Fijian", "fo": "Faroese", "frp": "Arpitan", "frr": "North Frisian",
    "fur": "Friulian", "fy": "Western Frisian", "gd": "Scottish Gaelic", "gn": "Guarani",
    "gom": "Goan Konkani", "gsw": "Swiss German", "gv": "Manx", "ha": "Hausa", "hak": "Hakka",
    "haw": "Hawaiian", "hmn": "Hmong", "hne": "Chhattisgarhi", "ho": "Hiri Motu",
    "hsb": "Upper Sorbian", "ht": "Haitian Creole", "hz": "Herero", "ia": "Interlingua",
    "ie": "Interlingue", "ig": "Igbo", "ii": "Sichuan Yi", "ik": "Inupiaq", "ilo": "Ilocano",
    "io": "Ido", "iu": "Inuktitut", "jam": "Jamaican Creole", "jv": "Javanese", "kab": "Kabyle",
    "kg": "Kongo", "ki": "Kikuyu", "kj": "Kuanyama", "kl": "Kalaallisut", "kmr": "Northern Kurdish",
    "kok": "Konkani", "kr": "Kanuri", "krl": "Karelian", "ks": "Kashmiri", "ku": "Kurdish",
    "kv": "Komi", "kw": "Cornish", "ky": "Kyrgyz", "lb": "Luxembourgish", "lg": "Ganda",
    "li": "Limburgish", "lij": "Ligurian", "lmo": "Lombard", "ln": "Lingala", "ltg": "Latgalian",
    "lu": "Luba-Katanga", "lzh": "Classical Chinese", "mai": "Maithili", "mfe": "Mauritian Creole",
    "mg": "Malagasy", "mh": "Marshallese", "mhr": "Meadow Mari", "mi": "Maori",
    "min": "Minangkabau", "mni": "Manipuri", "myv": "Erzya", "na": "Nauru", "nah": "Nahuatl",
    "nan": "Min Nan Chinese", "nap": "Neapolitan", "nd": "Northern Ndebele", "nds": "Low German",
    "new": "Newari", "ng": "Ndonga", "nn": "Norwegian Nynorsk", "nqo": "N'Ko",
    "nr": "Southern Ndebele", "nso": "Northern Sotho", "nv": "Navajo", "ny": "Chichewa",
    "oc": "Occitan", "oj": "Ojibwe", "om": "Oromo", "or": "Odia", "os": "Ossetian",
    "pam": "Pampanga", "pap": "Papiamento", "pcm": "Nigerian Pidgin", "pi": "Pali",
    "pms": "Piedmontese", "quc": "K'iche'", "qu": "Quechua", "rm": "Romansh", "rn": "Rundi",
    "rue": "Rusyn", "rw": "Kinyarwanda", "sa": "Sanskrit", "sah": "Yakut", "sat": "Santali",
    "sc": "Sardinian", "scn": "Sicilian", "sco": "Scots", "sd": "Sindhi", "se": "Northern Sami",
    "sg": "Sango", "sgs": "Samogitian", "shn": "Shan", "sm": "Samoan", "sma": "Southern Sami",
    "smj": "Lule Sami",
    "smn": "Inari Sami", "sn": "Shona", "so": "Somali", "ss": "Swati", "st": "Southern Sotho",
    "su": "Sundanese", "szl": "Silesian", "tet": "Tetum", "tg": "Tajik", "ti": "Tigrinya",
    "tk": "Turkmen", "tn": "Tswana", "to": "Tongan", "tpi": "Tok Pisin", "ts": "Tsonga",
    "tt": "Tatar", "tw": "Twi", "ty": "Tahitian", "tzm": "Central Atlas Tamazight",
    "udm": "Udmurt", "ug": "Uyghur", "ve": "Venda", "vec": "Venetian", "vo": "Volapük",
    "wa": "Walloon", "war": "Waray", "wo": "Wolof", "wuu": "Wu Chinese", "xh": "Xhosa",
    "yi": "Yiddish", "yo": "Yoruba", "yue": "Cantonese", "za": "Zhuang",
    "zgh": "Standard Moroccan Tamazight",
}  # fmt: skip
OTHER_NAMES_FILE = Path(__file__).with_name("language_names.json")
SUBTAG_NAMES_FILE = Path(__file__).with_name("subtag_names.json")  # of regions and scripts
NAMES = {**_COMMON, **_OTHERS}
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
    "bokmål": "no", "norwegian bokmål": "no", "norsk bokmål": "no", "nynorsk": "nn",
    "norsk nynorsk": "nn", "ਪੰਜਾਬੀ": "pa",
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
    "valencià": "ca-valencia", "valencian": "ca-valencia", "asturianu": "ast", "brezhoneg": "br",
    "کوردی": "ckb", "sorani": "ckb", "کوردیی ناوەندی": "ckb", "kurdî": "ku", "kurmanji": "kmr",
    "frysk": "fy", "frisian": "fy", "gàidhlig": "gd", "gaelic": "gd", "kreyòl ayisyen": "ht",
    "hornjoserbšćina": "hsb", "dolnoserbšćina": "dsb", "taqbaylit": "kab", "кыргызча": "ky",
    "kirghiz": "ky", "lëtzebuergesch": "lb", "te reo māori": "mi", "occitan": "oc", "ଓଡ଼ିଆ": "or",
    "oriya": "or", "ирон": "os", "тоҷикӣ": "tg", "türkmençe": "tk", "татарча": "tt",
    "ئۇيغۇرچە": "ug", "uighur": "ug", "ייִדיש": "yi", "粵語": "yue", "粤语": "yue", "廣東話": "yue",
    "广东话": "yue", "文言": "lzh", "རྫོང་ཁ": "dz", "བོད་སྐད": "bo", "অসমীয়া": "as", "संस्कृतम्": "sa",
    "سنڌي": "sd", "basa jawa": "jv", "basa sunda": "su", "føroyskt": "fo", "kinyarwanda": "rw",
    "chewa": "ny", "nyanja": "ny", "sesotho": "st", "setswana": "tn", "isixhosa": "xh",
    "plattdüütsch": "nds", "schwyzerdütsch": "gsw", "schweizerdeutsch": "gsw", "flemish": "nl-be",
    "vlaams": "nl-be", "moldovan": "ro-md", "sinhalese": "si", "panjabi": "pa",
    "serbo-croatian": "hr", "удмурт": "udm",
}  # fmt: skip
_CODE_ALIASES = {
    "nb": "no", "iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "fil": "tl",
    "cmn": "zh", "sh": "hr", "arb": "ar", "pes": "fa", "zsm": "ms", "swh": "sw", "uzn": "uz",
    "lvs": "lv", "ekk": "et", "khk": "mn", "npi": "ne", "ory": "or", "plt": "mg", "prs": "fa",
    # ISO 639-2
    "afr": "af", "amh": "am", "ara": "ar", "aze": "az", "bel": "be", "ben": "bn", "bos": "bs",
    "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "cym": "cy", "wel": "cy", "dan": "da",
    "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en", "epo": "eo", "est": "et",
    "eus": "eu", "baq": "eu", "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr", "fre": "fr",
    "gle": "ga", "glg": "gl", "guj": "gu", "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu",
    "hye": "hy", "arm": "hy", "ind": "id", "isl": "is", "ice": "is", "ita": "it", "jpn": "ja",
    "kan": "kn", "kat": "ka", "geo": "ka", "kaz": "kk", "khm": "km", "kor": "ko", "lao": "lo",
    "lat": "la", "lav": "lv", "lit": "lt", "mal": "ml", "mar": "mr", "mkd": "mk", "mac": "mk",
    "mlt": "mt", "mon": "mn", "msa": "ms", "may": "ms", "mya": "my", "bur": "my", "nep": "ne",
    "nld": "nl", "dut": "nl", "nno": "nn", "nob": "no", "nor": "no", "pan": "pa", "pol": "pl",
    "por": "pt", "pus": "ps", "ron": "ro", "rum": "ro", "rus": "ru", "sin": "si", "slk": "sk",
    "slo": "sk", "slv": "sl", "spa": "es", "sqi": "sq", "alb": "sq", "srp": "sr", "swa": "sw",
    "swe": "sv", "tam": "ta", "tel": "te", "tgl": "tl", "tha": "th", "tur": "tr", "ukr": "uk",
    "urd": "ur", "uzb": "uz", "vie": "vi", "zho": "zh", "chi": "zh", "zul": "zu",
}  # fmt: skip
_VARIETIES = {
    "pt-br": "Brazilian Portuguese", "pt-pt": "European Portuguese", "en-gb": "British English",
    "en-us": "American English", "en-au": "Australian English", "en-ca": "Canadian English",
    "es-mx": "Mexican Spanish", "es-es": "European Spanish", "es-ar": "Argentinian Spanish",
    "es-419": "Latin American Spanish", "fr-ca": "Canadian French",
    "zh-cn": "Simplified Chinese", "zh-hans": "Simplified Chinese", "zh-sg": "Simplified Chinese",
    "zh-tw": "Traditional Chinese", "zh-hant": "Traditional Chinese",
    "zh-hk": "Traditional Chinese", "zh-mo": "Traditional Chinese",
    "de-ch": "Swiss Standard German", "de-at": "Austrian German", "nl-be": "Flemish",
    "ca-valencia": "Valencian", "ro-md": "Moldovan Romanian",
}  # fmt: skip
_SCRIPT_NAMES = {
    "latn": "Latin", "cyrl": "Cyrillic", "arab": "Arabic", "deva": "Devanagari",
    "guru": "Gurmukhi", "hebr": "Hebrew", "mong": "Mongolian", "tfng": "Tifinagh",
}  # fmt: skip
# The modifiers of POSIX locales; others, such as @euro, do not change the language.
_MODIFIERS = {
    "latin": "latn", "iqtelif": "latn", "cyrillic": "cyrl", "arabic": "arab", "devanagari": "deva",
    "valencia": "valencia",
}  # fmt: skip
_LOCALE = re.compile(r"([a-z]{2,3}(?:-[a-z0-9]+)*)(?:\.[a-z0-9-]+)?(?:@([a-z0-9]+))?")
_SUBTAG = re.compile(r"[a-z0-9]{1,8}")
# Between a language and its region or script: "Portuguese (Brazil)", "Deutsch - Schweiz".
_QUALIFIER = re.compile(r"\s*[()\[\]{},/|:]\s*|\s+-\s+|(?<=[a-z]{4})-|(?<=[^\W\d_a-z])-")
_REGION_ALIASES = {
    "uk": "gb", "usa": "us", "latam": "419", "hong kong": "hk", "香港": "hk", "macau": "mo",
    "macao": "mo", "澳門": "mo", "澳门": "mo",
}  # fmt: skip
_SCRIPT_OF_REGION = {"zh-cn": "zh-hans", "zh-tw": "zh-hant"}  # the usual tags of these varieties
_MAX_NAME = 100

# Scripts by the first words of the names of their letters in Unicode. Latin is the default.
_CJK = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"})
_CYRILLIC, _ARABIC = frozenset({"CYRILLIC"}), frozenset({"ARABIC"})
_DEVANAGARI, _BENGALI = frozenset({"DEVANAGARI"}), frozenset({"BENGALI"})
_SCRIPTS = {
    **dict.fromkeys("zh yue wuu nan hak lzh".split(), frozenset({"CJK", "BOPOMOFO"})),
    "ja": _CJK - {"HANGUL", "BOPOMOFO"}, "ko": frozenset({"HANGUL", "CJK"}),
    **dict.fromkeys(
        "ab av ba be bg ce cu cv kk kv ky mhr mk mn myv os ru rue sah sr tg tt udm uk".split(),
        _CYRILLIC,
    ),
    **dict.fromkeys("ar ckb fa ks ps sd ug ur".split(), _ARABIC),
    **dict.fromkeys("awa bho brx doi gom hi hne kok mai mr ne new sa".split(), _DEVANAGARI),
    **dict.fromkeys("as bn".split(), _BENGALI),
    **dict.fromkeys("am ti".split(), frozenset({"ETHIOPIC"})),
    **dict.fromkeys("he yi".split(), frozenset({"HEBREW"})),
    **dict.fromkeys("bo dz".split(), frozenset({"TIBETAN"})),
    **dict.fromkeys("my shn".split(), frozenset({"MYANMAR"})),
    "chr": frozenset({"CHEROKEE"}), "dv": frozenset({"THAANA"}), "el": frozenset({"GREEK"}),
    "gu": frozenset({"GUJARATI"}), "hy": frozenset({"ARMENIAN"}), "ka": frozenset({"GEORGIAN"}),
    "km": frozenset({"KHMER"}), "kn": frozenset({"KANNADA"}), "lo": frozenset({"LAO"}),
    "ml": frozenset({"MALAYALAM"}), "nqo": frozenset({"NKO"}), "or": frozenset({"ORIYA"}),
    "pa": frozenset({"GURMUKHI", "ARABIC"}), "si": frozenset({"SINHALA"}),
    "ta": frozenset({"TAMIL"}), "te": frozenset({"TELUGU"}), "th": frozenset({"THAI"}),
}  # fmt: skip
# Languages that are written in several scripts.
_SEVERAL_SCRIPTS = frozenset(
    "ace az ban ber bm bs bug cr crh ff ha hr ii ik iu jv kab kk kmr kr ks ku ky mn mni ms oj pi"
    " sat sd so sr su tg tk tt tzm ug uz za zgh".split()
)
_LATIN = frozenset({"LATIN"})
_ASCII, _LATIN_LETTERS = re.compile("[\0-\x7f]+"), re.compile("[^A-Za-z]+")
_ISO_SCRIPTS = {code: frozenset({name.upper()}) for code, name in _SCRIPT_NAMES.items()}
# Others are signs such as "º".
_KNOWN_SCRIPTS = _LATIN.union(*_SCRIPTS.values(), *_ISO_SCRIPTS.values())
# Languages that the detection confuses.
_GROUPS = tuple(
    frozenset(group.split())
    for group in (
        "hr sr bs sl mk bg", "cs sk", "da no nn sv fo", "pt gl es ca oc an ast ext",
        "id ms jv su min", "ru uk be bg mk rue", "hi mr ne sa bho mai awa",
        "fa ur ar ckb ps sd ug arz ary sdh", "nl af fy li nds", "de lb gsw nds",
        "it co scn vec lij lmo nap fur sc", "fr wa oc frp gcf gcr", "zh yue wuu nan hak lzh",
        "tr az crh tk", "tt ba kk ky", "ga gd gv", "xh zu ss nr nd", "st nso tn", "lv ltg",
        "en sco pcm jam",
    )
)  # fmt: skip
# A model that misses the target language replies in the source language or in one of these.
_WIDESPREAD = "en de fr es it pt nl pl ru tr vi id ar fa hi zh ja ko".split()
# Another language is clearly more likely from this difference of log-probabilities: on translations
# of 20 letters and more it occurs in 0.1 %, and on English text in over 90 %.
_CLEAR_MARGIN = 10.0
_NOT_RUSSIAN = re.compile("(?![А-яЁё])[\u0400-\u052f]")  # Kazakh text often has Russian words
_MIN_SCRIPT_LETTERS = 20  # without a letter of the script of the language
_MIN_STEM, _MAX_SUFFIX = 4, 2  # letters of a name that is inflected
_MAX_SYMBOLS = 3  # Greek letters as in "Δt"


class Language(NamedTuple):
    """A natural language: its tag with a region if one was given ("pt-BR"), and without ("pt").

    `name` is its English name, for prompts ("Brazilian Portuguese").
    """

    code: str
    base: str
    name: str


def find_language(word: str, name: str = "to") -> Language:
    """Return a language by its name in English, in itself or in a widespread language, or code.

    Args:
        name: the option whose value is `word`; the error names it.

    Raises:
        UsageError: the language is unknown; the error suggests a similar name.

    Example:
        >>> find_language("german").name, find_language("pt-BR").name, find_language("zh_TW").base
        ('German', 'Brazilian Portuguese', 'zh')
    """
    folded = _fold(word)
    tag = _find_tag(folded)
    if tag is None:
        hint = suggest(folded, (*_COMMON, *_COMMON.values(), *_VARIETIES.values()))
        hint = hint or "; give a name or code, such as German, Deutsch or de"
        raise UsageError(f"{option(name)}: unknown language {word!r}{hint}", option=name)
    return Language(code=_format_tag(tag), base=tag.partition("-")[0], name=_english_name(tag))


def _english_name(tag: str) -> str:
    """Return the English name of a tag, without the parts that have none."""
    base, *subtags = tag.split("-")
    named = [_VARIETIES[f"{base}-{each}"] for each in subtags if f"{base}-{each}" in _VARIETIES]
    scripts = [_SCRIPT_NAMES[each] for each in subtags if each in _SCRIPT_NAMES]
    name = named[0] if named else NAMES[base]
    return f"{name} in {scripts[0]} script" if scripts else name


def _find_tag(name: str) -> str | None:
    """Return the language tag of a folded name, such as `pt` or `zh-hans`, None if unknown."""
    if tag := _find_plain_tag(name):
        return tag
    main, *qualifiers = [each for each in _QUALIFIER.split(name) if each] or [""]
    if len(qualifiers) == 1:
        tag, language = _find_plain_tag(qualifiers[0]), _find_plain_tag(main)
        if tag and language and tag.partition("-")[0] == language:  # "English (en-GB)"
            return tag
        # "Chinese (Simplified)" is "Simplified Chinese", and "中文（简体）" is "简体中文".
        qualifier = qualifiers[0]
        for variety in (f"{qualifier} {main}", f"{qualifier}{main}", f"{main} {qualifier}"):
            if tag := _tags_by_name().get(variety):
                return tag
    if qualifiers:
        return _add_subtags(main, qualifiers)
    spaces = [at for at, character in enumerate(name[:_MAX_NAME]) if character == " "]
    pairs = [(name[:at], name[at + 1 :]) for at in spaces]
    found = (_add_subtags(one, [other]) for each in pairs for one, other in (each, each[::-1]))
    return next(filter(None, found), None)


def _find_plain_tag(name: str) -> str | None:
    """Return the tag of a name that is a tag, or that of a language or variety."""
    if (locale := _LOCALE.fullmatch(name)) is not None:
        code, *subtags = locale[1].split("-")
        code = _CODE_ALIASES.get(code, code)
        if code in NAMES and all(map(_SUBTAG.fullmatch, subtags)):
            modifier = _MODIFIERS.get(locale[2] or "")
            at = 1 if modifier == "valencia" else 0  # a script precedes the region
            subtags[at * len(subtags) : at * len(subtags)] = [modifier] if modifier else []
            return "-".join((code, *subtags))
    return _tags_by_name().get(name) or read_names(OTHER_NAMES_FILE).get(name)


def _add_subtags(main: str, qualifiers: Sequence[str]) -> str | None:
    """Return the tag of a language with a region and a script, None if one of them is unknown."""
    tag = _find_plain_tag(main)
    added = [_find_subtag(each) for each in qualifiers] if tag else []
    if tag is None or None in added:
        return None
    base, *subtags = _SCRIPT_OF_REGION.get(tag, tag).split("-")
    subtags += [each for each in added if each and each not in subtags]
    subtags.sort(key=lambda each: len(each) != len("latn"))  # a script precedes the region
    is_ambiguous = len({len(each) == len("latn") for each in subtags}) < len(subtags)
    return None if is_ambiguous else "-".join((base, *subtags))


def _find_subtag(name: str) -> str | None:
    """Return the subtag of a region or script by its folded name or code, None if unknown."""
    names = read_names(SUBTAG_NAMES_FILE)
    found = _REGION_ALIASES.get(name) or names.get(name)
    return found or (name if name in _subtags() else None)


@lru_cache(maxsize=1)
def _subtags() -> frozenset[str]:
    return frozenset(read_names(SUBTAG_NAMES_FILE).values())


@lru_cache(maxsize=1)
def _tags_by_name() -> dict[str, str]:
    varieties = reversed(_VARIETIES.items())  # the first tag of a variety is the usual one
    english = {name: code for code, name in (*varieties, *NAMES.items())}
    return {_fold(name): code for name, code in (*english.items(), *_OTHER_NAMES.items())}


@lru_cache(maxsize=2)
def read_names(path: Path) -> dict[str, str]:
    """Return the tag of each folded name in a file that `scripts/language_names.py` wrote."""
    names = json.loads(path.read_text(encoding="utf-8"))
    return {name: tag for tag, each in names.items() for name in each}


def _fold(name: str) -> str:
    """Return a name without case, accents and differences of width, apostrophes and separators."""
    plain = re.sub("[\u0300-\u036f]+", "", unicodedata.normalize("NFKD", name))
    plain = re.sub("['`\u02bb\u02bc\u2018\u2019]", "", unicodedata.normalize("NFKC", plain))
    return " ".join(re.sub("[_\u2010-\u2015]", "-", plain.casefold()).split())


def _format_tag(tag: str) -> str:
    """Return a language tag with the usual case: `pt-BR`, `zh-Hant-TW`."""
    base, *subtags = tag.split("-")
    cased = [
        each.upper()
        if len(each) == 2 or each.isdecimal()
        else each.title()
        if len(each) == 4 and each.isalpha()
        else each
        for each in subtags
    ]
    return "-".join((base, *cased))


def find_code(name: str) -> str | None:
    """Return the code of a language by its English name, native name or code, without a region.

    Example:
        >>> find_code("pt-BR"), find_code("german"), find_code("Klingon")
        ('pt', 'de', None)
    """
    tag = _find_tag(_fold(name))
    return None if tag is None else tag.partition("-")[0]


def is_own_name(name: str, source: str) -> bool:
    """Return whether a text is the name of a language in its own script, and `source` one of it.

    Menus of languages have such names.

    Example:
        >>> [is_own_name(name, "Japanese") for name in ("日本語", "Японский", "العربية")]
        [True, False, False]
    """
    code = find_code(source)
    return code is not None and may_have_script(name, code) and find_code(name) == code


def is_named(text: str, code: str) -> bool:
    """Return whether one of a few words is the name of a language, which may be inflected.

    Example:
        >>> is_named("auf Deutsch", "de"), is_named("По-русски", "ru"), is_named("Deutlich", "de")
        (True, True, False)
    """
    return any(
        name in word or len(commonprefix((name, word))) >= max(_MIN_STEM, len(name) - _MAX_SUFFIX)
        for word in re.split(r"[\s\-–—()（）\"'*_:]+", _fold(text))
        for name in _names(code)
    )


@lru_cache(maxsize=8)
def _names(code: str) -> tuple[str, ...]:
    """Return the folded names of a language that have one word, also of its varieties."""
    names = {**_tags_by_name(), **read_names(OTHER_NAMES_FILE)}
    found = (name for name, tag in names.items() if tag.partition("-")[0] == code)
    return tuple(name for name in found if " " not in name and len(name) >= _min_name(name))


def _min_name(name: str) -> int:
    return _MIN_STEM if name.isascii() or _script(name[0]) not in _CJK else 2


def may_be_in(text: str, tag: str, *, source: str | None = None) -> bool:
    """Return whether a text may be in a language: no other is clearly more likely.

    `source` is the code of a language that the text is likely to be in if it is not in that of
    `tag`. A text without letters is in no language. Only the script is checked if the tag has one
    that the detection does not know for the language, as in Belarusian in Latin script.

    Example:
        >>> may_be_in("Die Rechnung ist falsch.", "de"), may_be_in("Die Rechnung ist falsch.", "en")
        (True, False)
    """
    if not any(map(str.isalpha, text)):
        return False
    if not may_have_script(text, tag):
        return False
    code = tag.partition("-")[0].lower()
    return not _is_detectable(tag.lower()) or not _is_clearly_in_another(text, code, source)


def may_have_script(text: str, tag: str) -> bool:
    """Return whether a text may be in the script of a language; it may have names in Latin letters.

    Example:
        >>> may_have_script("Привет", "sr"), may_have_script("Привет", "sr-Latn")
        (True, False)
    """
    expected, counted = _scripts_of(tag.lower()), _count_scripts(text)
    n_letters, n_expected = sum(counted.values()), sum(counted[each] for each in expected)
    if n_letters >= _MIN_SCRIPT_LETTERS and not n_expected:
        return False
    return n_expected + counted["LATIN"] + counted["GREEK"] >= n_letters / 2


def has_letters_of(text: str, tag: str) -> bool:
    """Return whether a text has a letter of the script of a language.

    Example:
        >>> has_letters_of("Google でログイン", "ja"), has_letters_of("Google", "ja")
        (True, False)
    """
    return not _scripts_of(tag.lower()).isdisjoint(_count_scripts(text))


def has_foreign_letters(text: str, tag: str) -> bool:
    """Return whether a text has letters of a script that is neither that of a language nor Latin.

    A few Greek letters are symbols.

    Example:
        >>> has_foreign_letters("Appを開く", "fr"), has_foreign_letters("Δt", "fr")
        (True, False)
    """
    counted = _count_scripts(text)
    if counted["GREEK"] <= _MAX_SYMBOLS:
        del counted["GREEK"]
    return bool(set(counted) - _scripts_of(tag.lower()) - _LATIN)


def _count_scripts(text: str) -> Counter[str]:
    """Count the letters of each known script."""
    others = "" if text.isascii() else _ASCII.sub("", text)
    scripts = map(_script, filter(str.isalpha, others))
    counted = Counter(script for script in scripts if script in _KNOWN_SCRIPTS)
    if n_latin := len(_LATIN_LETTERS.sub("", text)):
        counted["LATIN"] += n_latin
    return counted


def _is_detectable(tag: str) -> bool:
    """Return whether the detection knows the language, or a related one, in the script of a tag."""
    code = tag.partition("-")[0]
    script = _written_script(tag)
    return script is None or any(_SCRIPTS.get(each, _LATIN) == script for each in _related(code))


def _written_script(tag: str) -> frozenset[str] | None:
    """Return the script that is part of a tag, None if it has none."""
    found = (_ISO_SCRIPTS[each] for each in tag.split("-")[1:] if each in _ISO_SCRIPTS)
    return next(found, None)


def _scripts_of(tag: str) -> frozenset[str]:
    """Return the scripts that a language may be written in."""
    if script := _written_script(tag):
        return script
    code = tag.partition("-")[0]
    return _KNOWN_SCRIPTS - _CJK if code in _SEVERAL_SCRIPTS else _SCRIPTS.get(code, _LATIN)


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    return name.partition(" ")[0]


def _is_clearly_in_another(text: str, code: str, source: str | None) -> bool:
    related = _related(code)
    if _identifier().classify(text)[0] in related:  # several times as fast as all scores
        return False
    scores = _scores(text)
    own = [scores[each] for each in related if each in scores]
    excluded = {"ru"} if _NOT_RUSSIAN.search(text) else set()
    candidates = {*_WIDESPREAD, source} - related - excluded
    others = [scores[each] for each in candidates if each in scores]
    return code in scores and max(others) > max(own) + _CLEAR_MARGIN


@lru_cache(maxsize=64)
def _related(code: str) -> frozenset[str]:
    """Return a language and those that the detection confuses with it."""
    return frozenset({code}).union(*(group for group in _GROUPS if code in group))


def detect_language(text: str) -> str | None:
    """Return the code of the most likely language of a text, None if it has no letters."""
    if not any(map(str.isalpha, text)):
        return None
    scores = _scores(text)
    return max(_COMMON, key=lambda code: scores[code])


def _scores(text: str) -> dict[str, float]:
    """Return the logarithm of the probability of each language, up to a constant."""
    return dict(_identifier().rank(text))


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=False)
