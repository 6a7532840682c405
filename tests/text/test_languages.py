"""Which language a text is in."""

from __future__ import annotations

import pytest

from llmtool.text.languages import NAMES, find_code, is_in, likeliest

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
    assert likeliest(text) == code


@pytest.mark.parametrize(("code", "text"), [("de", "Guten Morgen"), ("en", "Yes"), ("fr", "Oui")])
def test_a_short_text_gets_the_benefit_of_the_doubt(code: str, text: str) -> None:
    assert is_in(text, code)


def test_near_relatives_are_not_told_apart() -> None:
    text = "Det er en god dag i dag, tenker jeg"
    assert is_in(text, "no") and is_in(text, "da") and not is_in(text, "sv")


@pytest.mark.parametrize("text", ["", "12 34", "…!?"])
def test_a_text_without_letters_is_in_no_language(text: str) -> None:
    assert not any(is_in(text, code) for code in NAMES)
    assert likeliest(text) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [("de", "de"), ("pt-BR", "pt"), ("zh_Hans", "zh"), ("Dutch", "nl"), ("nb", "no"), ("x", None)],
)
def test_a_language_is_known_by_code_or_name(name: str, code: str | None) -> None:
    assert find_code(name) == code
