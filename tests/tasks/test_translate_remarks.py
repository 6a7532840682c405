"""Remarks that a model adds to a translation."""

from __future__ import annotations

import pytest

from llmtool.tasks.translate.remarks import has_remark


@pytest.mark.parametrize(
    ("to", "reply"),
    [
        ("de", "Hier ist die Übersetzung: Guten Morgen"),
        ("de", "Übersetzung: Guten Morgen"),
        ("de", "**Übersetzung:** Guten Morgen"),
        ("de", "Deutsch: Guten Morgen"),
        ("de", "German: Guten Morgen"),
        ("de", "Translation (German): Guten Morgen"),
        ("de", "Sure! Here is the text in German: Guten Morgen"),
        ("de", "Natürlich! Hier: Guten Morgen"),
        ("de", "Guten Morgen (Übersetzung aus dem Englischen)"),
        ("de", "Guten Morgen (Hinweis: wörtlich)"),
        ("de", "Guten Morgen. Anmerkung: Das ist eine Begrüßung."),
        ("de", "The translation is Guten Morgen"),
        ("fr", "Voici la traduction : Bonjour"),
        ("fr", "Traduction : Bonjour"),
        ("fr", "Bien sûr : Bonjour"),
        ("es", "Aquí está la traducción: Buenos días"),
        ("es", "Aquí tiene: Buenos días"),
        ("it", "Ecco la traduzione: Buongiorno"),
        ("pt", "Aqui está a tradução: Bom dia"),
        ("pt", "Tradução: Bom dia"),
        ("nl", "Hier is de vertaling: Goedemorgen"),
        ("sv", "Här är översättningen: God morgon"),
        ("da", "Her er oversættelsen: Godmorgen"),
        ("no", "Oversettelse: God morgen"),
        ("fi", "Käännös: Hyvää huomenta"),
        ("pl", "Oto tłumaczenie: Dzień dobry"),
        ("cs", "Překlad: Dobré ráno"),
        ("hu", "Fordítás: Jó reggelt"),
        ("hr", "Prijevod: Dobro jutro"),
        ("ru", "Вот перевод: Доброе утро"),
        ("ru", "Перевод на русский: Доброе утро"),
        ("uk", "Переклад: Доброго ранку"),
        ("tr", "Çeviri: Günaydın"),
        ("id", "Terjemahan: Selamat pagi"),
        ("vi", "Bản dịch: Chào buổi sáng"),
        ("zh", "以下是翻译：早上好"),
        ("zh", "翻译：早上好"),
        ("zh", "早上好（注：问候语）"),
        ("ja", "翻訳：おはようございます"),
        ("ja", "以下の通りです：おはようございます"),
        ("ko", "번역: 좋은 아침"),
        ("ar", "الترجمة: صباح الخير"),
        ("he", "תרגום: בוקר טוב"),
        ("en", "Translation: Good morning"),
        ("en", "Here is the translation: Good morning"),
        ("en", "Good morning. Let me know if you need anything else."),
    ],
)
def test_remark_is_found(to: str, reply: str) -> None:
    assert has_remark("Good morning", reply, to)


@pytest.mark.parametrize(
    ("source", "to", "reply"),
    [
        ("Good morning", "de", "Guten Morgen"),
        ("Note that both are required.", "de", "Hinweis: Beide sind erforderlich."),
        ("Here is the list: a, b", "de", "Hier ist die Liste: a, b"),
        ("Translation: none", "de", "Übersetzung: keine"),
        ("Translate this page", "fr", "Traduire cette page"),
        ("History: 3", "de", "Verlauf: 3"),
        ("Language pack (German)", "de", "Sprachpaket (Deutsch)"),
        ("Two things are needed: time and money.", "de", "Zwei Dinge sind nötig: Zeit und Geld."),
        ("He said that it rains.", "de", "Er sagte: Es regnet."),
        ("You cannot do that.", "tr", "Bunu yapamazsınız: olmaz."),
        ("German: yes", "de", "Deutsch: ja"),
        ("Let me know if it rains", "de", "Sag mir, ob es regnet"),
        ("I hope this helps", "en", "I hope this helps"),
    ],
)
def test_text_of_the_source_is_not_a_remark(source: str, to: str, reply: str) -> None:
    assert not has_remark(source, reply, to)


@pytest.mark.parametrize("unit", ["[", "(", "* ", "() ", "note "])
def test_repeated_syntax_is_searched_in_linear_time(unit: str) -> None:
    text = unit * (60_000 // len(unit)) + "a"
    assert not has_remark("Good morning", text, "de")
