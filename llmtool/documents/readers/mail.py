"""Extract the text of e-mail messages, also of malformed ones.

`email.policy.default` raises errors of many types for malformed headers and unknown encodings.
Messages are therefore parsed with `compat32`, which keeps them, and decoded here.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.errors import (
    HeaderParseError,
    InvalidBase64CharactersDefect,
    InvalidBase64LengthDefect,
)
from email.header import decode_header
from email.message import Message

import msgspec

from llmtool.documents.readers.web_text import extract_text
from llmtool.encoding import decode_document
from llmtool.errors import InputError

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_SEPARATOR = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From \S.* \d{4}\r?\n(?=[A-Za-z][\w-]*:)")
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_QUOTED = re.compile(r">+")
_URL = re.compile(r"\S+://\S+")
_MAX_STUB = 300  # characters of a plain text that only points to the HTML
_MAX_DEPTH = 50  # of messages and parts in each other
# Of a header with parameters, which Python parses in quadratic time.
_MAX_PARAMETERS = 4000
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")


class _Policy(policy.Compat32):
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if name.lower() in ("content-type", "content-disposition"):
            value = value[:_MAX_PARAMETERS]
        return name, value


class MailText(msgspec.Struct, frozen=True, kw_only=True):
    """The headers and text of messages, and notes on what was skipped or guessed."""

    text: str
    notes: tuple[str, ...] = ()


def extract_messages(content: bytes) -> MailText:
    """Return the text of a message, or of all messages of a mailbox (mbox).

    Of the alternatives of a part, the first of plain text and HTML that has text is used, unless
    the HTML has far more. Forwarded messages are included, attachments are skipped.

    Raises:
        InputError: the message is encrypted, or has no text.
    """
    starts = [found.span() for found in _SEPARATOR.finditer(content)]
    if starts and starts[0][0] == 0:
        ends = [*(start for start, _ in starts[1:]), len(content)]
        sources = [content[start:end] for (_, start), end in zip(starts, ends, strict=True)]
    else:
        sources = [content]
    reader = _Reader()
    texts = [reader.read(message_from_bytes(source, policy=_Policy())) for source in sources]
    if not reader.has_text:
        raise InputError(f"the e-mail {'is encrypted' if reader.is_encrypted else 'has no text'}")
    skipped = f"skipped attachments: {', '.join(reader.skipped)}" if reader.skipped else ""
    notes = tuple(dict.fromkeys(note for note in (*reader.notes, skipped) if note))
    text = "\n\n".join(text for text in texts if text)
    return MailText(text=text.replace("\0", ""), notes=notes)  # NUL of an odd encoding


class _Reader:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.skipped: list[str] = []
        self.has_text = self.is_encrypted = False

    def read(self, message: Message, depth: int = 0) -> str:
        headers = [f"{name}: {text}" for name in _SHOWN if (text := _decode_header(message, name))]
        texts = [text for text in self._texts(message, depth) if text]
        self.has_text = self.has_text or bool(texts)
        return "\n\n".join(["\n".join(headers), *texts] if headers else texts)

    def _texts(self, part: Message, depth: int) -> Iterator[str]:
        kind = part.get_content_type()
        if kind.startswith("multipart/") and not part.is_multipart():
            kind = "text/plain"  # its boundary is missing
        if depth > _MAX_DEPTH:
            self.notes.append(f"skipped parts that are nested more than {_MAX_DEPTH} deep")
        elif kind in _ENCRYPTED:
            self.is_encrypted = True
        elif kind == "message/rfc822" and part.is_multipart():
            for message in _parts(part):
                yield self.read(message, depth + 1)
        elif kind == "multipart/alternative":
            yield self._alternative(_parts(part), depth)
        elif part.is_multipart():
            for each in _parts(part):
                yield from self._texts(each, depth + 1)
        elif kind in ("text/plain", "text/html") and not _is_attachment(part):
            yield self._text(part, kind)
        elif kind == "text/rfc822-headers" or kind.startswith("message/"):
            pass  # of a delivery report
        else:
            self.skipped.append(_file_name(part) or kind)

    def _alternative(self, parts: list[Message], depth: int) -> str:
        def rank(part: Message) -> int:
            # 2 is that of multipart/related, which is HTML with its images.
            return {"text/plain": 0, "text/html": 1}.get(part.get_content_type(), 2)

        used = ""
        for part in sorted(parts, key=rank):
            if rank(part) == 2 and not part.is_multipart():
                continue  # such as a calendar entry
            n_notes, n_skipped = len(self.notes), len(self.skipped)
            text = "\n\n".join(each for each in self._texts(part, depth + 1) if each)
            if used and not _is_stub(used, text):
                del self.notes[n_notes:], self.skipped[n_skipped:]
            else:
                if used:
                    self.notes.append("used the HTML, which has far more text than the plain text")
                used = text
            if used and not _is_stub(used):
                break
        return used

    def _text(self, part: Message, kind: str) -> str:
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        if any(isinstance(defect, InvalidBase64LengthDefect) for defect in part.defects):
            digits = _NO_BASE64.sub(b"", data)  # truncated, and not decoded
            data = b64decode(digits[: len(digits) // 4 * 4])
        if any(isinstance(defect, InvalidBase64CharactersDefect) for defect in part.defects):
            raw = part.get_payload()
            if isinstance(raw, str) and " " in raw:  # plain text that is declared as base64
                data = raw.encode("utf-8", "surrogateescape")
        declared = _charset(part)
        if declared and declared.startswith(("utf-16", "utf-32")) and b"\0" not in data:
            declared = None
        try:
            decoded = decode_document(data, declared, source="the e-mail", errors=None)
        except InputError:
            decoded = decode_document(data, source="", errors="replace", encoding="cp1252")
            self.notes.append("read text of unknown encoding as cp1252")
        if decoded.is_detected:
            was = "without an encoding" if declared is None else f"declared as {declared}"
            self.notes.append(f"read text {was} as {decoded.encoding} (detected)")
        text = decoded.text.replace("\r\n", "\n")
        if declared == "utf-7":  # another encoding could not have its letters
            text = _decode_utf7(text)
        if kind == "text/plain" and _parameter(part, "format") == "flowed":
            text = _join_flowed(text, deletes_space=_parameter(part, "delsp") == "yes")
        return (extract_text(text).text if kind == "text/html" else text).strip()


def _is_stub(text: str, other: str | None = None) -> bool:
    """Return whether a text is short, and far shorter than the other text."""
    size = len(_URL.sub("", text))
    return size < _MAX_STUB and (other is None or size * 4 < len(other))


def _parts(part: Message) -> list[Message]:
    payload = part.get_payload()
    return (
        [each for each in payload if isinstance(each, Message)] if isinstance(payload, list) else []
    )


def _decode_header(message: Message, name: str) -> str:
    """Return a header as text: encoded words and raw bytes decoded, on one line."""
    raw = message.get(name)
    if raw is None:
        return ""
    try:
        pieces = decode_header(raw)
    except (HeaderParseError, ValueError, LookupError):
        pieces = [(str(raw), None)]
    text = ""
    for piece, charset in pieces:
        if isinstance(piece, bytes):
            known = None if charset in (None, "unknown-8bit") else charset
            try:
                piece = decode_document(piece, known, source=name, errors=None).text
                piece = _decode_utf7(piece) if charset == "utf-7" else piece
            except InputError:
                piece = piece.decode("utf-8", "replace")
        text += piece
    return " ".join(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())


def _decode_utf7(text: str) -> str:
    """Return text in UTF-7, which `decode_document` reads as ASCII: it is also valid."""
    return text.encode("ascii", "ignore").decode("utf-7", "replace") if text.isascii() else text


def _join_flowed(text: str, *, deletes_space: bool) -> str:
    """Join the lines of RFC 3676 that end with a space, except for a signature.

    Example:
        >>> _join_flowed("One \\ntwo\\n> a \\n> b\\n-- \\nMe", deletes_space=False)
        'One two\\n> a b\\n-- \\nMe'
    """
    lines: list[str] = []
    flowing: str | None = None  # the quotation marks of the last line if it continues
    for line in text.split("\n"):
        found = _QUOTED.match(line)
        marks = found[0] if found else ""
        content = line[len(marks) :].removeprefix(" ")  # a space that was stuffed
        if flowing == marks and lines and content != "-- ":
            lines[-1] += content
        else:
            lines.append(f"{marks} {content}" if marks else content)
        flowing = marks if content.endswith(" ") and content != "-- " else None
        if flowing is not None and deletes_space:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)


def _parameter(part: Message, name: str) -> str:
    try:
        return str(part.get_param(name) or "").lower()
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except (ValueError, LookupError, TypeError, AttributeError):  # malformed parameters
        return None


def _file_name(part: Message) -> str:
    try:
        return " ".join((part.get_filename() or "").split())
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _is_attachment(part: Message) -> bool:
    disposition = str(part.get("Content-Disposition") or "")
    return disposition.partition(";")[0].strip().lower() == "attachment"
