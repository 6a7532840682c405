"""Extract plain text from HTML, PDF, e-mail and text files; the only importer of pypdf."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import PurePath
from typing import Literal

import msgspec

from llmtool.encoding import Errors, decode_declared
from llmtool.errors import InputError, LlmtoolError, UsageError

Kind = Literal["text", "html", "pdf", "email"]

MAX_CHARACTERS = 64 << 20  # of the text of a PDF
_PROBE_CHARACTERS = 4096  # searched for the NUL of a binary file
_MEDIA_TYPES: dict[str | None, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "message/rfc822": "email",
}
_HIDDEN = frozenset("script style template svg math head nav noscript iframe select".split())
_BLOCKS = frozenset(
    "p div section article main aside header footer address blockquote figure figcaption pre form"
    " fieldset table tr ul ol dl dt dd hr details summary".split()
)
_MANY_NEWLINES = re.compile(r"\n(?:[ \t]*\n)+")
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as plain text; `notes` name the content that was skipped, such as attachments."""

    text: str
    kind: Kind = "text"
    notes: tuple[str, ...] = ()


def read_document(
    content: bytes,
    *,
    name: str,
    errors: Errors = "strict",
    encoding: str | None = None,
    media_type: str | None = None,
    charset: str | None = None,
    keeps_markup: bool = False,
) -> Document:
    """Return the text of a document without its markup.

    Args:
        content: an HTML, PDF, e-mail or text file.
        name: the file name; its suffix helps to detect the kind, and errors begin with it.
        errors: how to decode invalid bytes of HTML and text.
        encoding: the encoding of HTML and text; None is UTF-8, or what the file declares.
        media_type: the media type that a server declared, which determines the kind instead of the
            name.
        charset: the encoding that a server declared.
        keeps_markup: return HTML and e-mail as they are.

    Raises:
        InputError: the document is encrypted, malformed, binary or empty.
        UsageError: the document is a PDF, and the extra `pdf` is not installed.

    Example:
        >>> read_document(b"<h1>Hi</h1><p>One <b>two</b>", name="a.html").text
        '# Hi\\n\\nOne two'
    """
    kind = _detect_kind(content, PurePath(name).suffix.lower(), media_type)
    if keeps_markup and kind != "pdf":
        kind = "text"
    if kind in ("pdf", "email"):
        try:
            document = _read_pdf(content) if kind == "pdf" else _read_email(content)
        except LlmtoolError as exc:
            raise type(exc)(f"{name}: {exc}") from exc
    else:
        declared = charset or (_declared_charset(content) if kind == "html" else None)
        text = decode_declared(content, declared, source=name, errors=errors, encoding=encoding)
        document = Document(text=html_text(text) if kind == "html" else text, kind=kind)
    if keeps_markup:
        return document
    if "\0" in document.text[:_PROBE_CHARACTERS]:
        raise InputError(f"{name} is a binary file; only text, HTML, PDF and e-mail can be read")
    if not document.text.strip():
        raise InputError(f"{name} {'has no text' if content.strip() else 'is empty'}")
    return document


def _detect_kind(content: bytes, suffix: str, media_type: str | None) -> Kind:
    if content.startswith(b"%PDF-") or (suffix == ".pdf" and media_type is None):
        return "pdf"
    if media_type in _MEDIA_TYPES:
        return _MEDIA_TYPES[media_type]
    if media_type:
        return "text"
    if suffix == ".eml":
        return "email"
    if suffix in (".html", ".htm", ".xhtml") or _HTML.match(content[:2000]):
        return "html"
    return "text"


def _declared_charset(content: bytes) -> str | None:
    found = re.search(rb"""charset\s*=\s*["']?([\w.:+-]+)""", content[:2000], re.IGNORECASE)
    if found is None or found[1].lower().startswith(b"utf-16"):  # it would not be readable as ASCII
        return None
    return found[1].decode("ascii")


def html_text(source: str) -> str:
    """Return the visible text of an HTML page, with Markdown headings and list items."""
    extractor = _TextExtractor()
    extractor.feed(source)
    extractor.close()
    text = _MANY_NEWLINES.sub("\n\n", "".join(extractor.pieces))
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


class _TextExtractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []
        self._pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden.append(tag)
        if self._hidden:
            return
        if re.fullmatch(r"h[1-6]", tag):
            self.pieces.append(f"\n\n{'#' * int(tag[1])} ")
        elif tag == "li":
            self.pieces.append("\n- ")
        elif tag == "br":
            self.pieces.append("\n")
        elif tag in ("td", "th"):
            self.pieces.append(" | ")
        elif tag in _BLOCKS:
            self._pre += tag == "pre"
            self.pieces.append("\n\n" if tag not in ("tr", "dt", "dd") else "\n")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.pop()
            return
        if re.fullmatch(r"h[1-6]", tag) or (tag in _BLOCKS and tag not in ("tr", "dt", "dd")):
            self._pre -= tag == "pre" and self._pre > 0
            self.pieces.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._pre:
            self.pieces.append(data)
            return
        text = re.sub(r"[ \t\r\n\f]+", " ", data)
        if self.pieces and self.pieces[-1].endswith(("\n", " ")):
            text = text.lstrip(" ")
        self.pieces.append(text)


def _read_email(content: bytes) -> Document:
    import email
    from email import policy

    message = email.message_from_bytes(content, policy=policy.default)
    lines = [
        f"{name}: {message[name]}" for name in ("Subject", "From", "To", "Date") if message[name]
    ]
    try:
        body = message.get_body(preferencelist=("plain", "html"))
        text = "" if body is None else str(body.get_content())
    except (LookupError, ValueError, AttributeError) as exc:
        raise InputError(f"cannot read the e-mail: {exc}") from exc
    if body is not None and body.get_content_type() == "text/html":
        text = html_text(text)
    if not text.strip():
        raise InputError("the e-mail has no text")
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    notes = (f"skipped attachments: {', '.join(names)}",) if names else ()
    return Document(text="\n".join([*lines, "", text.strip()]), kind="email", notes=notes)


def _read_pdf(content: bytes) -> Document:
    try:
        import pypdf
    except ImportError as exc:
        raise UsageError("PDF support is not installed; run pip install 'llmtool[pdf]'") from exc
    import logging

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    pages: list[str] = []
    size = 0
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError("the PDF is encrypted; remove its password")
        for page in reader.pages:
            pages.append(page.extract_text())
            size += len(pages[-1])
            if size > MAX_CHARACTERS:
                raise InputError(
                    f"the PDF has more than {MAX_CHARACTERS >> 20} million characters; split it"
                )
    except InputError:
        raise
    except Exception as exc:  # pypdf raises many types for a malformed file
        raise InputError(f"cannot read the PDF ({type(exc).__name__}); check the file") from exc
    text = "\n\n".join(page.strip() for page in pages if page.strip())
    if not text:
        raise InputError("the PDF has no text and may be a scan; run OCR on it")
    empty = sum(not page.strip() for page in pages)
    notes = (f"{empty} of {len(pages)} pages have no text",) if empty else ()
    return Document(text=text, kind="pdf", notes=notes)
