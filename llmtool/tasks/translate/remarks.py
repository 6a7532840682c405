"""Find remarks that a model adds to a translation: a preamble, a label, or a note after it."""

from __future__ import annotations

import re
from functools import cache

from llmtool.text.languages import find_code, is_named

# Stems of "translation" and "translate".
_TRANSLATION = re.compile(
    r"translat|[üu]e?bersetz|tradu[cçzsit]|vertal(?:ing|en|d)|överss?ätt|overs[æae]t|oversatt"
    r"|käänn|suomenno|fordít|p[rř]eklad|p[rř]elo[zž]|przek[łl]ad|t[łl]umacz|перево?д|переклад"
    r"|перакла|пре(?:вод|вед)|pri?j?evo[dđ]|preve[ds]t|çevir|tercüme|terjemah|bản dịch|dịch sang"
    r"|翻訳|訳文|翻译|翻譯|译文|譯文|번역|ترجم|תרג(?:ום|מ)|अनुवाद|অনুবাদ|คำแปล|แปล|μετ[αά]φρ"
    r"|itzulpen|tõl[kg]|vertim|tulkoj|þýð|përkth|traduk|tafsiri|译者|譯者|译注|訳注|訳せ|역주",
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
# Labels of an answer; a colon follows.
_ANSWER = re.compile(
    r"\W*(?:answer|output|result|response|(?:final |translated )?text|antwort|ausgabe|ergebnis"
    r"|réponse|résultat|sortie|texte|respuesta|resultado|salida|texto|resposta|saída|risposta"
    r"|risultato|testo|antwoord|resultaat|uitvoer|tekst|odpowiedź|wynik|odpověď|výsledek|odpoveď"
    r"|svar|resultat|vastaus|válasz|eredmény|yanıt|cevap|sonuç|răspuns|rezultat|odgovor"
    r"|ответ|результат|текст|відповідь|отговор|одговор|απάντηση|jawaban|hasil|trả lời|kết quả"
    r"|答案|回答|答え|结果|結果|输出|輸出|답변|결과|الجواب|الإجابة|النتيجة|תשובה|תוצאה|उत्तर|परिणाम"
    r"|پاسخ|نتیجه|คำตอบ|ผลลัพธ์)\W*\Z",
    re.IGNORECASE,
)
_AGREED = (
    "sure(?: thing)?|certainly|of course|absolutely|with pleasure|natürlich|gerne?|klar"
    "|selbstverständlich|bien sûr|bien entendu|avec plaisir|certainement|claro(?: que sí)?"
    "|por supuesto|con gusto|com certeza|com prazer|certo|certamente|volentieri|zeker|natuurlijk"
    "|graag|oczywiście|jasne|samozřejmě|samozrejme|självklart|absolut|selvfølgelig|tietenkin"
    "|természetesen|elbette|tabii(?: ki)?|desigur|naravno|seveda|конечно|разумеется|звичайно"
    "|разбира се|наравно|βεβαίως|φυσικά|tentu(?: saja)?|baik|tất nhiên|chắc chắn rồi|当然|當然"
    "|もちろんです|もちろん|承知しました|물론입니다|물론이죠|بالتأكيد|بالطبع|بكل سرور|בוודאי|כמובן"
    "|ज़रूर|बिल्कुल|البته|حتما|แน่นอน"
)
# How an assistant agrees to a request, and how a text of that meaning begins.
_AGREEMENT = re.compile(
    rf"\W*(?:(?:{_AGREED})\s*[!！]|(?:okay|ok|好的|はい|네|예)\s*[,.!，。、！])", re.IGNORECASE
)
_AGREES = re.compile(
    rf"\W*(?:{_AGREED}|okay|ok|yes|yeah|right|well|ja|oui|sí|si|sim|tak|да|так|是|好)(?!\w)",
    re.IGNORECASE,
)
_OFFER = re.compile(
    r"let me know if|hope (?:that |this |it )+helps|feel free to|as an ai\b|i (?:have )?translated"
    r"|ich hoffe,? (?:dass )?(?:das|dies|es) (?:dir |ihnen |euch )?hilft"
    r"|lass(?:en sie)? (?:es )?mich wissen,? (?:wenn|falls|ob)"
    r"|j['’]espère que (?:cela|ça) (?:vous |t['’])?(?:aide|est utile)|n['’]hésitez pas à me"
    r"|espero que (?:esto )?(?:te |le )?(?:ayude|sea útil|sirva)|avísame si|hazme saber si"
    r"|spero che (?:questo )?(?:ti |vi )?(?:aiuti|sia (?:d['’]aiuto|utile))|fammi sapere se"
    r"|espero (?:que )?(?:isso )?(?:ajude|ter ajudado)|me avise se"
    r"|ik hoop dat (?:dit|het) helpt|laat (?:het )?me weten (?:als|of)|mam nadzieję, że to pomo"
    r"|daj mi znać, jeśli|надеюсь,? (?:это |что это )?помо|дай(?:те)? (?:мне )?знать,? если"
    r"|希望(?:这|這|以上|能|对|對).{0,6}(?:帮助|幫助)|お役に立てれば|도움이 되(?:었|길)",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"\btranslat(?:e|ed|ion)\b", re.IGNORECASE)
_OPENING_QUOTE = re.compile(r"(?<!\w)[\"'“„«「『‘‚]")
_TRANSLATOR = re.compile(r"\b(?:anm|n)\.\s?d\.?\s?[üt]|\bt/n\b|прим\.\s?пер|przyp\.\s?tł", re.I)
_COLON = re.compile(r"[:：]")
_LAST_PARENTHESES = re.compile(r"[(（\[][^()（）\[\]]*[)）\]]\W*\Z")
_MAX_HEAD = 100  # characters before the colon of a preamble
_MAX_LABEL = 30
_MAX_START = 60  # characters in which a preamble names the translation
_MAX_ENDING = 500  # characters that are searched for a remark in parentheses


def has_remark(source: str, reply: str, to: str) -> bool:
    """Return whether a reply has a remark that its source does not have; `to` is a language code.

    Example:
        >>> has_remark("Good morning", "Hier ist die Übersetzung: Guten Morgen", "de")
        True
        >>> has_remark("The translation: bold text", "Die Übersetzung: fetter Text", "de")
        False
    """
    mentions = cache(lambda: bool(_TRANSLATION.search(source)))
    if to != "en" and _ENGLISH.search(reply) and not mentions():
        return True
    start = reply[:_MAX_START]
    if _PREAMBLE.match(reply) and _TRANSLATION.search(start) and not mentions():
        return True
    if _AGREEMENT.match(reply) and not _AGREES.match(source):
        return True
    has_colon = _COLON.search(reply)
    if has_colon and len(_COLON.findall(reply)) > len(_COLON.findall(source)):
        head = _head(reply)
        if _TRANSLATION.search(head) and not mentions():
            return True
        if _PREAMBLE.match(head):
            return True
        if len(head) <= _MAX_LABEL and (
            _ANSWER.match(head) or is_named(head, to) or find_code(head.strip(" *_#\"'")) == to
        ):
            return True
    quote = _OPENING_QUOTE.search(reply)
    if quote and _TRANSLATION.search(reply[: quote.start()]) and not _OPENING_QUOTE.search(source):
        if not mentions():
            return True
    ending = _last_parentheses(reply)
    if ending and not _last_parentheses(source):
        if (_TRANSLATION.search(ending) or _TRANSLATOR.search(ending)) and not mentions():
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
