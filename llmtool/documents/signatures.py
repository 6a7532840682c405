"""Recognize HTML and e-mail by their content."""

from __future__ import annotations

import re

from llmtool.documents.html.elements import BLOCKS, ELEMENTS, end_element, start_element

_PAGE = re.compile(
    r"(?:\ufeff|ï»¿)?\s*(?:<\?xml\b[^<>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    r"<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_BLOCK = re.compile(
    r"\s*(?:<!--(?:(?!-->).)*-->\s*)*"
    rf"<(?:{'|'.join(sorted(BLOCKS))}|d[dt]|li|t(?:body|[dhr])|script|style)(?=[\s>/])",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<(/?)([a-z][^\s<>/]*)[^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
_MAX_OUTSIDE = 0.2  # of the letters of a fragment
# Where web pages, XML and gettext catalogs declare their encoding.
_DECLARATION = re.compile(
    r"""(<meta\b[^<>]{0,500}?\bcharset\s*=\s*["']?|\A(?:\ufeff|ï»¿)?\s*<\?xml\b[^<>]{0,200}?\sencoding
    \s*=\s*["']|^"Content-Type:[^"\n]{0,200}?charset=)([\w.:+-]+)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_MAX_DECLARATION = 4000  # characters before it
_HEADER = re.compile(rb"([A-Za-z][\w-]*):(?:[ \t].*)?\r?\n(?:[ \t]+.*\r?\n)*")
_ENVELOPE = re.compile(rb"From \S.* \d{4}\r?\n")  # before each message of a mailbox
_HEADERS = frozenset(
    b"subject from to cc bcc date reply-to sender message-id in-reply-to references return-path"
    b" received delivered-to mime-version content-type content-transfer-encoding list-id"
    b" list-unsubscribe dkim-signature authentication-results".split()
)
_MIN_HEADERS = 2
_MAX_HEADER_BYTES = 100_000


def is_page(text: str) -> bool:
    """Whether a text is a web page, by its start; a part of a page is not recognized.

    Example:
        >>> is_page("<?xml version='1.0'?><html xmlns='x'>"), is_page("<p>One</p>")
        (True, False)
    """
    return _PAGE.match(text) is not None


def is_fragment(text: str) -> bool:
    """Whether a text is part of a web page: it begins with a block, and its text is in elements.

    Markdown that begins with HTML has text outside.

    Example:
        >>> is_fragment("<p>One<p>Two"), is_fragment("<p>One</p>\\n\\n# Title")
        (True, False)
    """
    if not _BLOCK.match(text):
        return False
    open_tags: list[str] = []
    n_letters = n_outside = at = 0
    for found in _TAG.finditer(text):
        n_new = sum(map(str.isalpha, text[at : found.start()]))
        n_letters += n_new
        n_outside += 0 if open_tags else n_new
        at = found.end()
        name = (found[3] or "").lower()
        if name in ELEMENTS:
            (end_element if found[2] else start_element)(open_tags, name)
    n_new = sum(map(str.isalpha, text[at:]))
    n_outside += 0 if open_tags else n_new
    return n_outside <= _MAX_OUTSIDE * (n_letters + n_new)


def declared_charset(content: bytes) -> str | None:
    """Return the encoding that a web page, an XML file or a gettext catalog declares.

    Example:
        >>> declared_charset(b"<meta charset='koi8-r'>")
        'koi8-r'
    """
    found = _DECLARATION.search(content[:_MAX_DECLARATION].decode("latin-1"))
    if found is None or found[2].lower().startswith("utf-16"):  # it would not be readable as ASCII
        return None
    return found[2]


def declare_utf8(text: str) -> str:
    """Return a document with UTF-8 as the encoding that it declares, if it does.

    Example:
        >>> declare_utf8('<?xml version="1.0" encoding="iso-8859-1"?><a/>')
        '<?xml version="1.0" encoding="UTF-8"?><a/>'
    """
    start = _DECLARATION.sub(r"\1UTF-8", text[:_MAX_DECLARATION], count=1)
    return start + text[_MAX_DECLARATION:]


def is_mail(content: bytes) -> bool:
    r"""Whether a file starts like an e-mail: with headers, of which at least two are known.

    Example:
        >>> is_mail(b"From: a@example.org\nSubject: Hi\n\nHello"), is_mail(b"Note: this\n\n")
        (True, False)
    """
    start = _ENVELOPE.match(content)
    at = start.end() if start else 0
    known = set()
    while at < _MAX_HEADER_BYTES and (found := _HEADER.match(content, at)):
        known |= {found[1].lower()} & _HEADERS
        at = found.end()
    return content[at : at + 2].lstrip(b"\r")[:1] in (b"", b"\n") and len(known) >= _MIN_HEADERS
