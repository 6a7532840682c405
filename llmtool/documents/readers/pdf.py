"""Extract the text of PDF files; the only importer of pypdf."""

from __future__ import annotations

import io
import re
from collections import Counter

import msgspec

from llmtool.errors import InputError, missing_extra

MAX_CHARACTERS = 16 << 20
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
)
# A word that is divided at the end of a line.
_DIVIDED = re.compile(r"(?<!\w)(\w*[^\W\d_])([-\u2010\xad])[ \t]*\n[ \t]*([^\W\d_]\w*)")
# Compound words, such as well-known, and not the divided words shortage and highway. Syllables such
# as "ex" and "so" are rarely words of a compound.
_COMPOUND = re.compile(
    r"(?:self|well|long|short|high|low|non|cross|half)-"
    r"(?!(?:est|er|en|ish|age|ing|ness|way|light)(?:s|ed|ly)?\Z)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+(?:[-\u2010]\w+)*")
_MIN_PAGES = 3  # with fewer, no line is a running header


class PdfText(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    notes: tuple[str, ...] = ()


def extract_pages(content: bytes) -> PdfText:
    """Return the text of a PDF, with divided words joined, and without running headers.

    Raises:
        UsageError: the extra `pdf` is not installed.
        InputError: the PDF is encrypted or malformed, or has no text.
    """
    pages = [clean_page(page) for page in _read(content)]
    kept, n_removed = remove_running_lines(pages)
    text = "\n\n".join(page for page in kept if page)
    if not text:
        raise InputError("the PDF has no text and may be a scan; run OCR on it")
    notes = []
    if empty := sum(not page for page in pages):
        notes.append(f"{empty} of {len(pages)} pages have no text")
    if n_removed:
        notes.append(f"skipped {n_removed} headers and footers of pages")
    return PdfText(text=join_divided(text), notes=tuple(notes))


def clean_page(text: str) -> str:
    """Return a page with letters instead of ligatures, which pypdf returns as in the font.

    Example:
        >>> clean_page(" The ﬁrst oﬀer ")
        'The first offer'
    """
    return text.translate(_LIGATURES).replace("\r\n", "\n").strip()


def join_divided(text: str) -> str:
    r"""Join words that are divided at line ends, and keep the hyphen of compound words.

    The hyphen stays if a capital letter or a digit follows. It also stays if the text has the
    word with it elsewhere, or the word has another hyphen or begins as compounds do, unless the
    text has the joined word. A soft hyphen is never kept.

    Example:
        >>> join_divided("The infor-\nmation is well-\nknown: a well-known fact")
        'The information is well-known: a well-known fact'
    """
    divided = {found.span() for found in _DIVIDED.finditer(text)}
    words: set[str] = set()
    at = 0
    for start, end in sorted(divided):
        words.update(word.casefold() for word in _WORD.findall(text[at:start]))
        at = end
    words.update(word.casefold() for word in _WORD.findall(text[at:]))

    def join(found: re.Match[str]) -> str:
        before, hyphen, after = found.groups()
        word = f"{before}-{after}"
        is_in_chain = re.search(r"\w[-\u2010]\Z", text[max(0, found.start() - 2) : found.start()])
        is_compound = word.casefold() in words or is_in_chain or _COMPOUND.match(word)
        is_word = f"{before}{after}".casefold() in words
        if hyphen != "\xad" and (not after[0].islower() or (is_compound and not is_word)):
            return f"{before}{hyphen}{after}"
        return before + after

    return _DIVIDED.sub(join, text)


def remove_running_lines(pages: list[str]) -> tuple[list[str], int]:
    """Remove the first and last lines of pages that most pages share, except for their numbers.

    Example:
        >>> remove_running_lines(["Report\\nOne\\n1", "Report\\nTwo\\n2", "Report\\nThree\\n3"])
        (['One', 'Two', 'Three'], 6)
    """
    n_pages, n_removed = sum(map(bool, pages)), 0
    if n_pages < _MIN_PAGES:
        return pages, 0
    lines = [page.split("\n") for page in pages]
    for index in (0, -1):
        counts = Counter(_without_numbers(page[index]) for page in lines if len(page) > 1)
        for page in lines:
            if len(page) > 1 and counts[_without_numbers(page[index])] * 2 > n_pages:
                del page[index]
                n_removed += 1
    return ["\n".join(page).strip() for page in lines], n_removed


def _without_numbers(line: str) -> str:
    return re.sub(r"\d+", "#", line.strip())


def _read(content: bytes) -> list[str]:
    try:
        import pypdf
        import pypdf.errors
    except ImportError as exc:
        raise missing_extra("PDF support", "pdf") from exc
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
    except (InputError, MemoryError):
        raise
    except pypdf.errors.LimitReachedError as exc:
        raise InputError(
            "the PDF has a part that is too large, or contains itself; print it to a new PDF, or "
            "convert it with pdftotext"
        ) from exc
    except Exception as exc:  # pypdf raises many types for a malformed file
        raise InputError(f"cannot read the PDF ({type(exc).__name__}); check the file") from exc
    return pages
