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


SOURCE = "The library is closed on Mondays."
GERMAN = "Die Bibliothek ist montags geschlossen."


@pytest.mark.parametrize(
    ("to", "reply"),
    [
        ("de", f"Hier ist die Übersetzung ins Deutsche - {GERMAN}"),
        ("de", f"Die Übersetzung lautet „{GERMAN}“"),
        ("de", f"Auf Deutsch: {GERMAN}"),
        ("de", f"DE: {GERMAN}"),
        ("de", f"Antwort: {GERMAN}"),
        ("de", f"**Ausgabe:** {GERMAN}"),
        ("de", f"Answer: {GERMAN}"),
        ("de", f"Natürlich! {GERMAN}"),
        ("de", f"Sure! {GERMAN}"),
        ("de", f"Okay, {GERMAN}"),
        ("de", f"{GERMAN} [Anm. d. Ü.: auch „Bücherei“]"),
        ("de", f"{GERMAN} Ich hoffe, das hilft!"),
        ("de", f"{GERMAN} Lass mich wissen, wenn du mehr brauchst."),
        ("fr", "Réponse : La bibliothèque est fermée le lundi."),
        ("fr", "Bien sûr ! La bibliothèque est fermée le lundi."),
        ("fr", "En français : La bibliothèque est fermée le lundi."),
        ("es", "¡Claro! La biblioteca cierra los lunes."),
        ("es", "En español: La biblioteca cierra los lunes."),
        ("pt", "Em português: A biblioteca fecha às segundas-feiras."),
        ("nl", "In het Nederlands: De bibliotheek is op maandag gesloten."),
        ("pl", "Po polsku: Biblioteka jest zamknięta w poniedziałki."),
        ("ru", "На русском: Библиотека закрыта по понедельникам."),
        ("ru", "Конечно! Библиотека закрыта по понедельникам."),
        ("fi", "Suomeksi: Kirjasto on suljettu maanantaisin."),
        ("hu", "Magyarul: A könyvtár hétfőnként zárva van."),
        ("el", "Στα ελληνικά: Η βιβλιοθήκη είναι κλειστή τις Δευτέρες."),
        ("hi", "हिन्दी: पुस्तकालय सोमवार को बंद रहता है।"),
        ("ar", "بالعربية: المكتبة مغلقة أيام الاثنين."),
        ("zh", "好的，图书馆周一闭馆。"),
        ("zh", "图书馆周一闭馆。（译者注：无）"),
        ("ja", "日本語訳：図書館は月曜日に閉まっています。"),
        ("ja", "はい、図書館は月曜日に閉まっています。"),
        ("sl", "Prevod: Knjižnica je ob ponedeljkih zaprta."),
    ],
)
def test_answer_of_an_assistant_is_a_remark(to: str, reply: str) -> None:
    assert has_remark(SOURCE, reply, to)


@pytest.mark.parametrize(
    ("source", "to", "reply"),
    [
        ("Of course you can.", "de", "Natürlich! Das geht."),
        ("Yes, we are open.", "de", "Klar! Wir haben geöffnet."),
        ("Okay, go", "zh", "好的，走吧"),
        ("Answer: 42", "de", "Antwort: 42"),
        ("German: the language of Goethe", "de", "Deutsch: die Sprache Goethes"),
        ("Error loading file", "de", "Fehler: Datei nicht geladen"),
        ("The word “translate” is long.", "de", "Das Wort „übersetzen“ ist lang."),
        ("J'espère que cela aide.", "de", "Ich hoffe, das hilft."),
        ("Clearly visible", "de", "Klar: sichtbar"),
    ],
)
def test_agreement_label_or_wish_of_the_source_is_not_a_remark(
    source: str, to: str, reply: str
) -> None:
    assert not has_remark(source, reply, to)


@pytest.mark.parametrize("unit", ["[", "(", "* ", "() ", "note ", "sure ", "text "])
def test_repeated_syntax_is_searched_in_linear_time(unit: str) -> None:
    text = unit * (60_000 // len(unit)) + "a"
    assert not has_remark("Good morning", text, "de")
