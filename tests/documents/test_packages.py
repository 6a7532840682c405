"""Word documents and EPUB books: what is translated, and hostile zip files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from documents.rewriting import rewrite
from docx.document import Document as WordDocument
from lxml import etree

from llmtool.documents import packages
from llmtool.documents.formats import detect, parse
from llmtool.documents.packages import Package, pack, package_format, read_text, unpack
from llmtool.documents.readers.readable import read_document
from llmtool.documents.types import Document, Part, ProtectedSpan, Segment, find_unaccounted
from llmtool.documents.word import WordPart
from llmtool.errors import InputError, LlmtoolError
from llmtool.tasks.translate.placeholders import merge_parts

PAGE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
    '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>One</title></head>'
    "<body><h1>The first chapter</h1><p>It is <em>very</em> quiet.</p><br/></body></html>"
)
CONTENTS = (
    '<?xml version="1.0"?><ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint>'
    "<navLabel><text>The first chapter</text></navLabel></navPoint></navMap></ncx>"
)
METADATA = (
    '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>A quiet book</dc:title>'
    "<dc:creator>Ann</dc:creator></metadata></package>"
)


def word_file() -> bytes:
    document = docx.Document()
    document.core_properties.comments = ""
    document.add_heading("The annual report", 1)
    paragraph = document.add_paragraph("Sales were ")
    paragraph.add_run("much").bold = True
    paragraph.add_run(" higher")
    paragraph.add_run(" than before & <after>.")
    document.add_paragraph("Write to me@example.org", style="List Bullet")
    table = document.add_table(1, 2)
    table.cell(0, 0).text = "Costs"
    table.cell(0, 1).text = "12"
    document.sections[0].header.paragraphs[0].text = "Page header"
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def book_file(**members: str | bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        container = '<container version="1.0"/>'
        files = {"META-INF/container.xml": container, "o/a.xhtml": PAGE, "o/toc.ncx": CONTENTS}
        files |= {"o/book.opf": METADATA, "o/image.png": "\x89PNG words"} | members
        for name, text in files.items():
            archive.writestr(name, text, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def load(content: bytes) -> Document:
    text = unpack(content)
    assert text is not None
    return parse(text, detect(None, text))


def shown(document: Document) -> list[str]:
    return [
        "".join(part if isinstance(part, str) else "‹›" for part in segment.parts)
        for segment in document.segments
    ]


def capitals(segment: Segment) -> tuple[Part, ...]:
    return tuple(part.swapcase() if isinstance(part, str) else part for part in segment.parts)


def test_segments_of_a_word_document() -> None:
    document = load(word_file())
    assert shown(document) == [
        "The annual report",
        "Sales were ‹›much‹› higher than before & <after>.",
        "Write to ‹›",
        "Costs",
        "Page header",
    ]
    assert find_unaccounted(document) == []


def test_data_that_a_word_document_shows_is_translated_like_its_paragraph() -> None:
    members = {
        "customXml/item7.xml": "<Cover xmlns='x'><Abstract>Costs</Abstract><Id>a b</Id></Cover>",
        "docProps/custom.xml": "<Properties xmlns='x'><vt:lpwstr xmlns:vt='y'>Page header"
        "</vt:lpwstr></Properties>",
    }
    file = io.BytesIO(word_file())
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    content = file.getvalue()
    document = load(content)
    assert shown(document)[5:] == ["Costs", "Page header"]
    assert "metadata" in {each.reason for each in document.outside or ()}
    assert find_unaccounted(document) == []
    assert read_text(document.source).count("Costs") == 1
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    output = rewrite(document, changed)
    assert document.compare(output) is None
    with zipfile.ZipFile(io.BytesIO(pack(content, output))) as archive:
        assert archive.read("customXml/item7.xml").decode() == members[
            "customXml/item7.xml"
        ].replace("Costs", "cOSTS")
        assert b">pAGE HEADER<" in archive.read("docProps/custom.xml")


def test_word_document_has_the_same_formatting_as_python_docx_reads_it() -> None:
    def paragraphs(document: WordDocument) -> list[tuple[str, str, list[bool | None]]]:
        cells = [cell.paragraphs[0] for row in document.tables[0].rows for cell in row.cells]
        header = document.sections[0].header.paragraphs
        return [
            (str(each.style and each.style.name), each.text, [run.bold for run in each.runs])
            for each in (*document.paragraphs, *cells, *header)
        ]

    content = word_file()
    document = load(content)
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    for i, segment in enumerate(document.segments):
        assert document.find_fault(segment, changed[i]) is None
    output = rewrite(document, changed)
    assert document.compare(output) is None
    before = paragraphs(docx.Document(io.BytesIO(content)))
    after = paragraphs(docx.Document(io.BytesIO(pack(content, output))))
    assert [style for style, *_ in after] == [style for style, *_ in before]
    assert after[1][1] == "sALES WERE MUCH HIGHER THAN BEFORE & <AFTER>."
    assert after[1][2] == [None, True, None]  # the last two runs had equal formatting
    assert after[2][1] == "wRITE TO me@example.org"
    assert after[-1][1] == "pAGE HEADER"


def test_formatting_in_another_order_is_a_fault() -> None:
    document = load(word_file())
    segment = document.segments[1]
    first, second = (part for part in segment.parts if isinstance(part, ProtectedSpan))
    parts = ("a ", second, "b", first, " c")
    assert document.find_fault(segment, parts) == "changes the order of the formatting"


def test_paragraph_with_a_formatted_address_is_translated() -> None:
    def run(text: str) -> str:
        return f'<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'

    link = f"<w:hyperlink>{run('https://x.org')}</w:hyperlink>"
    plain = run("Go to ").replace("<w:b/>", "")
    source = f"<w:p xmlns:w='x'>{plain}{link}{plain.replace('Go to', ' now')}</w:p>"
    (segment,) = WordPart(source).segments
    joined = merge_parts(segment.parts)  # as when a reply is read
    assert len(joined) < len(segment.parts)
    assert WordPart(source).find_fault(segment, joined) is None


def test_text_boxes_fields_and_alternative_texts() -> None:
    body = (
        '<w:document xmlns:w="w" xmlns:wp="wp" xmlns:m="m"><w:p><w:r><w:t>Before</w:t></w:r><w:r>'
        '<wp:docPr id="1" descr="A &quot;cat&quot;"/><w:txbxContent><w:p><w:r><w:t>In the box</w:t>'
        "</w:r></w:p></w:txbxContent></w:r><w:r><w:t>after</w:t></w:r><w:r><w:instrText>PAGE"
        "</w:instrText></w:r><m:r><m:t>xyz</m:t></m:r><w:del><w:delText>gone</w:delText></w:del>"
        '<w:r><w:tab/><w:t xml:space="preserve"> end</w:t></w:r></w:p></w:document>'
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", body)
    document = load(file.getvalue())
    assert shown(document) == ["Before", 'A "cat"', "In the box", "after‹› end"]
    assert {each.reason for each in document.outside or ()} >= {"tag"}
    output = rewrite(document, {1: ('Ein "<"',), 2: (" in ",)})
    assert 'descr="Ein &quot;&lt;&quot;"' in output
    assert '<w:t xml:space="preserve"> in </w:t>' in output


def test_properties_labels_and_attributes_of_a_word_document_are_translated() -> None:
    members = {
        "word/document.xml": (
            '<w:document xmlns:w="w" xmlns:wp="wp" xmlns:v="v"><w:p><w:hyperlink w:tooltip="A tip">'
            '<w:r><w:t>Text</w:t></w:r></w:hyperlink><w:r><wp:docPr id="1" name="Image 1" title='
            '\'A title &apos;x&apos;\' descr="An image"/><v:textpath string="DRAFT COPY"/></w:r>'
            '<w:sdt><w:listItem w:displayText="First choice" w:value="first choice"/></w:sdt></w:p>'
            '<w:tblCaption w:val="A table"/></w:document>'
        ),
        "word/numbering.xml": (
            '<w:numbering xmlns:w="w"><w:lvlText w:val="Chapter %1"/><w:lvlText w:val="o"/>'
            "</w:numbering>"
        ),
        "word/charts/chart1.xml": (
            '<c:chart xmlns:c="c"><c:f>Sheet1!$A$2</c:f><c:strCache><c:pt idx="0"><c:v>North &amp; '
            "south</c:v></c:pt></c:strCache><c:numCache><c:v>12 a</c:v></c:numCache></c:chart>"
        ),
        "docProps/core.xml": (
            '<cp:coreProperties xmlns:cp="cp" xmlns:dc="dc"><dc:title>The report</dc:title>'
            "<dc:subject>Sales</dc:subject><dc:creator>Ann</dc:creator><cp:keywords>north, south"
            "</cp:keywords><dc:description>All sales.</dc:description></cp:coreProperties>"
        ),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    document = load(file.getvalue())
    assert shown(document) == [
        "A tip", "Text", "A title 'x'", "An image", "DRAFT COPY", "First choice", "A table",
        "Chapter ‹›", "North & south", "The report", "Sales", "north, south", "All sales.",
    ]  # fmt: skip
    assert find_unaccounted(document) == []
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    output = rewrite(document, changed)
    assert document.compare(output) is None
    assert document.compare(output.replace('w:value="first', 'w:value="First')) is not None
    packed = pack(file.getvalue(), output)
    with zipfile.ZipFile(io.BytesIO(packed)) as new:
        assert "nORTH &amp; SOUTH" in new.read("word/charts/chart1.xml").decode()
        root = etree.fromstring(new.read("docProps/core.xml"))
        assert [each.text for each in root][:3] == ["tHE REPORT", "sALES", "Ann"]
        image = etree.fromstring(new.read("word/document.xml"))[0][1][0]
        assert (image.get("title"), image.get("name")) == ("a TITLE 'X'", "Image 1")
    assert read_document(file.getvalue(), name="a").text.startswith("A tip")
    assert "Sales" not in read_document(file.getvalue(), name="a").text


def test_attributes_within_a_paragraph_of_word_are_translated_in_place() -> None:
    source = (
        '<w:p xmlns:w="w" xmlns:wp="wp"><w:r><w:t xml:space="preserve">See </w:t></w:r><w:r>'
        '<w:drawing><wp:docPr title="Big &lt;1&gt;" descr="A cat"/></w:drawing></w:r><w:hyperlink '
        'w:tooltip="A tip"><w:r><w:t xml:space="preserve">the link</w:t></w:r></w:hyperlink><w:r>'
        '<w:t xml:space="preserve"> here.</w:t></w:r></w:p>'
    )
    document = WordPart(source)
    texts = ["A cat", "Big <1>", "A tip"]
    assert [each.source for each in document.segments if each.start == each.end] == texts
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    expected = source
    for text in ("See", "the link", "here", "A cat", "Big", "A tip"):
        expected = expected.replace(text, text.swapcase())
    assert rewrite(document, changed) == expected
    assert document.compare(expected) is None
    assert rewrite(document, {}) == source
    only_tip = rewrite(document, {2: changed[2]})
    assert only_tip == source.replace("A tip", "a TIP")


def test_graphics_subjects_and_guide_of_a_book_are_translated_but_not_its_author() -> None:
    graphic = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><style>a {}</style>'
        "<title>Cover</title><text>A <tspan>quiet</tspan> book</text></svg>"
    )
    metadata = METADATA.replace(
        "</metadata>",
        "<dc:subject>Fiction</dc:subject></metadata><guide><reference type='text' "
        "title='Table of &quot;contents&quot;' href='a.xhtml'/></guide>",
    )
    contents = CONTENTS.replace(
        "<navMap>", "<docTitle><text>A book</text></docTitle>"
        "<docAuthor><text>Ann Lee</text></docAuthor><navMap>",
    )  # fmt: skip
    content = book_file(**{"o/p.svg": graphic, "o/book.opf": metadata, "o/toc.ncx": contents})
    document = load(content)
    assert shown(document) == [
        "One", "The first chapter", "It is ‹›very‹› quiet.", "A book", "The first chapter",
        "A quiet book", "Fiction", 'Table of "contents"', "Cover", "A ‹›quiet‹› book",
    ]  # fmt: skip
    assert find_unaccounted(document) == []
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    output = rewrite(document, changed)
    assert document.compare(output) is None
    with zipfile.ZipFile(io.BytesIO(pack(content, output))) as new:
        guide = etree.fromstring(new.read("o/book.opf"))[1][0]
        assert guide.get("title") == 'tABLE OF "CONTENTS"'
        assert etree.fromstring(new.read("o/p.svg"))[2][0].text == "QUIET"


def test_epub_pages_contents_and_title() -> None:
    content = book_file()
    document = load(content)
    assert shown(document) == [
        "One", "The first chapter", "It is ‹›very‹› quiet.", "The first chapter", "A quiet book",
    ]  # fmt: skip
    changed = {i: capitals(segment) for i, segment in enumerate(document.segments)}
    output = rewrite(document, changed)
    assert document.compare(output) is None
    packed = pack(content, output)
    with zipfile.ZipFile(io.BytesIO(packed)) as new, zipfile.ZipFile(io.BytesIO(content)) as old:
        first = new.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert new.namelist() == old.namelist()
        assert new.read("o/image.png") == old.read("o/image.png")
        page = etree.fromstring(new.read("o/a.xhtml"))
        assert page[1][1][0].text == "VERY"
    assert packed[30:58] == b"mimetypeapplication/epub+zip"


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_pages_of_another_encoding_are_read_and_written_in_utf8(encoding: str) -> None:
    page, contents = (
        text.replace("?>", f' encoding="{encoding}"?>', 1).replace("The first", "Café, the first")
        for text in (PAGE.replace(' encoding="utf-8"', ""), CONTENTS)
    )
    members = {"o/a.xhtml": page.encode(encoding), "o/toc.ncx": contents.encode(encoding)}
    content = book_file(**members)
    document = load(content)
    assert shown(document)[1] == shown(document)[3] == "Café, the first chapter"
    packed = pack(content, rewrite(document, {1: ("Глава",)}))
    with zipfile.ZipFile(io.BytesIO(packed)) as new:
        page_root = etree.fromstring(new.read("o/a.xhtml"))
        assert page_root[1][0].text == "Глава"
        assert new.read("o/toc.ncx") == members["o/toc.ncx"]


def test_comments_and_building_blocks_of_word_are_translated_and_not_part_of_its_text() -> None:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    paragraph = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        body = f"<w:body>{paragraph.format('The text')}</w:body>"
        archive.writestr("word/document.xml", f"<w:document {space}>{body}</w:document>")
        comment = f'<w:comment w:author="Ann">{paragraph.format("Check this")}</w:comment>'
        start = '<?xml version="1.0"?>\n'
        archive.writestr("word/comments.xml", f"{start}<w:comments {space}>{comment}</w:comments>")
        blocks = f"<w:docParts>{paragraph.format('Enter text')}</w:docParts>"
        archive.writestr(
            "word/glossary/document.xml",
            f"{start}<w:glossaryDocument {space}>{blocks}</w:glossaryDocument>",
        )
    document = load(file.getvalue())
    assert shown(document) == ["The text", "Check this", "Enter text"]
    assert find_unaccounted(document) == []
    assert read_document(file.getvalue(), name="a").text == "The text"
    packed = pack(file.getvalue(), rewrite(document, {1: ("Prüfen",)}))
    with zipfile.ZipFile(io.BytesIO(packed)) as new:
        assert '<w:t xml:space="preserve">Prüfen' in new.read("word/comments.xml").decode()


def test_language_of_a_book_is_that_of_the_translation() -> None:
    page = PAGE.replace("<html ", '<html xml:lang="en" lang="en-US" ')
    metadata = METADATA.replace("<dc:creator", "<dc:language>en</dc:language><dc:creator")
    contents = CONTENTS.replace("<ncx ", "<ncx xml:lang='en' ")
    content = book_file(**{"o/a.xhtml": page, "o/book.opf": metadata, "o/toc.ncx": contents})
    text = unpack(content)
    assert text is not None
    document = parse(text, "epub", to="de")
    packed = pack(content, rewrite(document, {2: ("Es ist ", *document.segments[2].parts[1:])}))
    with zipfile.ZipFile(io.BytesIO(packed)) as new:
        assert b'<html xml:lang="de" lang="de" ' in new.read("o/a.xhtml")
        assert b"<dc:language>de</dc:language>" in new.read("o/book.opf")
        assert b'<ncx xml:lang="de" ' in new.read("o/toc.ncx")
        assert "Es ist <em>" in new.read("o/a.xhtml").decode()
    assert find_unaccounted(document) == []


@pytest.mark.parametrize(
    ("to", "attribute"), [("de", "w:val"), ("ja", "w:eastAsia"), ("ar", "w:bidi")]
)
def test_word_document_declares_the_target_language(to: str, attribute: str) -> None:
    content = word_file()
    text = unpack(content)
    assert text is not None
    assert '<w:lang w:val="en-US" w:eastAsia="en-US" w:bidi="ar-SA"/>' in text
    document = parse(text, "docx", to=to)
    packed = pack(content, rewrite(document, {}))
    with zipfile.ZipFile(io.BytesIO(packed)) as new:
        styles = etree.fromstring(new.read("word/styles.xml"))
    names = {name: f"{{{styles.nsmap['w']}}}{name.split(':')[1]}" for name in
             ("w:lang", "w:val", "w:eastAsia", "w:bidi")}  # fmt: skip
    (language,) = styles.iter(names["w:lang"])
    found = {name: language.get(names[name]) for name in ("w:val", "w:eastAsia", "w:bidi")}
    old = {"w:val": "en-US", "w:eastAsia": "en-US", "w:bidi": "ar-SA"}
    # Arabic of Saudi Arabia is Arabic, so that the more exact tag remains.
    assert found == (old if to == "ar" else old | {attribute: to})
    assert find_unaccounted(document) == []


@pytest.mark.parametrize("make", [word_file, book_file])
def test_package_without_translations_has_the_same_bytes(make: Callable[[], bytes]) -> None:
    content = make()
    document = load(content)
    own = {i: segment.parts for i, segment in enumerate(document.segments)}
    assert pack(content, rewrite(document, own)) == content


@pytest.mark.parametrize("make", [word_file, book_file])
def test_text_of_a_package_for_summaries(make: Callable[[], bytes]) -> None:
    text = read_document(make(), name="a").text
    assert text.startswith(("The annual report\n\nSales were much higher", "One\n\nThe first"))


def test_tags_in_a_row_are_accounted_for_together() -> None:
    paragraphs = "<w:p><w:r><w:t>Hi</w:t></w:r></w:p>" * 100
    text = f"docx\x1e<w:document xmlns:w='w'>{paragraphs}</w:document>"
    document = parse(text, "docx")
    assert len(document.segments) == 100
    assert len(document.outside or ()) == 102  # the format, and before and after each segment


def test_only_breaks_separate_the_words_of_a_summary() -> None:
    page = PAGE.replace("</body>", "<p>An <b>old</b>, <i>gre</i>en<br/>house.</p></body>")
    assert read_document(book_file(**{"o/a.xhtml": page}), name="a").text.endswith(
        "An old, green house."
    )
    runs = ("is ", "old", ", gre", "en")
    inner = "".join(f'<w:r><w:t xml:space="preserve">{run}</w:t></w:r>' for run in runs)
    inner += "<w:r><w:tab/><w:t>one</w:t></w:r>"
    text = f'docx\x1e<w:document xmlns:w="w"><w:p>{inner}</w:p></w:document>'
    assert read_text(text) == "is old, green one"


def test_other_content_is_not_a_package() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "words")
    assert [unpack(each) for each in (file.getvalue(), b"PK and text", b"")] == [None] * 3
    assert package_format("docx and more") is None


def zipped(name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, data)
    return file.getvalue()


BOMB = '<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;">]><w:document>&b;</w:document>'


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (zipped("word/document.xml", b" " * (33 << 20)), "more than 32 MiB"),
        (zipped("word/document.xml", BOMB.encode()), "the entity b contains others"),
        (zipped("word/document.xml", b"<w:p>"), "not well-formed XML"),
        (zipped("word/document.xml", b"\xff\xf0"), "is encrypted or not UTF-8"),
        (zipped("word/document.xml", b"<a>\x1e</a>"), "is not text"),
        (zipped("word/document.xml", b"<a/>" * 99)[:-40], "the zip file is damaged"),
        (word_file()[:2000] + b"\0" * 2000 + word_file()[4000:], "damaged"),
    ],
    ids=["bomb", "entities", "XML", "encrypted", "separator", "truncated", "changed"],
)
def test_hostile_packages_are_one_line_errors(content: bytes, error: str) -> None:
    with pytest.raises(InputError, match=error) as raised:
        load(content)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("_MAX_MEMBERS", "the zip file has more than 3 members"),
        ("_MAX_BYTES", "the zip file has more than 0 MiB of content"),
    ],
)
def test_number_and_size_of_all_members_are_limited(
    monkeypatch: pytest.MonkeyPatch, name: str, error: str
) -> None:
    content = word_file()
    load(content)
    monkeypatch.setattr(packages, name, 3)
    with pytest.raises(InputError, match=error):
        load(content)


@pytest.mark.parametrize(
    ("n_words", "error"),
    [
        (9 << 20, "a.docx is longer than 16 MiB"),
        (1 << 20, "a.docx: its text is more than 50 times as long as the file"),
    ],
)
def test_text_is_limited_although_the_file_is_small(n_words: int, error: str) -> None:
    text = "<w:p><w:r><w:t>" + "a " * n_words + "</w:t></w:r></w:p>"
    content = zipped("word/document.xml", f"<w:document>{text}</w:document>".encode())
    with pytest.raises(LlmtoolError, match=error):
        read_document(content, name="a.docx")


def test_names_of_members_outside_of_the_package_are_copied_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = book_file(**{"../../evil.xhtml": "<p>Some words</p>"})
    document = load(content)
    packed = pack(content, rewrite(document, {0: ("Eins",)}))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert "../../evil.xhtml" in archive.namelist()
    assert list(tmp_path.iterdir()) == []
    assert "Some words" in shown(document)


def test_attributes_within_a_paragraph_of_a_book_are_translated_in_place() -> None:
    page = (
        """<html xmlns="x"><p>See <img alt="A cat" src="a"/> <b title="More">here</b></p></html>"""
    )
    source = f"epub\x1e{page}"
    document = Package(source)
    output, at = "", 0
    for segment in document.segments:
        parts = [part.upper() if isinstance(part, str) else part for part in segment.parts]
        output += source[at : segment.start] + document.encode(segment, parts)
        at = segment.end
    expected = page.replace("See", "SEE").replace("here", "HERE")
    expected = expected.replace("A cat", "A CAT").replace("More", "MORE")
    assert output + source[at:] == f"epub\x1e{expected}"
