"""Which language a text is in."""

from __future__ import annotations

import pytest

from llmtool.errors import UsageError
from llmtool.text.languages import NAMES, detect_language, find_code, find_language, is_in

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
def test_a_sentence_is_in_its_language_and_in_no_other(code: str, text: str) -> None:
    assert [other for other in SENTENCES if is_in(text, other)] == [code]
    assert detect_language(text) == code


@pytest.mark.parametrize(("code", "text"), [("de", "Guten Morgen"), ("en", "Yes"), ("fr", "Oui")])
def test_a_short_text_gets_the_benefit_of_the_doubt(code: str, text: str) -> None:
    assert is_in(text, code)


def test_near_relatives_are_not_told_apart() -> None:
    text = "Det er en god dag i dag, tenker jeg"
    assert is_in(text, "no") and is_in(text, "da") and not is_in(text, "sv")


@pytest.mark.parametrize("text", ["", "12 34", "…!?"])
def test_a_text_without_letters_is_in_no_language(text: str) -> None:
    assert not any(is_in(text, code) for code in NAMES)
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
def test_a_language_is_known_by_code_or_name(name: str, code: str | None) -> None:
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
        ("de-DE", ("de-DE", "de", "German")),
        ("sr-latn", ("sr-Latn", "sr", "Serbian")),
    ],
    ids=str,
)
def test_a_language_by_name_or_code(word: str, language: tuple[str, str, str]) -> None:
    found = find_language(word)
    assert (found.code, found.base, found.name) == language


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("Germn", "did you mean 'German'"),
        ("Portugese", "did you mean 'Portuguese'"),
        ("brazilian portugese", "did you mean 'Brazilian Portuguese'"),
        ("Klingon", "a name or code"),
        ("", "a name or code"),
        ("x" * 500, "a name or code"),
    ],
    ids=["near", "a letter", "variety", "unknown", "empty", "long"],
)
def test_suggests_a_similar_language(word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        find_language(word)
