"""Find remarks that a model adds to a translation: a preamble, a label, or a note after it."""

from __future__ import annotations

import re

from llmtool.text.languages import find_code

# Stems of "translation" and "translate".
_TRANSLATION = re.compile(
    r"translat|[üu]e?bersetz|tradu[cçzsit]|vertal(?:ing|en|d)|överss?ätt|overs[æae]t|oversatt"
    r"|käänn|suomenno|fordít|p[rř]eklad|p[rř]elo[zž]|przek[łl]ad|t[łl]umacz|перево?д|переклад"
    r"|перакла|пре(?:вод|вед)|prij?evo[dđ]|preve[ds]t|çevir|tercüme|terjemah|bản dịch|dịch sang"
    r"|翻訳|訳文|翻译|翻譯|译文|譯文|번역|ترجم|תרג(?:ום|מ)|अनुवाद|অনুবাদ|คำแปล|แปล|μετ[αά]φρ"
    r"|itzulpen|tõl[kg]|vertim|tulkoj|þýð|përkth|traduk",
    re.IGNORECASE,
)
# How an answer to a request begins; a colon follows.
_PREAMBLE = re.compile(
    r"\W*(?:here (?:is|are)|here['’]s|sure\b|certainly|of course|okay|in (?:english|german|french)"
    r"|voici|bien sûr|aquí (?:está|tiene)|por supuesto|claro\b|ecco|certamente|hier (?:ist|sind|is)"
    r"|natürlich|gerne|aqui (?:está|vai)|com certeza|här (?:är|kommer)|her (?:er|kommer)|tässä"
    r"|natuurlijk|oto\b|oczywiście|zde je|tady je|samozřejmě|вот|конечно|ось|звичайно|ево\b|evo\b"
    r"|naravno|iată|işte|tabii|berikut|inilah|tentu|đây là|dưới đây|以下|こちら|もちろん|下面"
    r"|以下是|这是|好的|当然|다음은|물론|إليك|هذه|ها هي|בבקשה|הנה|यह रहा|यहाँ)",
    re.IGNORECASE,
)
_NOTE_WORD = re.compile(
    r"(?<!\w)(?:note|nota|remarque|anmerkung|hinweis|opmerking|obs|merknad|bemærk|huom|uwaga"
    r"|poznámka|примечание|примітка|napomena|notă|not|catatan|ghi chú|注|備考|注意|참고|ملاحظة"
    r"|הערה|explanation|erklärung)(?=\W|\Z)",
    re.IGNORECASE,
)
_NOTE = re.compile(rf"{_NOTE_WORD.pattern}\s*(?:[*_]+\s*)?[:：]", re.IGNORECASE)
_OFFER = re.compile(
    r"let me know if|hope (?:that |this |it )+helps|feel free to|as an ai\b|i (?:have )?translated",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\btranslat(?:e|ed|ion)\b", re.IGNORECASE)
_COLON = re.compile(r"[:：]")
_LAST_PARENTHESES = re.compile(r"[(（\[][^()（）\[\]]*[)）\]]\W*\Z")
_MAX_HEAD = 100  # characters before the colon of a preamble
_MAX_LABEL = 24
_MAX_ENDING = 500  # characters that are searched for a remark in parentheses


def has_remark(source: str, reply: str, to: str) -> bool:
    """Return whether a reply has a remark that its source does not have; `to` is a language code.

    Example:
        >>> has_remark("Good morning", "Hier ist die Übersetzung: Guten Morgen", "de")
        True
        >>> has_remark("The translation: bold text", "Die Übersetzung: fetter Text", "de")
        False
    """
    if to != "en" and _ENGLISH.search(reply) and not _TRANSLATION.search(source):
        return True
    has_colon = _COLON.search(reply)
    head = _head(reply) if has_colon else ""
    if head and len(_COLON.findall(reply)) > len(_COLON.findall(source)):
        if _TRANSLATION.search(head) and not _TRANSLATION.search(source):
            return True
        if _PREAMBLE.match(head) or find_code(head.strip(" *_#\"'")[:_MAX_LABEL]) == to:
            return True
    ending = _last_parentheses(reply)
    if ending and not _last_parentheses(source):
        if _TRANSLATION.search(ending) and not _TRANSLATION.search(source):
            return True
    if has_colon and not _COLON.search(source):
        if _NOTE.search(reply) and not _NOTE_WORD.search(source):
            return True
    return bool(_OFFER.search(reply)) and not _OFFER.search(source)


def _last_parentheses(text: str) -> str:
    """Return the parentheses at the end of a text, "" if there are none."""
    found = _LAST_PARENTHESES.search(text, max(0, len(text) - _MAX_ENDING))
    return found[0] if found else ""


def _head(text: str) -> str:
    """Return the start of a text up to a colon, "" if there is none."""
    found = _COLON.search(text, 0, _MAX_HEAD)
    return text[: found.start()] if found else ""
