"""Language names and language detection."""

from __future__ import annotations

import pytest

from llmtool.errors import UsageError
from llmtool.text.languages import NAMES, detect_language, find_code, find_language, may_be_in

SENTENCES = {
    "de": "Die Rechnung wurde am Montag bezahlt.",
    "en": "The invoice was paid on Monday.",
    "fr": "La facture a été payée lundi.",
    "es": "La factura se pagó el lunes.",
    "it": "La fattura è stata pagata lunedì.",
    "pt": "A fatura foi paga na segunda-feira.",
    "nl": "De factuur is maandag betaald.",
    "pl": "Faktura została opłacona w poniedziałek.",
    "ru": "Счёт был оплачен в понедельник.",
    "zh": "发票已于星期一支付。",
    "ja": "請求書は月曜日に支払われました。",
    "ar": "تم دفع الفاتورة يوم الاثنين.",
}


@pytest.mark.parametrize(("code", "text"), SENTENCES.items(), ids=list(SENTENCES))
def test_sentence_is_only_in_its_language(code: str, text: str) -> None:
    related = {"es", "pt"} if code in ("es", "pt") else {code}
    assert {other for other in SENTENCES if may_be_in(text, other)} == related
    assert detect_language(text) == code


@pytest.mark.parametrize(("code", "text"), [("de", "Guten Morgen"), ("en", "Yes"), ("fr", "Oui")])
def test_short_text_may_be_in_its_language(code: str, text: str) -> None:
    assert may_be_in(text, code)


def test_related_languages_are_not_distinguished() -> None:
    text = "Det er en god dag i dag, tenker jeg"
    assert all(may_be_in(text, code) for code in ("no", "nn", "da", "sv"))
    assert not may_be_in(text, "de") and not may_be_in(text, "fi")


def test_text_in_another_script_is_not_in_the_language() -> None:
    assert may_be_in("Привет", "sr") and not may_be_in("Привет", "sr-Latn")
    assert may_be_in("Zdravo svima", "sr") and may_be_in("Firefox", "sr-Cyrl")
    assert not may_be_in("Unesite svoju lozinku da biste nastavili", "sr-Cyrl")
    assert not may_be_in("你好", "de") and may_be_in("MySQL 数据库", "zh")
    assert not may_be_in("The library is closed today", "ja")


def test_the_source_language_is_considered_if_it_is_not_widespread() -> None:
    text = "A könyvtár hétfőnként zárva tart, kérjük, jöjjön máskor."
    assert not may_be_in(text, "fi", source="hu")


@pytest.mark.parametrize("text", ["", "12 34", "…!?"])
def test_text_without_letters_is_in_no_language(text: str) -> None:
    assert not any(may_be_in(text, code) for code in NAMES)
    assert detect_language(text) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("de", "de"),
        ("pt-BR", "pt"),
        ("zh_Hans", "zh"),
        ("Dutch", "nl"),
        ("nb", "no"),
        ("x", None),
        ("Deutsch", "de"),
        ("日本語", "ja"),
        ("Français", "fr"),
    ],
)
def test_find_code_accepts_names_and_codes(name: str, code: str | None) -> None:
    assert find_code(name) == code


@pytest.mark.parametrize(
    ("word", "language"),
    [
        ("de", ("de", "de", "German")),
        ("German", ("de", "de", "German")),
        (" german ", ("de", "de", "German")),
        ("pt-BR", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("pt_br", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("Brazilian Portuguese", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("zh-Hant", ("zh-Hant", "zh", "Traditional Chinese")),
        ("Traditional Chinese", ("zh-TW", "zh", "Traditional Chinese")),
        ("nb", ("no", "no", "Norwegian")),
        ("nn_NO", ("nn-NO", "nn", "Norwegian Nynorsk")),
        ("nynorsk", ("nn", "nn", "Norwegian Nynorsk")),
        ("ca@valencia", ("ca-valencia", "ca", "Valencian")),
        ("ca_ES@valencia", ("ca-ES-valencia", "ca", "Valencian")),
        ("sr@latin", ("sr-Latn", "sr", "Serbian in Latin script")),
        ("sr_RS@latin", ("sr-Latn-RS", "sr", "Serbian in Latin script")),
        ("uz_UZ@cyrillic", ("uz-Cyrl-UZ", "uz", "Uzbek in Cyrillic script")),
        ("zh-Hant-TW", ("zh-Hant-TW", "zh", "Traditional Chinese")),
        ("zh_CN.GB18030", ("zh-CN", "zh", "Simplified Chinese")),
        ("pt_BR.UTF-8", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("de_DE@euro", ("de-DE", "de", "German")),
        ("es-419", ("es-419", "es", "Latin American Spanish")),
        ("deu", ("de", "de", "German")),
        ("ast", ("ast", "ast", "Asturian")),
        ("ckb", ("ckb", "ckb", "Central Kurdish")),
        ("hsb", ("hsb", "hsb", "Upper Sorbian")),
        ("ky_KG", ("ky-KG", "ky", "Kyrgyz")),
        ("Haitian Creole", ("ht", "ht", "Haitian Creole")),
        ("Lëtzebuergesch", ("lb", "lb", "Luxembourgish")),
        ("粵語", ("yue", "yue", "Cantonese")),
        ("de-DE", ("de-DE", "de", "German")),
        ("sr-latn", ("sr-Latn", "sr", "Serbian in Latin script")),
        ("zh-Hans-CN", ("zh-Hans-CN", "zh", "Simplified Chinese")),
        ("简体中文", ("zh-Hans", "zh", "Simplified Chinese")),
        ("中文（繁體）", ("zh-Hant", "zh", "Traditional Chinese")),
        ("Chinese (Simplified)", ("zh-CN", "zh", "Simplified Chinese")),
        ("Portuguese (Brazil)", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("Português", ("pt", "pt", "Portuguese")),
        ("TURKCE", ("tr", "tr", "Turkish")),
        ("ｇｅｒｍａｎ", ("de", "de", "German")),
        ("हिन्दी", ("hi", "hi", "Hindi")),
        ("ไทย", ("th", "th", "Thai")),
        ("o'zbekcha", ("uz", "uz", "Uzbek")),
        ("法语", ("fr", "fr", "French")),
        ("法文", ("fr", "fr", "French")),
        ("フランス語", ("fr", "fr", "French")),
        ("프랑스어", ("fr", "fr", "French")),
        ("французский", ("fr", "fr", "French")),
        ("الفرنسية", ("fr", "fr", "French")),
        ("Francés", ("fr", "fr", "French")),
        ("巴西葡萄牙语", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("Deutsch(Schweiz)", ("de-CH", "de", "Swiss Standard German")),
        ("Portuguese(Brazil)", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("Portuguese - Brazil", ("pt-BR", "pt", "Brazilian Portuguese")),
        ("中文（台灣）", ("zh-TW", "zh", "Traditional Chinese")),
        ("繁體中文（香港）", ("zh-Hant-HK", "zh", "Traditional Chinese")),
        ("français (Canada)", ("fr-CA", "fr", "Canadian French")),
        ("Alemán (Suiza)", ("de-CH", "de", "Swiss Standard German")),
        ("Serbian (Latin)", ("sr-Latn", "sr", "Serbian in Latin script")),
        ("Srpski (latinica)", ("sr-Latn", "sr", "Serbian in Latin script")),
        ("bosanski ćirilica", ("bs-Cyrl", "bs", "Bosnian in Cyrillic script")),
        ("Oʻzbek (lotin)", ("uz-Latn", "uz", "Uzbek in Latin script")),
        ("ўзбекча (кирил)", ("uz-Cyrl", "uz", "Uzbek in Cyrillic script")),
        ("Hrvatski (Bosna i Hercegovina)", ("hr-BA", "hr", "Croatian")),
        ("norsk (nynorsk)", ("nn", "nn", "Norwegian Nynorsk")),
        ("Serbian (Latin, Montenegro)", ("sr-Latn-ME", "sr", "Serbian in Latin script")),
        ("US English", ("en-US", "en", "American English")),
        ("Deutsch Österreich", ("de-AT", "de", "Austrian German")),
        ("English (UK)", ("en-GB", "en", "British English")),
        ("English (en-GB)", ("en-GB", "en", "British English")),
        ("Simplified Chinese (China)", ("zh-Hans-CN", "zh", "Simplified Chinese")),
        ("zh-Hant-HK", ("zh-Hant-HK", "zh", "Traditional Chinese")),
        ("en-GB-oxendict", ("en-GB-oxendict", "en", "British English")),
        ("de-CH-1996", ("de-CH-1996", "de", "Swiss Standard German")),
        ("de-x-private", ("de-x-private", "de", "German")),
        ("pt\u2011BR", ("pt-BR", "pt", "Brazilian Portuguese")),
    ],
    ids=str,
)
def test_find_language_accepts_names_and_codes(word: str, language: tuple[str, str, str]) -> None:
    found = find_language(word)
    assert (found.code, found.base, found.name) == language


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("Germn", "did you mean 'German'"),
        ("Portugese", "did you mean 'Portuguese'"),
        ("brazilian portugese", "did you mean 'Brazilian Portuguese'"),
        ("Klingon", "give a name or code"),
        ("German (Mars)", "did you mean 'German'"),
        ("Brazilian Portuguese (Portugal)", "did you mean 'Brazilian Portuguese'"),
        ("(Brazil)", "give a name or code"),
        ("", "give a name or code"),
        ("x" * 500, "give a name or code"),
    ],
    ids=str,
)
def test_unknown_language_suggests_a_similar_one(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        find_language(word)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("be-Latn", "Vodstup pamiž kalonami sietki i radkami tablicy"),
        ("be-Latn", "Kab praciahnuć, uviadzicie svoj parol"),
        ("az-Cyrl", "Давам етмәк үчүн шифрәнизи дахил един"),
        ("az-Arab", "لطفا رمزینیزی یازین و دوام ائدین"),
        ("uz-Cyrl", "Давом этиш учун паролингизни киритинг"),
        ("kk-Latn", "Jalǵastyru úshin qupıa sózdi engiziñiz"),
        ("pa-Arab", "جاری رکھن لئی اپݨا پاسورڈ لکھو"),
    ],
)
def test_only_the_script_is_checked_if_the_detection_does_not_know_it(tag: str, text: str) -> None:
    assert may_be_in(text, tag)
    assert not may_be_in("パスワードを入力してください", tag)


def test_serbian_in_latin_script_is_detected_like_croatian() -> None:
    assert may_be_in("Unesite svoju lozinku da biste nastavili", "sr-Latn")
    assert not may_be_in("Please enter your password to continue", "sr-Latn")
