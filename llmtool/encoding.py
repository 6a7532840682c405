"""Decode input as UTF-8, UTF-16, a given or a detected encoding, regardless of the locale.

The only importer of chardet.
"""

from __future__ import annotations

import codecs
import re
from typing import Literal

import msgspec

from llmtool.errors import ContextOverflow, InputError, UsageError
from llmtool.file_kinds import find_binary_kind, name_binary, not_text
from llmtool.option_names import option

MAX_BYTES = 16 * 2**20  # longer input exceeds every context and is rejected unread

Errors = Literal["strict", "replace"]


def decode(
    data: bytes,
    *,
    source: str,
    errors: Errors | None = "strict",
    encoding: str | None = None,
    offset: int = 0,
) -> str:
    """Decode bytes; a byte order mark at the start of the source is removed.

    Args:
        source: the name of the source in error messages.
        errors: "strict" or "replace"; None is strict, and the error does not mention options.
        encoding: a name that `check_encoding` accepts; None is UTF-8, or what `detect_encoding`
            detects by the first bytes.
        offset: the offset of the bytes in their source.

    Raises:
        InputError: the bytes are not valid, and the message has the offset; or they are those of
            an image, an archive or another file that is not text, and the message names it.

    Example:
        >>> decode(b"\\xef\\xbb\\xbfcaf\\xc3\\xa9", source="x")
        'café'
    """
    if not offset and (kind := find_binary_kind(data)):
        raise InputError(f"{source} {not_text(kind)}")
    encoding = encoding or (None if offset else detect_encoding(data)) or "UTF-8"
    try:
        text = data.decode(encoding, errors or "strict")
    except UnicodeDecodeError as exc:
        if not offset and (kind := name_binary(data)):
            raise InputError(f"{source} {not_text(kind)}") from exc
        hint = f"; {_decoding_hint(data, encoding)}" if errors else ""
        byte = f"byte {offset + exc.start} (0x{data[exc.start]:02x})"
        raise InputError(f"{source}: not {encoding} at {byte}{hint}") from exc
    return text.removeprefix("\ufeff") if offset == 0 else text


def _decoding_hint(data: bytes, encoding: str) -> str:
    """Return which options read invalid bytes without destroying the text."""
    n_bad, n_good = _count_invalid(data, encoding)
    replace, name = option("errors", "replace"), option("encoding", "NAME")
    if n_good > n_bad:
        return f"pass {replace}, or {name}"
    guesses = [name for name, _ in _guess_encodings(data)][:2] if encoding == "UTF-8" else []
    perhaps = f", such as {' or '.join(guesses)}" if guesses else ""
    return f"pass {name}{perhaps}{f', or {replace}' if n_bad <= _FEW_BAD else ''}"


def _count_invalid(data: bytes, encoding: str) -> tuple[int, int]:
    """Return the number of invalid sequences, and of valid characters that are not ASCII."""
    text = data.decode(encoding, "replace").removeprefix("\ufeff")
    n_bad = text.count("\ufffd")
    n_good = len(text) - len(text.encode("ascii", "ignore")) - n_bad
    return n_bad, n_good


def escape_name(name: str) -> str:
    """Return a file name as valid Unicode, for results, keys and messages.

    Python represents a byte of a file name that is not UTF-8 as a surrogate, which UTF-8 cannot
    encode.

    Example:
        >>> escape_name("caf\\udce9.txt")
        'caf\\\\xe9.txt'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def detect_encoding(data: bytes) -> str | None:
    """Return the encoding of a text in UTF-16 or UTF-32 by its first bytes, else None.

    Without a byte order mark, UTF-16 is detected if the text begins with ASCII characters.

    Example:
        >>> detect_encoding("id,text".encode("utf-16-le")), detect_encoding(b"id,text")
        ('UTF-16-LE', None)
    """
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    even, odd = data[:8:2], data[1:8:2]
    if len(odd) < 2:
        return None
    if all(even) and not any(odd):
        return "UTF-16-LE"
    return "UTF-16-BE" if all(odd) and not any(even) else None


# Codecs of names and escape sequences; their errors have no position.
_NOT_CHARACTER_SETS = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
# Encodings that web pages declare by the name of a subset, as in the WHATWG's Encoding Standard.
_SUPERSETS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874",
    "tis-620": "cp874", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
    "euc_kr": "cp949", "big5": "big5hkscs",
}  # fmt: skip


class DecodedText(msgspec.Struct, frozen=True):
    """A text, its encoding as a codec, and how the encoding was found.

    `has_bom` is for UTF-8 only: UTF-16 and UTF-32 need the mark.
    """

    text: str
    encoding: str = "utf-8"
    is_detected: bool = False
    has_bom: bool = False

    @property
    def note(self) -> str:
        """The note that the encoding was detected, or an empty string."""
        if not self.is_detected:
            return ""
        return f"read as {self.encoding} (detected); {option('encoding', 'NAME')} sets another"


def find_wide_codec(data: bytes, encoding: str) -> str | None:
    """Return the codec that writes a text in UTF-16 or UTF-32 as it was read, else None.

    It writes no byte order mark: that is the first character of a text which keeps it.

    Example:
        >>> find_wide_codec("é".encode("utf-16"), "utf-16"), find_wide_codec(b"e", "utf-8")
        ('utf-16-le', None)
    """
    name = codecs.lookup(encoding).name
    if not name.startswith(("utf-16", "utf-32")):
        return None
    is_big = data.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    return name if name.count("-") > 1 else f"{name}-{'be' if is_big else 'le'}"


def decode_document(
    data: bytes,
    declared: str | None = None,
    *,
    source: str,
    errors: Errors | None = "strict",
    encoding: str | None = None,
) -> DecodedText:
    """Decode the whole of a document, which may declare its encoding as web pages do.

    In order of precedence: `encoding`; a byte order mark; UTF-8 if the text is valid UTF-8 with
    characters that are not ASCII; the declared encoding, if it is known and the text is valid;
    UTF-8; an encoding that is detected from frequent words and letters, if `errors` is not
    "replace".

    Raises:
        InputError: as `decode`; the text is not UTF-8, and no encoding is likely.

    Example:
        >>> decode_document(b"\\x93caf\\xe9\\x94", "iso-8859-1", source="x").text
        '“café”'
        >>> decode_document("Доброе утро".encode("koi8-r"), source="x").encoding
        'koi8-r'
    """
    known, is_detected = encoding or detect_encoding(data), False
    if known is None and (data.isascii() or not _is_valid(data, "utf-8")):
        known = _find_codec(declared, data)
        n_bad, n_good = _count_invalid(data, "utf-8")
        is_ascii = data.isascii() and b"\x1b" not in data  # with ESC, it may be ISO-2022-JP
        is_utf8 = is_ascii or n_good > n_bad or data.startswith(codecs.BOM_UTF8)
        if known is None and errors != "replace" and not is_utf8:
            known = _detect_legacy(data)
            is_detected = known is not None
    text = decode(data, source=source, errors=errors, encoding=known)
    codec = codecs.lookup(known or "utf-8").name
    has_bom = codec == "utf-8" and data.startswith(codecs.BOM_UTF8)
    return DecodedText(text, codec, is_detected, has_bom)


def _find_codec(declared: str | None, data: bytes) -> str | None:
    """Return the codec for a declared encoding in which the data is valid."""
    if declared is None:
        return None
    known = _lookup(declared) or _lookup(_normalize_name(declared))
    if known is None:
        return None
    name = _SUPERSETS.get(known, known)
    if name == "cp1252" and not _is_valid(data, name):
        return "latin-1"  # every byte is a character
    # UTF-7 is not allowed in web pages, as it hides markup.
    return name if name != "utf-7" and _is_valid(data, name) else None


def _lookup(name: str) -> str | None:
    """Return the codec of a character set with a name, None if it is unknown."""
    try:
        known = codecs.lookup(name).name
        "".encode(known)  # some codecs are not of text
    except (LookupError, ValueError):
        return None
    return None if known in _NOT_CHARACTER_SETS else known


def _normalize_name(name: str) -> str:
    """Return the usual spelling of the name of an encoding.

    Example:
        >>> [_normalize_name(each) for each in ("cp-850", "win1251", "x-sjis", "ISO-8859-8-I")]
        ['cp850', 'cp1251', 'sjis', 'iso8859-8']
    """
    name = name.strip().lower().removeprefix("x-")
    name = re.sub(r"\A(?:cp|ibm|win|windows|ms|dos)[-_ ]?(?=\d+\Z)", "cp", name)
    return re.sub(r"\Aiso[-_ ]?8859[-_ ]?(\d+)(?:[-_][ie])?\Z", r"iso8859-\1", name)


# Encodings that are detected: those of web pages, subtitles and e-mail. Others, such as EBCDIC and
# those of old Macs, are less likely than an error.
_LEGACY = (
    "gb18030", "big5hkscs", "cp932", "euc_jis_2004", "iso2022_jp_2", "cp949", "cp874", "koi8-r",
    "koi8-u", "cp866", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp1257", "cp1258", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-15",
)  # fmt: skip
_MIN_CONFIDENCE = 0.025  # below, the ranks of chardet are chance
_FEW_BAD = 3  # bytes, whose loss does not destroy a text
_NO_MATCH = 0.1  # chardet's confidence in its default
_FREQUENT = "cp1252", 0.015  # preferred by so much: far more frequent than the others
_SAMPLE_BYTES = 100_000
_KANA = re.compile("[\u3041-\u30fe]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x7f-\x84\x86-\x9f]")
# Words of Latin and other letters or with a sign inside, and the byte FF as a letter: text in a
# wrong encoding.
_MIXED = re.compile(
    "\xff|[A-Za-z][\u0370-\u0fff]|[\u0370-\u0fff][A-Za-z]|[^\\W\\d_][\xa1-\xb4\xb8-\xbf](?=[^\\W\\d_])"
)


def _detect_legacy(data: bytes) -> str | None:
    likely = (name for name, rank in _guess_encodings(data) if rank >= _MIN_CONFIDENCE)
    return next((name for name in likely if _is_valid(data, name)), None)


def _guess_encodings(data: bytes) -> list[tuple[str, float]]:
    """Return encodings in which a text may be, and the confidence in each, best first.

    chardet ranks them; Japanese in kana, which it misses, is found by its characters.
    """
    first = re.search(rb"[\x80-\xff]", data)
    start = data.rfind(b"\n", 0, first.start()) + 1 if first else 0
    sample = data[start : start + _SAMPLE_BYTES]
    mixed: dict[str, float] = {}  # encodings in which the sample is valid, and the share of _MIXED
    for name in _LEGACY:
        try:
            text = codecs.getincrementaldecoder(name)().decode(sample)
        except UnicodeDecodeError:
            continue
        n_other = len(text) - len(text.encode("ascii", "ignore"))
        if n_other < (1 if name == "cp1252" else 2) or _CONTROLS.search(text):
            continue
        mixed[name] = len(_MIXED.findall(text)) / n_other
        if name in ("cp932", "euc_jis_2004") and len(_KANA.findall(text)) > max(2, n_other // 2):
            return [(name, 1.0)]
    names = [name for name, share in mixed.items() if share <= 0.5]
    if not names:
        return []
    import chardet

    found = chardet.detect_all(
        sample,
        ignore_threshold=True,
        compat_names=False,
        include_encodings=names,
        no_match_encoding=names[0],
    )
    if len(found) == 1 and found[0]["confidence"] == _NO_MATCH:
        return []
    ranks = [(str(each["encoding"]), float(each["confidence"])) for each in found]

    def order(rank: tuple[str, float]) -> float:
        name, confidence = rank
        return confidence + (_FREQUENT[1] if name == _FREQUENT[0] else 0) - mixed[name] / 2

    return sorted((rank for rank in ranks if rank[0] in mixed), key=order, reverse=True)


def _is_valid(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def check_encoding(name: str) -> str:
    """Return the name of a text encoding.

    Raises:
        UsageError: Python does not know the encoding.
    """
    if _lookup(name) is None:
        raise UsageError(
            f"unknown encoding {name!r}; use utf-8, utf-16, latin-1, cp1252 or another that Python "
            "supports"
        )
    return name


def too_long(source: str) -> ContextOverflow:
    """Return the error for a text longer than `MAX_BYTES`."""
    return ContextOverflow(
        f"{source} is longer than {MAX_BYTES // 2**20} MiB, more than any context holds; "
        "shorten or split it",
        needed=MAX_BYTES // 16,
        available=MAX_BYTES // 16,
    )
