"""Records from lines, JSON Lines, CSV and files: content, errors, pipes."""

from __future__ import annotations

import csv
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.batch.readers import Format, Reader, Record
from llmtool.encoding import MAX_BYTES
from llmtool.errors import ContextOverflow, InputError, UsageError


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(format: Format, content: bytes, **options: Any) -> list[Record]:
        path = tmp_path / "input"
        path.write_bytes(content)
        return [record for record in Reader(format, [str(path)], **options) if record]

    return read


def test_each_line_is_a_record_and_blank_lines_are_skipped(read: Any) -> None:
    records = read("line", b"one\r\n\n  \ntwo  \nthree\x00")
    assert [record.text for record in records] == ["one", "two  ", "three\x00"]
    assert [record.index for record in records] == [0, 1, 2]
    assert [record.line for record in records] == [1, 4, 5]


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\n\n\nb\n")
    reader = Reader("line", [str(path)])
    assert len(list(reader)) == 2
    assert reader.n_skipped == 2


def test_number_of_records_of_a_pipe_is_known_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"a\nb\n",))
    writer.start()
    reader = Reader("line", [str(path)])
    records = iter(reader)
    assert next(record for record in records if record).text == "a"
    assert reader.n_expected is None
    assert [record.text for record in records if record] == ["b"]
    assert reader.n_expected == 2
    writer.join()


def test_byte_order_mark_is_removed(read: Any) -> None:
    assert [record.text for record in read("line", b"\xef\xbb\xbfone\ntwo\n")] == ["one", "two"]


def test_invalid_utf8_fails_one_record_and_reports_offset(read: Any) -> None:
    good, bad, also_good = read("line", b"one\ntw\xff\nthree\n")
    assert (good.error, also_good.error) == (None, None)
    assert isinstance(bad.error, InputError)
    assert "byte 6 (0xff)" in str(bad.error)


def test_errors_replace_decodes_invalid_utf8(read: Any) -> None:
    (record,) = read("line", b"tw\xff\n", errors="replace")
    assert record.text == "tw\ufffd"


def test_too_long_line_fails_one_record(read: Any) -> None:
    bad, good = read("line", b"x" * (MAX_BYTES + 5) + b"\nshort\n")
    assert isinstance(bad.error, ContextOverflow)
    assert good.text == "short"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs an endless file")
@pytest.mark.parametrize("format", ["line", "jsonl", "csv"])
def test_line_without_end_is_an_error(format: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtool.batch.lines._MAX_LINE_BYTES", MAX_BYTES)
    with pytest.raises(InputError, match=r"/dev/zero, line 1: no line ending in 16\.8 MB"):
        list(Reader(format, ["/dev/zero"]).wait_for_records())


def test_json_fields_keep_their_order(read: Any) -> None:
    (record,) = read("jsonl", b'{"z": [1, {"a": null}], "text": "hi", "n": 12345678901234567890}\n')
    assert list(record.fields.items()) == [
        ("z", [1, {"a": None}]),
        ("text", "hi"),
        ("n", 12345678901234567890),
    ]


@pytest.mark.parametrize(
    "line", [b"[" * 5000, b"{bad}", b"[1]", b"7", b'{"a": 1} x', b'{"a": \xff}']
)
def test_invalid_json_fails_one_record(read: Any, line: bytes) -> None:
    first, bad, last = read("jsonl", b'{"text": "a"}\n' + line + b'\n"b"\n')
    assert (first.fields, last.text) == ({"text": "a"}, "b")
    assert isinstance(bad.error, InputError)
    assert bad.index == 1
    assert bad.fields["input"].startswith(line[:4].decode("utf-8", "replace"))


def test_csv_cells_keep_quotes_commas_and_newlines(read: Any) -> None:
    content = b'id,text\n1,"a ""b"", c"\n2,"two\nlines\r\n\nand more"\n3,plain\n'
    assert [record.fields for record in read("csv", content)] == [
        {"id": "1", "text": 'a "b", c'},
        {"id": "2", "text": "two\nlines\r\n\nand more"},
        {"id": "3", "text": "plain"},
    ]


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")),
                 min_size=2, max_size=2),
        max_size=6,
    )
)  # fmt: skip
def test_output_of_csv_library_is_read_back(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    records = [record for record in Reader("csv", [str(path)]) if record]
    assert [list(record.fields.values()) for record in records] == rows


def test_tab_separated_file_is_detected(read: Any) -> None:
    (record,) = read("csv", b"id\ttext\n1\ta, b\n")
    assert record.fields == {"id": "1", "text": "a, b"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "1 cell, but the header has 2"),
        (b"1,2,3", "3 cells, but the header has 2"),
        (b'1,"a"b', "not valid CSV"),
        (b"1,\xff", "not UTF-8 at byte 10 (0xff)"),
    ],
)
def test_invalid_csv_row_fails_one_record(read: Any, row: bytes, reason: str) -> None:
    bad, good = read("csv", b"id,text\n" + row + b"\n2,b\n")
    assert reason in str(bad.error)
    assert good.fields == {"id": "2", "text": "b"}


def test_invalid_byte_in_quotes_does_not_end_the_row(read: Any) -> None:
    bad, good = read("csv", b'id,text\n1,"a \xff\nb"\n2,b\n')
    assert isinstance(bad.error, InputError)
    assert good.fields == {"id": "2", "text": "b"}


def test_cell_with_many_lines_is_parsed_in_linear_time(read: Any) -> None:
    lines = b'<p class=""x"">\n' * 40_000
    (record,) = read("csv", b'id,text\n1,"' + lines + b'"\n')
    assert record.fields["text"].count("\n") == 40_000


def test_readable_cells_of_invalid_row_are_returned(read: Any) -> None:
    bad, other = read("csv", b"id,text\n7,a\xff\n8,b,c\n")
    assert bad.fields == {"id": "7", "text": "a\ufffd"}
    assert other.fields == {"id": "8", "text": "b"}


def test_unclosed_quote_error_has_line_number(read: Any) -> None:
    good, bad = read("csv", b'id,text\n1,a\n2,"b\n3,c\n')
    assert good.error is None
    assert ", line 3: unclosed quote" in str(bad.error)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_csv_without_valid_header_is_rejected(read: Any, content: bytes) -> None:
    with pytest.raises(InputError):
        read("csv", content)


def test_csv_files_with_different_columns_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x,y\n1,2\n")
    (tmp_path / "b").write_text("x,z\n1,2\n")
    reader = Reader("csv", [str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(UsageError, match="columns differ"):
        list(reader)


def test_each_file_is_a_record_and_missing_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\ntwo\n")
    reader = Reader("file", [str(tmp_path / "a.txt"), str(tmp_path / "none"), str(tmp_path)])
    good, missing, folder = [record for record in reader if record]
    assert good.text == "one\ntwo\n"
    assert good.fields == {"file": str(tmp_path / "a.txt")}
    assert str(missing.error) == f"{tmp_path / 'none'}: no such file"
    assert "is a directory" in str(folder.error)


def piped(format: Format) -> tuple[Iterator[Record | None], int]:
    r, w = os.pipe()
    return iter(Reader(format, [f"/dev/fd/{r}"])), w


@pytest.mark.parametrize(
    ("format", "first", "second"),
    [
        ("line", b"a\nb", b"c\n"),
        ("jsonl", b'{"text": "a"}\n{"text"', b': "bc"}\n'),
        ("csv", b'text\n"a"\n"b', b'c"\n'),
    ],
)
def test_open_pipe_does_not_block(format: Format, first: bytes, second: bytes) -> None:
    records, w = piped(format)
    assert next(records) is None
    os.write(w, first)
    record = next(records)
    assert record is not None and (record.text or record.fields["text"]) == "a"
    assert next(records) is None
    os.write(w, second)
    record = next(records)
    assert record is not None and (record.text or record.fields["text"]).startswith("b")
    os.close(w)
    assert list(records) == []


def test_digest_depends_only_on_content(read: Any) -> None:
    one, two, other = read("line", b"same\nsame\nother\n")
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("format", ["line", "jsonl", "csv"])
def test_binary_file_is_not_read_as_records(format: Any, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\n" * 3)
    with pytest.raises(InputError, match="photo.png is a PNG image, not text"):
        list(Reader(format, [str(file)], errors="replace"))


@pytest.mark.parametrize("names", ["c{n}", "c", "c_{n}"])
def test_many_columns_take_linear_time(read: Any, names: str) -> None:
    header = ",".join(names.format(n=n) for n in range(100_000))
    started = time.process_time()
    (record,) = read("csv", f"{header}\n{'1,' * 99_999}1\n".encode())
    assert len(record.fields) == 100_000
    assert time.process_time() - started < 5
