"""Extract plain text from HTML, PDF, e-mail, subtitles, messages of programs and text files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Literal

import msgspec
from msgspec.structs import replace

from llmtool import worker
from llmtool.documents.signatures import declared_charset, is_fragment, is_mail, is_page
from llmtool.encoding import MAX_BYTES, Errors, decode_document, detect_encoding, too_long
from llmtool.errors import InputError, LlmtoolError, UsageError

Kind = Literal["text", "html", "pdf", "email", "package"]

_PROBE_CHARACTERS = 4096  # searched for the NUL of a binary file
_PROBE_BYTES = 20_000  # searched for tags
_MESSAGES = (".ass", ".ssa", ".xlf", ".xliff", ".strings", ".properties", ".ts", ".xml")
_PAGES = (".html", ".htm", ".xhtml")
_LOW_SHARE = 0.5  # of the text of a page
# A compressed document may have this many characters, and this many more for each byte.
_MIN_CHARACTERS, _MAX_RATIO = 1 << 20, 50
_MEDIA_TYPES: dict[str | None, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "message/rfc822": "email",
}


class DocumentText(msgspec.Struct, frozen=True, kw_only=True):
    """A document as plain text; `notes` tell what was skipped or guessed.

    `encoding` is that of HTML and text; `share` is the share of a page's text that was used.
    """

    text: str
    kind: Kind = "text"
    encoding: str = "utf-8"
    share: float = 1.0
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
    check: Callable[[], object] = lambda: None,
) -> DocumentText:
    """Return the text of a document without its markup.

    E-mail, PDF files, packages and large documents of other formats are parsed in a child process,
    within limits of time and memory.

    Args:
        content: an HTML, PDF, e-mail or text file.
        name: the file name; its suffix helps to detect the kind, and errors begin with it.
        errors: how to decode invalid bytes of HTML and text.
        encoding: the encoding of HTML and text; None is UTF-8, or what the file declares.
        media_type: the media type that a server declared, which determines the kind instead of the
            name.
        charset: the encoding that a server declared.
        keeps_markup: return HTML and e-mail as they are.
        check: polled while a child process parses; raises to stop it.

    Raises:
        InputError: the document is encrypted, malformed, binary or empty, or takes too much time or
            memory to parse.
        ContextOverflow: the text has more than 16 Mi characters.
        UsageError: the document is a PDF, and the extra `pdf` is not installed.

    Example:
        >>> read_document(b"<h1>Hi</h1><p>One <b>two</b>", name="a.html").text
        '# Hi\\n\\nOne two'
    """
    suffix = PurePath(name).suffix.lower()
    call = partial(_call, name, check)
    if content.startswith(b"%PDF-") or (suffix == ".pdf" and media_type is None):
        document = call(_read_pdf, content)
    elif (
        content.startswith(b"PK")
        and not keeps_markup
        and (package := call(_read_package, content)).kind == "package"
    ):
        document = package
    elif not keeps_markup and _is_mail(content, suffix, media_type):
        document = call(_read_mail, content)
    else:
        is_page = _is_page(content, suffix, media_type)
        declared = charset or declared_charset(content)
        decoded = decode_document(content, declared, source=name, errors=errors, encoding=encoding)
        notes = (decoded.note,) if decoded.note else ()
        document = DocumentText(text=decoded.text, encoding=decoded.encoding, notes=notes)
        if is_page and not keeps_markup:
            found = call(_read_page, decoded.text)
        elif suffix in _MESSAGES and not keeps_markup:
            found = call(_read_messages, decoded.text, suffix)
        else:
            found = document
        if found is not document:
            document = replace(found, encoding=decoded.encoding, notes=notes + found.notes)
        if not keeps_markup and not is_page:
            document = _note_markup(document, suffix)
    if keeps_markup:
        return document
    if "\0" in document.text[:_PROBE_CHARACTERS]:
        raise InputError(f"{name} is a binary file; only text, HTML, PDF and e-mail can be read")
    if not document.text.strip():
        raise InputError(f"{name} {'has no text' if content.strip() else 'is empty'}")
    if len(document.text) > MAX_BYTES:  # it was compressed
        raise too_long(name)
    if len(document.text) > _MIN_CHARACTERS + _MAX_RATIO * len(content):
        raise InputError(
            f"{name}: its text is more than {_MAX_RATIO} times as long as the file; convert it to "
            "plain text"
        )
    return document


def read_package(
    content: bytes, *, name: str, check: Callable[[], object] = lambda: None
) -> str | None:
    """Return a Word document or EPUB book as the text that `translate` takes, else None.

    Raises:
        InputError: the document is damaged or encrypted, or a limit was reached.
    """
    if not content.startswith(b"PK"):
        return None
    found = _call(name, check, _unpack, content)
    return found.text if found.kind == "package" else None


def _call(
    name: str,
    check: Callable[[], object],
    read: Callable[..., DocumentText],
    *content: bytes | str,
) -> DocumentText:
    """Call a reader, in a child process unless it takes linear time and the document is short.

    It may use a parser of another project, whose errors may have any type.
    """
    try:
        if read in _LINEAR and len(content[0]) <= worker.MAX_IN_PROCESS:
            return read(*content)
        return worker.call(read, *content, returns=DocumentText, check=check)
    except (InputError, UsageError) as exc:
        raise type(exc)(f"{name}: {exc}") from exc
    except LlmtoolError:  # of `check`
        raise
    except Exception as exc:
        raise InputError(f"{name}: {worker.describe(exc)}") from exc


def _unpack(content: bytes) -> DocumentText:
    """Return the members of a Word document or EPUB book; the kind of other content is text."""
    from llmtool.documents.packages import unpack

    text = unpack(content)
    return DocumentText(text="") if text is None else DocumentText(text=text, kind="package")


def _read_package(content: bytes) -> DocumentText:
    from llmtool.documents.packages import read_text

    found = _unpack(content)
    return found if found.kind == "text" else replace(found, text=read_text(found.text))


def _is_page(content: bytes, suffix: str, media_type: str | None) -> bool:
    if media_type:
        return _MEDIA_TYPES.get(media_type) == "html"
    sample = content[:_PROBE_BYTES].decode(detect_encoding(content) or "latin-1", "replace")
    return suffix in _PAGES or is_page(sample) or (not suffix and is_fragment(sample))


def _is_mail(content: bytes, suffix: str, media_type: str | None) -> bool:
    if media_type:
        return _MEDIA_TYPES.get(media_type) == "email"
    return suffix in (".eml", ".mbox") or is_mail(content)


def _read_messages(content: str, suffix: str) -> DocumentText:
    """Return the text of subtitles or messages without their markup; other text is unchanged."""
    from llmtool.documents.formats import detect, parse

    try:
        parsed = parse(content, detect(f"file{suffix}", content))
    except UsageError as exc:  # a missing extra, or a suffix that another format has
        is_missing = "pip install" in str(exc)
        notes = (f"read with its markup: {exc}",) if is_missing else ()
        return DocumentText(text=content, notes=notes)
    except InputError:
        return DocumentText(text=content)
    text = "\n".join(" ".join(each.text.split()) for each in parsed.segments)
    return DocumentText(text=text or content)


def _note_markup(document: DocumentText, suffix: str) -> DocumentText:
    """Add a note to a text whose markup cannot be removed, such as LaTeX."""
    from llmtool.documents.formats import unsupported_format

    unsupported = unsupported_format(suffix, document.text)
    if unsupported is None:
        return document
    note = f"read with its markup: it is {'; '.join(unsupported)}"
    return replace(document, notes=(*document.notes, note))


def _read_page(content: str) -> DocumentText:
    from llmtool.documents.readers.web_text import extract_text

    found = extract_text(content)
    notes: tuple[str, ...] = ()
    if found.skipped:
        only = "only " if found.share < _LOW_SHARE else ""
        parts = ", ".join(f"{name} ({_percent(share)})" for name, share in found.skipped)
        notes = (f"used {only}{_percent(found.share)} of its text; skipped {parts}",)
    return DocumentText(text=found.text, kind="html", share=found.share, notes=notes)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _read_mail(content: bytes) -> DocumentText:
    from llmtool.documents.readers.mail import extract_messages

    found = extract_messages(content)
    return DocumentText(text=found.text, kind="email", notes=found.notes)


def _read_pdf(content: bytes) -> DocumentText:
    from llmtool.documents.readers.pdf import extract_pages

    found = extract_pages(content)
    return DocumentText(text=found.text, kind="pdf", notes=found.notes)


_LINEAR: tuple[Callable[..., DocumentText], ...] = (_read_page, _read_messages)
