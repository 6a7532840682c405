"""Word documents and EPUB books: zip files with the texts of several members.

As a text, a package is the name of its format and its members with text. They are separated by a
control character, which no XML contains, so that it is translated like other documents. `pack` puts
the result into the zip file, in which all other members remain as they are. Nothing is extracted to
disk.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llmtool.documents.html.document import Html
from llmtool.documents.language_tags import is_tag_of
from llmtool.documents.protected_spans import split_parts
from llmtool.documents.signatures import declare_utf8, declared_charset
from llmtool.documents.types import (
    Document,
    OutsideText,
    Part,
    Segment,
    find_unaccounted,
    has_letters,
)
from llmtool.documents.word import WordPart, is_data
from llmtool.documents.xml_source import (
    Element,
    Token,
    Xml,
    escape_span,
    join_xml,
    unescape_xml,
    with_attribute,
)
from llmtool.encoding import decode_document
from llmtool.errors import InputError
from llmtool.file_kinds import Format

_SEPARATOR = "\x1e"  # the record separator of ASCII
_FORMATS: tuple[Format, ...] = ("docx", "epub")
_ZIP = b"PK\x03\x04"
_WORD = re.compile(
    r"word/(?:(?:document|header|footer)\d*|footnotes|endnotes|comments|styles|numbering|glossary/document"
    r"|diagrams/[^/]+|charts/[^/]+)\.xml|docProps/(?:core|app|custom)\.xml|customXml/item\d+\.xml"
)
_APART = re.compile(r"(?:[^<]|<[?!])*<(?:w:(?:comments|glossaryDocument)|cp:coreProperties)\b")
_BOOK = re.compile(r".*\.(?:xhtml|html|htm|xht|svg|ncx|opf)", re.IGNORECASE)
_BOOK_PROPERTIES = ("dc:title", "dc:description", "dc:subject")
_LANGUAGE = re.compile(r"<dc:language(?:\s[^<>]*)?>([^<>]*)</dc:language\s*>")
_TITLE_ATTRIBUTE = re.compile(r"""\stitle\s*=\s*(["'])(.*?)\1""", re.DOTALL)
# Tags between words: breaks, tabs, references to notes, and images.
_BREAK_TAG = re.compile(
    r"<(?:\w+:)?(?:br|tab|cr|ptab|img|image|drawing|noBreakHyphen|\w+Reference|[tv]?shape)\b"
)
_EPUB = b"application/epub+zip"
_MAX_MEMBERS = 10_000
_MAX_TEXT_BYTES = 32 << 20
_MAX_BYTES = 256 << 20


def unpack(content: bytes) -> str | None:
    """Return a Word document or an EPUB book as a text, None for other content.

    Raises:
        InputError: the zip file is damaged or encrypted, or its members are too large.
    """
    if not content.startswith(_ZIP):
        return None
    with _zip_errors():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            format = _format(archive)
            if format is None:
                return None
            members = _text_members(archive, format)
            texts = [_decode(archive, each) for each in members]
    return _SEPARATOR.join([format, *texts])


def pack(content: bytes, text: str) -> bytes:
    """Return a package with the texts of its members replaced by those of a text.

    Raises:
        InputError: as `unpack`.
    """
    if text == unpack(content):
        return content
    target = io.BytesIO()
    with _zip_errors():
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(target, "w") as new:
            format, *texts = text.split(_SEPARATOR)
            members = _text_members(archive, format)
            replaced = dict(zip([each.filename for each in members], texts, strict=True))
            new.comment = archive.comment
            for info in archive.infolist():
                data = archive.read(info)
                changed = replaced.get(info.filename)
                if changed is not None and changed != _decode(archive, info):
                    data = changed.encode()
                new.writestr(info, data, compress_type=info.compress_type)
    return target.getvalue()


def package_format(text: str) -> Format | None:
    """Return the format of a text that `unpack` returned, None for another text.

    Example:
        >>> package_format("docx\\x1e<w:document/>"), package_format("docx")
        ('docx', None)
    """
    head, separator, _ = text[:10].partition(_SEPARATOR)
    return next((each for each in _FORMATS if separator and each == head), None)


def read_text(text: str) -> str:
    """Return the natural language of a text that `unpack` returned, without markup."""
    document = Package(text)
    return "\n\n".join(" ".join(_plain(each).split()) for each in document.body)


def _plain(segment: Segment) -> str:
    """Return the text of a segment; only tags of breaks separate words."""
    return "".join(
        part
        if isinstance(part, str)
        else ""
        if part.source.startswith("<") and not _BREAK_TAG.search(part.source)
        else " "
        for part in segment.parts
    )


class _Segment(Segment, frozen=True, kw_only=True):
    """A segment of a package: its member, and the segment of the member."""

    member: Document
    own: Segment


class Package(Document):
    """A package as a text; its segments are those of its members.

    `to` is the code of the target language, which replaces that of the document or book.

    Raises:
        InputError: the text was not returned by `unpack`, or a member is not valid.
    """

    def __init__(self, source: str, *, to: str | None = None) -> None:
        format = package_format(source)
        if format is None:
            raise InputError(
                "not a Word document or EPUB book; pass the .docx or .epub file itself"
            )
        texts = source.split(_SEPARATOR)[1:]
        self._members: list[Document] = (
            _word_parts(texts, to) if format == "docx" else [_book_part(text, to) for text in texts]
        )
        super().__init__(_SEPARATOR.join([format, *(each.source for each in self._members)]))
        segments: list[Segment] = []
        outside = [OutsideText(0, len(format), "format")]
        at = len(format)
        for member in self._members:
            at += 1
            for segment in member.segments:
                start, end = at + segment.start, at + segment.end
                fields = {name: getattr(segment, name) for name in Segment.__struct_fields__}
                fields |= {"start": start, "end": end}
                segments.append(_Segment(**fields, member=member, own=segment))
            outside += [
                OutsideText(at + each.start, at + each.end, each.reason, each.is_language)
                for each in _outside(member)
            ]
            at += len(member.source)
        self.segments, self.outside = tuple(segments), tuple(outside)

    def encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        assert isinstance(segment, _Segment)
        is_unchanged = tuple(parts) == segment.parts
        return segment.member.encode(segment.own, segment.own.parts if is_unchanged else parts)

    def find_fault(self, segment: Segment, parts: Sequence[Part]) -> str | None:
        assert isinstance(segment, _Segment)
        return segment.member.find_fault(segment.own, parts)

    def compare(self, output: str) -> str | None:
        _, *texts = output.split(_SEPARATOR)
        if len(texts) != len(self._members):
            return "the number of members differs"
        for member, text in zip(self._members, texts, strict=True):
            if difference := member.compare(text):
                return difference
            if isinstance(member, Html) and _is_xml(member.source) and not _is_xml(text):
                return "a page is no longer well-formed"
        return None

    @property
    def body(self) -> Sequence[Segment]:
        """The segments of the text, without contents, metadata, and comments and blocks of Word."""
        own = (each for each in self.segments if isinstance(each, _Segment))
        return [each for each in own if not _is_apart(each.member)]


class _Contents(Document):
    """The table of contents of a book (.ncx), or its title, description and subjects (.opf)."""

    def __init__(self, source: str, to: str | None) -> None:
        self._xml = Xml(source) if to is None else Xml(_with_language(Xml(source), to))
        super().__init__(self._xml.source)
        self._attributes: set[int] = set()  # the starts of segments
        self.segments = tuple(self._segments())
        self.outside = self._xml.outside(self.segments, _metadata)

    def _encode(self, segment: Segment, parts: Sequence[Part]) -> str:
        return join_xml(parts, quotes=segment.start in self._attributes)

    def compare(self, output: str) -> str | None:
        before, after = (
            [
                (each.tag, _guide_title(xml, each) is None and each.attributes)
                for each in xml.elements
            ]
            for xml in (self._xml, Xml(output))
        )
        return None if before == after else "the table of contents differs"

    def _segments(self) -> Iterator[Segment]:
        for element in self._xml.elements:
            is_label = element.name == "text" and element.is_in("ncx")
            start, end = self._xml.content(element)
            parts: tuple[Part, ...] = ()
            if (is_label and not element.is_in("docAuthor")) or element.tag in _BOOK_PROPERTIES:
                parts = self._xml.parts(element)
            elif title := _guide_title(self._xml, element):
                start, end = title
                parts = tuple(map(escape_span, split_parts(unescape_xml(self.source[start:end]))))
                self._attributes.add(start)
            if has_letters(parts):
                yield Segment(start=start, end=end, parts=parts)


def _guide_title(xml: Xml, element: Element) -> tuple[int, int] | None:
    """Return where the title of a reference in the guide of a book is, None for other elements."""
    if element.name != "reference" or not element.is_in("guide"):
        return None
    token = xml.tokens[element.first]
    found = _TITLE_ATTRIBUTE.search(xml.source, token.start, token.end)
    return found and found.span(2)


def _metadata(token: Token, element: Element | None) -> OutsideText:
    return OutsideText(token.start, token.end, "metadata")


def _with_language(xml: Xml, to: str) -> str:
    """Return the contents or metadata of a book with its language replaced."""
    root = xml.elements[0]
    tag = root.attributes.get("xml:lang", to)
    text = with_attribute(xml, [] if is_tag_of(tag, to) else [root], "xml:lang", to)
    found = _LANGUAGE.search(text)
    if found is None or is_tag_of(found[1].strip(), to):
        return text
    return text[: found.start(1)] + to + text[found.end(1) :]


def _word_parts(texts: Sequence[str], to: str | None) -> list[Document]:
    parts = [None if is_data(text) else WordPart(text, to=to) for text in texts]
    shown = {_plain(segment) for part in parts if part for segment in part.segments}
    return [
        part or WordPart(text, to=to, shown=shown) for text, part in zip(texts, parts, strict=True)
    ]


def _book_part(text: str, to: str | None) -> Document:
    is_contents = re.search(r"<(?:\w+:)?(?:ncx|package)[\s>]", text[:5000]) is not None
    return _Contents(text, to) if is_contents else Html(text, to=to)


def _is_apart(member: Document) -> bool:
    is_word = isinstance(member, WordPart)
    is_word_apart = is_data(member.source) or _APART.match(member.source) is not None
    return isinstance(member, _Contents) or (is_word and is_word_apart)


def _outside(member: Document) -> Iterator[OutsideText]:
    """Yield the text outside of a member's segments."""
    if member.outside is not None:
        yield from member.outside
        return
    member.outside = ()
    for start, end in find_unaccounted(member):
        yield OutsideText(start, end, "tag or code")


def _is_xml(text: str) -> bool:
    try:
        Xml(text)
    except InputError:
        return False
    return True


def _format(archive: zipfile.ZipFile) -> Format | None:
    names = archive.namelist()
    if any(_WORD.fullmatch(name) and name.startswith("word/document") for name in names):
        return "docx"
    if names[:1] == ["mimetype"] and archive.getinfo("mimetype").file_size < 100:
        return "epub" if archive.read("mimetype").strip() == _EPUB else None
    return "epub" if "META-INF/container.xml" in names else None


def _text_members(archive: zipfile.ZipFile, format: str) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS or len({each.filename for each in members}) < len(members):
        raise InputError(f"the zip file has more than {_MAX_MEMBERS:,} members, or some twice")
    if any(each.flag_bits & 1 for each in members):
        raise InputError("the zip file is encrypted; remove its password")
    pattern = _WORD if format == "docx" else _BOOK
    found = [each for each in members if pattern.fullmatch(each.filename)]
    if sum(each.file_size for each in found) > _MAX_TEXT_BYTES:
        raise InputError(f"the texts in the zip file have more than {_MAX_TEXT_BYTES >> 20} MiB")
    if sum(each.file_size for each in members) > _MAX_BYTES:
        raise InputError(f"the zip file has more than {_MAX_BYTES >> 20} MiB of content")
    return found


def _decode(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """Return the text of a member as one in UTF-8, which it also declares if it was not."""
    name, data = member.filename, archive.read(member)
    charset = declared_charset(data)
    try:
        decoded = decode_document(data, charset, source=name, errors=None)
    except InputError as exc:
        raise InputError(f"{name} is encrypted or not {charset or 'UTF-8'}") from exc
    if decoded.is_detected:
        raise InputError(f"{name} is encrypted or not {charset or 'UTF-8'}")
    text = "\ufeff" * decoded.has_bom + decoded.text
    if decoded.encoding != "utf-8" or (charset or "utf-8").lower() not in ("utf-8", "utf8"):
        text = declare_utf8(text)
    if _SEPARATOR in text:
        raise InputError(f"{member.filename} is not text")
    return text


_DAMAGED = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,
    ValueError, KeyError, struct.error,
)  # fmt: skip


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Turn the errors of a damaged zip file into an `InputError`."""
    try:
        yield
    except _DAMAGED as exc:
        raise InputError(f"the zip file is damaged ({type(exc).__name__})") from exc
