"""Detecting encodings, and what errors suggest."""

from __future__ import annotations

import contextlib
import encodings
import pkgutil
import random

import pytest

from llmtool.encoding import check_encoding, decode, decode_document
from llmtool.errors import InputError, UsageError

LINES = {
    "gbk": ["大家早上好！", "请在3天内完成付款。", "图书馆三月闭馆维修。"],
    "big5": ["大家早安！", "請在三天內完成付款。", "圖書館三月閉館維修，謝謝。"],
    "shift_jis": ["おはようございます。", "図書館は三月に休館します。", "ありがとう"],
    "euc_jp": ["おはようございます。"],
    "euc_kr": ["안녕하세요", "도서관은 3월에 문을 닫습니다."],
    "koi8-r": ["Библиотека закрыта с марта по июнь.", "Привет"],
    "cp1251": ["Библиотека закрыта с марта по июнь.", "Привет"],
    "cp866": ["Библиотека закрыта с марта по июнь."],
    "cp1252": [
        "Das Café ist heute geschlossen.",
        "Größe, der Text ist da.",
        "Le café est fermé aujourd’hui, désolé.",
        "La biblioteca está cerrada. ¿Por qué?",
        "“Hello”, she said — it’s late",
    ],
    "iso8859-2": ["Zażółć gęślą jaźń, proszę.", "Könyvtár zárva őszig, űrlap"],
    "cp1250": ["Zażółć gęślą jaźń, proszę.", "Příliš žluťoučký kůň úpěl ďábelské ódy"],
    "cp1253": ["Καλημέρα σε όλους!", "Η βιβλιοθήκη είναι κλειστή σήμερα."],
    "cp1254": ["Kütüphane bugün kapalı, teşekkürler. Şehir ışıkları"],
    "cp1255": ["בוקר טוב לכולם", "הספרייה סגורה היום."],
    "cp1256": ["صباح الخير جميعا", "المكتبة مغلقة اليوم."],
    "tis-620": ["สวัสดีตอนเช้าทุกคน", "ห้องสมุดปิดวันนี้"],
}
SUBTITLE = "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n"


@pytest.mark.parametrize("frame", ["{}", SUBTITLE], ids=["line", "subtitle"])
@pytest.mark.parametrize("encoding", LINES)
def test_encoding_of_one_line_is_detected(encoding: str, frame: str) -> None:
    for line in LINES[encoding]:
        text = frame.format(line)
        found = decode_document(text.encode(encoding), source="a.srt")
        assert found.text == text
        assert found.is_detected
        assert found.note == (f"read as {found.encoding} (detected); encoding='NAME' sets another")


@pytest.mark.parametrize(
    ("data", "encoding", "text", "has_bom"),
    [
        (b"caf\xc3\xa9", "utf-8", "café", False),
        (b"\xef\xbb\xbfcaf\xc3\xa9", "utf-8", "café", True),
        ("\ufeffcafé".encode("utf-16-be"), "utf-16", "café", False),
        ("cafés".encode("utf-16-le"), "utf-16-le", "cafés", False),
        (b"", "utf-8", "", False),
    ],
)
def test_unicode_is_not_reported_as_detected(
    data: bytes, encoding: str, text: str, has_bom: bool
) -> None:
    found = decode_document(data, source="x")
    assert (found.text, found.encoding, found.has_bom) == (text, encoding, has_bom)
    assert found.note == ""


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("cp-850", "cp850", "Die Bücherei"),
        ("win-1251", "cp1251", "Библиотека"),
        ("windows1252", "cp1252", "Die Bücherei"),
        ("x-sjis", "cp932", "図書館"),
        ("ISO-8859-8-I", "iso8859-8", "הספרייה"),
        ("iso8859-2", "iso8859-2", "Łódź"),
    ],
)
def test_declared_encoding_may_have_another_spelling(declared: str, codec: str, text: str) -> None:
    assert decode_document(text.encode(codec), declared, source="x").text == text


@pytest.mark.parametrize(
    ("data", "declared", "text"),
    [
        (b"caf\xe9", "iso-8859-1", "café"),
        ("Grüße".encode(), "iso-8859-1", "Grüße"),
        ("Grüße aus Köln, schöne Zeit".encode("cp1252"), "utf-8", "Grüße aus Köln, schöne Zeit"),
        ("Grüße aus Köln, schöne Zeit".encode("cp1252"), "x-no", "Grüße aus Köln, schöne Zeit"),
        (b"+ADw-b+AD4-", "utf-7", "+ADw-b+AD4-"),
    ],
    ids=["declared", "UTF-8", "not valid", "unknown", "UTF-7"],
)
def test_declared_encoding_is_used_if_the_text_is_valid(
    data: bytes, declared: str, text: str
) -> None:
    assert decode_document(data, declared, source="x").text == text


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ("Größe und Länge".encode() + b"\xff", "pass errors='replace', or encoding='NAME'"),
        (b"caf\xe9", "pass encoding='NAME', such as cp1252, or errors='replace'"),
        (b"a\xff", "pass encoding='NAME', or errors='replace'"),
        (bytes(range(0x80, 0xA0)), "pass encoding='NAME'"),
    ],
    ids=["damaged UTF-8", "one letter", "one byte", "another encoding"],
)
def test_suggestion_never_destroys_the_text(data: bytes, hint: str) -> None:
    with pytest.raises(InputError, match="not UTF-8 at byte") as raised:
        decode_document(data, source="x")
    assert hint in str(raised.value)
    assert ("replace" in str(raised.value)) is ("replace" in hint)


def test_binary_data_is_not_read_as_text() -> None:
    generator = random.Random(1)
    for _ in range(50):
        data = bytes(generator.randrange(1, 256) for _ in range(200))
        with pytest.raises(InputError):
            decode_document(data, source="x")


def test_replacing_takes_precedence_over_detection() -> None:
    data = "大家早上好！".encode("gbk")
    assert "\ufffd" in decode_document(data, source="x", errors="replace").text


def test_encoding_of_ascii_text_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    def guess(data: bytes) -> list[tuple[str, float]]:
        raise AssertionError

    monkeypatch.setattr("llmtool.encoding._guess_encodings", guess)
    assert decode_document(b"Hello.", source="x").text == "Hello."


def test_japanese_in_seven_bits_is_detected() -> None:
    text = "今日は良い天気です。明日も晴れるでしょう。"
    assert decode_document(text.encode("iso-2022-jp"), source="x").text == text


def test_any_codec_of_python_may_be_declared_or_given() -> None:
    data = b"abc-de9 caf\\x9 =?x?= \xe9"
    for module in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(InputError):
            decode_document(data, module.name, source="x")
        with contextlib.suppress(InputError, UsageError):
            decode(data, source="x", encoding=check_encoding(module.name))
