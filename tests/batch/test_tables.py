"""Tables: the rows that Python's `csv` module reads, delimiters, headers."""

from __future__ import annotations

import csv
import io
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtool.batch.readers import Reader, Record
from llmtool.batch.tables import find_header
from llmtool.batch.writers import CsvRows
from llmtool.errors import InputError, UsageError

PIECES = ['"', '"', ",", ",", "\n", "\n", "\r", "\r\n", " ", "a", "b", "é", ";", '""', '","', '"\n']


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(content: bytes, **options: Any) -> tuple[Reader, list[Record]]:
        path = tmp_path / "input.csv"
        path.write_bytes(content)
        reader = Reader("csv", [str(path)], **options)
        return reader, [record for record in reader if record]

    return read


def expected_rows(content: str, delimiter: str = ",") -> list[list[str]]:
    """Return the rows that `csv` reads, without blank lines."""
    file = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8", newline="")
    return [row for row in csv.reader(file, delimiter=delimiter) if row]


@pytest.mark.parametrize("n_files", [2000, pytest.param(20_000, marks=pytest.mark.long)])
def test_random_files_have_the_rows_that_csv_reads(tmp_path: Path, n_files: int) -> None:
    generator = random.Random(20)
    shm = Path("/dev/shm")  # a file in memory is faster
    path = (shm if shm.is_dir() else tmp_path) / f"llmtool-test-{os.getpid()}.csv"
    try:
        for _ in range(n_files):
            content = "id,text\n" + "".join(generator.choices(PIECES, k=generator.randrange(20)))
            path.write_bytes(content.encode())
            reader = Reader("csv", [str(path)], delimiter=",")
            records = [record for record in reader if record]
            header, *rows = expected_rows(content)
            cells = [list(record.fields.values()) for record in records]
            assert cells == [row[:2] for row in rows], content
            ragged = [record for record, row in zip(records, rows, strict=True) if len(row) != 2]
            assert all(record.error for record in ragged), content
            writer = CsvRows(reader.columns)
            lines = [writer.header, *(writer.encode(record.fields) for record in records)]
            output = expected_rows(b"".join(lines).decode())
            assert output == [header, *([*row, ""][:2] for row in rows)], content
    finally:
        path.unlink(missing_ok=True)


def test_multi_line_cell_with_quotes_in_other_cells_loses_no_row(read: Any) -> None:
    content = b'text,size\n"first line\nsecond line",5" pipe\nnext,6" tube\n"a\rb",7"\nlast,8\n'
    _, records = read(content)
    assert [record.fields for record in records] == [
        {"text": "first line\nsecond line", "size": '5" pipe'},
        {"text": "next", "size": '6" tube'},
        {"text": "a\rb", "size": '7"'},
        {"text": "last", "size": "8"},
    ]
    assert [record.line for record in records] == [2, 4, 5, 7]
    assert not any(record.error for record in records)


def test_cell_larger_than_the_default_limit_of_csv_is_read(read: Any) -> None:
    _, (record,) = read(b'id,text\n1,"' + b"x" * 300_000 + b'\n"\n')
    assert len(record.fields["text"]) == 300_001


def test_row_larger_than_the_limit_is_an_error_and_the_next_is_read(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmtool.batch.tables.MAX_BYTES", 100)
    _, (first, *_, last) = read(b'id,text\n1,"open\n' + b"x\n" * 60 + b"2,last\n")
    assert "line 2: unclosed quote" in str(first.error)
    assert (last.fields, last.error) == ({"id": "2", "text": "last"}, None)


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        (b'id;text;stars\n1;"I love it; really";5\n2;Good, but late;1\n', ";"),
        (b"id|text\n1|I love it\n", "|"),
        (b"a, b\ttext\n1\tgood\n", "\t"),
        (b"id,text (a|b)\n1,hello\n", ","),
        (b"id;text, long\n1;one, two\n2;three\n", ";"),
        (b'"id";"text, long";"note, short"\n"1";"a, b, c";"d"\n', ";"),
        (b"id,text;note\n1,hello; there\n2,bye\n", ","),
        (b"\r\n\r\nid;text\r\n1;a,b\r\n", ";"),
        (b"text\nHello\n", ","),
        (b'sep=;\nid;text\n1;a\n', ";"),
        (b"id,text\n1,a\tb\n", ","),
        (b'id;text\n1;"two\nlines; here"\n', ";"),
        (b'"two\nlines";text\n1;a, b\n', ";"),
        (b"name, first|text|a;b\nx|late;|y\n", "|"),
        (b"id;text, long, detail\n1;one, two, three\n", ";"),
    ],
)  # fmt: skip
def test_delimiter_is_detected(read: Any, content: bytes, delimiter: str) -> None:
    reader, records = read(content)
    assert reader.delimiter == delimiter
    assert not any(record.error for record in records)


@pytest.mark.parametrize("name", ["pipe", "|"])
def test_delimiter_can_be_given(read: Any, name: str) -> None:
    _, (record,) = read(b"a;b|c\n1|2\n", delimiter=name)
    assert record.fields == {"a;b": "1", "c": "2"}


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n", "é"])
def test_invalid_delimiter_is_rejected(read: Any, delimiter: str) -> None:
    with pytest.raises(UsageError, match="must be one ASCII character"):
        read(b"a,b\n", delimiter=delimiter)


def test_detection_does_not_wait_for_more_than_it_needs() -> None:
    r, w = os.pipe()
    records: Iterator[Record | None] = iter(Reader("csv", [f"/dev/fd/{r}"]))
    os.write(w, b"id;text\n1;a\n2")
    first = next(records)
    assert first is not None and first.fields == {"id": "1", "text": "a"}
    assert next(records) is None
    os.write(w, b';"b')
    assert next(records) is None
    os.write(w, b'\nc"\n')
    second = next(records)
    assert second is not None and second.fields == {"id": "2", "text": "b\nc"}
    os.close(w)
    assert list(records) == []


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (  # GLUE: no quoting
            b'text\tlabel\n"Quoted start\t1\nplain\t0\nend"\t1\n',
            [['"Quoted start', "1"], ["plain", "0"], ['end"', "1"]],
        ),
        (b'text\tlabel\n"Two" words\t1\n"a"\t0\n', [['"Two" words', "1"], ['"a"', "0"]]),
        (  # pandas and Excel: quoting
            b'id\ttext\n1\t"tab\there"\n2\t"two\nlines"\n3\t"say ""hi"""\n',
            [["1", "tab\there"], ["2", "two\nlines"], ["3", 'say "hi"']],
        ),
        (b'id|text\n1|"open\n2|b\n', [["1", '"open'], ["2", "b"]]),
        (  # the first row can only be quoted
            b'id|text\n1|"a | b"\n"x | 2|\ny"|c\n',
            [["1", "a | b"], ["x | 2|\ny", "c"]],
        ),
    ],
    ids=["open quote", "quote in a cell", "quoted", "pipes", "quoted pipes"],
)
def test_quotes_of_tab_separated_cells(read: Any, content: bytes, rows: list[list[str]]) -> None:
    _, records = read(content)
    assert [list(record.fields.values()) for record in records] == rows
    assert not any(record.error for record in records)


def test_open_quote_after_a_quoted_row_is_an_error(read: Any) -> None:
    _, (good, bad) = read(b'text\tn\n"two\nlines"\t1\n"x\t2\n')
    assert good.fields == {"text": "two\nlines", "n": "1"}
    assert "line 4: unclosed quote" in str(bad.error)


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
def test_line_ends(read: Any, end: bytes) -> None:
    _, records = read(end.join([b"text,n", b"I love it,1", b'"two', b'lines",2', b""]))
    assert [record.fields["n"] for record in records] == ["1", "2"]
    assert [record.line for record in records] == [2, 3]
    assert records[1].fields["text"] == f"two{end.decode()}lines"


def test_crlf_across_chunks_is_one_line_end(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtool.batch.lines._CHUNK_BYTES", 3)
    _, records = read(b"a,b\r\n1,2\r\n\r\n3,4\r")
    assert [(record.line, record.fields) for record in records] == [
        (2, {"a": "1", "b": "2"}),
        (4, {"a": "3", "b": "4"}),
    ]


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b",text,label\n0,I love it,x\n", {"": "0", "text": "I love it", "label": "x"}),
        (b"text,note,note\na,b,c\n", {"text": "a", "note": "b", "note_2": "c"}),
        (b"id,text,,\n1,a,,\n", {"id": "1", "text": "a", "": "", "_2": ""}),
        (b"note,note_2,note,note\na,b,c,d\n",
         {"note": "a", "note_2": "b", "note_3": "c", "note_4": "d"}),
    ],
    ids=["pandas index", "repeated", "trailing comma", "numbered"],
)  # fmt: skip
def test_empty_and_repeated_names(read: Any, content: bytes, fields: dict[str, str]) -> None:
    reader, (record,) = read(content)
    assert record.fields == fields
    assert reader.header == content.split(b"\n")[0].decode().split(",")


@pytest.mark.parametrize(
    ("field", "column"), [("text", "text"), ("2", "note"), ("3", "note_2"), (" text ", "text")]
)
def test_column_by_name_or_position(read: Any, field: str, column: str) -> None:
    reader, _ = read(b" text,note,note\na,b,c\n")
    assert reader.find_column(field) == column


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("note", "2 columns are named 'note'; pass a column number: 2 or 3"),
        ("4", "unknown column '4'; columns: text, note, note"),
        ("0", "unknown column '0'"),
    ],
)
def test_unknown_or_ambiguous_column_is_rejected(read: Any, field: str, reason: str) -> None:
    reader, _ = read(b"text,note,note\na,b,c\n")
    with pytest.raises(UsageError, match=reason):
        reader.find_column(field)


@pytest.mark.parametrize(
    ("header", "delimiter", "columns"),
    [
        ("id,body,note", ";", "id,body,note; is the delimiter ','?"),
        ("id;body, or text;note", "tab", "id;body, or text;note; is the delimiter ';'?"),
        ("id\tbody", ",", "id\tbody; is the delimiter tab?"),
        ('"last, first"', ",", "last, first"),
        ("id,body|note", "|", "id,body, note"),
        ("id", ";", "id"),
    ],
    ids=["comma", "semicolon", "tab", "quoted", "two columns", "one column"],
)
def test_unknown_column_suggests_another_delimiter(
    read: Any, header: str, delimiter: str, columns: str
) -> None:
    reader, _ = read(f"{header}\n".encode(), delimiter=delimiter)
    with pytest.raises(UsageError) as caught:
        reader.find_column("text")
    assert str(caught.value) == f"unknown column 'text'; columns: {columns}"


def test_malformed_header_is_rejected(read: Any) -> None:
    with pytest.raises(InputError, match="line 1: unclosed quote"):
        read(b'"id,text\n1,2\n')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "One line, with a comma.",
        "Dear John,\nThank you,\n",
        "Roses are red, violets are blue,\nSugar is sweet, and so are you.\n",
        "int a;\nint b;\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
        '{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n',
        "import a, b\nfrom c import d, e\n",
        "1,2\n3,4\n",
        "first\n\nsecond; third\n",
    ],
)
def test_other_text_does_not_look_like_a_table(text: str) -> None:
    assert find_header("standard input", text) == []


@pytest.mark.parametrize(
    ("name", "text", "header"),
    [
        ("-", "id,text\n1,hello\n", ["id", "text"]),
        ("-", 'id\ttext\n1\t"open\n', ["id", "text"]),
        ("-", 'id,text\n1,"two\nlines"\n', ["id", "text"]),
        ("X.CSV", "text\nYes, it is.\n", ["text"]),
        ("x.tsv", "a, b\ttext\n", ["a, b", "text"]),
    ],
)
def test_tables_are_recognized(name: str, text: str, header: list[str]) -> None:
    assert find_header(name, text) == header


TABLE = 'id,text\n1,café\n2,plain\n3,"two\nlines é"\n'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TABLE.encode("utf-16"), None),
        (TABLE.encode("utf-16-le"), None),
        (TABLE.encode("utf-16-be"), None),
        (b"\xfe\xff" + TABLE.encode("utf-16-be"), None),
        (TABLE.encode("utf-32"), None),
        (TABLE.encode("utf-8-sig"), None),
        (TABLE.encode("utf-16-le"), "utf-16-le"),
        (TABLE.encode("utf-16"), "utf-16"),
        (TABLE.encode("utf-8-sig"), "utf-8"),
        (TABLE.encode("latin-1"), "latin-1"),
        (TABLE.encode("cp1252"), "windows-1252"),
        (TABLE.encode("cp037"), "cp037"),
    ],
    ids=[
        "UTF-16", "UTF-16-LE", "UTF-16-BE", "BOM and UTF-16-BE", "UTF-32", "UTF-8 with BOM",
        "UTF-16-LE given", "UTF-16 given", "UTF-8 given", "Latin-1", "Windows-1252", "EBCDIC",
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunk", [1, 3, 1 << 16])
def test_encodings(
    read: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, encoding: str | None, chunk: int
) -> None:
    monkeypatch.setattr("llmtool.batch.lines._CHUNK_BYTES", chunk)
    _, records = read(content, encoding=encoding)
    cells = [list(record.fields.values()) for record in records]
    assert cells == [["1", "café"], ["2", "plain"], ["3", "two\nlines é"]]
    assert not any(record.error for record in records)


def test_other_encoding_fails_its_rows_and_names_the_line(read: Any) -> None:
    _, (bad, good, also_bad) = read(TABLE.encode("latin-1"))
    assert str(bad.error).endswith(
        "input.csv, line 2: not UTF-8 at byte 13 (0xe9); pass encoding='NAME', such as cp1252, "
        "or errors='replace'"
    )
    assert (good.error, good.fields) == (None, {"id": "2", "text": "plain"})
    assert "line 5: not UTF-8" in str(also_bad.error)
    _, (bad, *_) = read("id,text\n1,日本\n".encode("gbk") + b"2,\xff\n", encoding="gbk")
    assert bad.fields["text"] == "日本"


def test_truncated_utf_16_is_an_error(read: Any) -> None:
    content = TABLE.encode("utf-16")[:-1]
    with pytest.raises(InputError, match="not utf-16"):
        read(content)
    _, records = read(content, errors="replace")
    assert len(records) == 3


@pytest.mark.parametrize("encoding", ["", "klingon", "base64", "a\0b"])
def test_unknown_encoding_is_rejected(read: Any, encoding: str) -> None:
    with pytest.raises(UsageError, match="unknown encoding"):
        read(b"a,b\n", encoding=encoding)
