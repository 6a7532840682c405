"""Records from lines, JSON lines, CSV and files: what is read, what is wrong, no waiting."""

from __future__ import annotations

import csv
import io
import os
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


def test_a_line_is_a_record_and_a_blank_one_is_none(read: Any) -> None:
    records = read("line", b"one\r\n\n  \ntwo  \nthree\x00")
    assert [record.text for record in records] == ["one", "two  ", "three\x00"]
    assert [record.index for record in records] == [0, 1, 2]
    assert [record.place.rpartition(":")[2] for record in records] == ["1", "4", "5"]


def test_blank_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\n\n\nb\n")
    reader = Reader("line", [str(path)])
    assert len(list(reader)) == 2
    assert reader.n_skipped == 2


def test_a_byte_order_mark_belongs_to_no_line(read: Any) -> None:
    assert [record.text for record in read("line", b"\xef\xbb\xbfone\ntwo\n")] == ["one", "two"]


def test_a_line_that_is_not_utf8_fails_alone_with_its_offset(read: Any) -> None:
    good, bad, also_good = read("line", b"one\ntw\xff\nthree\n")
    assert (good.error, also_good.error) == (None, None)
    assert isinstance(bad.error, InputError)
    assert "byte 6 (0xff)" in str(bad.error)


def test_replacing_reads_on(read: Any) -> None:
    (record,) = read("line", b"tw\xff\n", errors="replace")
    assert record.text == "tw\ufffd"


def test_a_line_longer_than_any_context_fails_alone(read: Any) -> None:
    bad, good = read("line", b"x" * (MAX_BYTES + 5) + b"\nshort\n")
    assert isinstance(bad.error, ContextOverflow)
    assert good.text == "short"


def test_json_lines_keep_unknown_keys_in_their_order(read: Any) -> None:
    (record,) = read("jsonl", b'{"z": [1, {"a": null}], "text": "hi", "n": 12345678901234567890}\n')
    assert list(record.fields.items()) == [
        ("z", [1, {"a": None}]),
        ("text", "hi"),
        ("n", 12345678901234567890),
    ]


@pytest.mark.parametrize(
    "line", [b"[" * 5000, b"{bad}", b"[1]", b"7", b'{"a": 1} x', b'{"a": \xff}']
)
def test_a_broken_json_line_is_an_error_in_its_place(read: Any, line: bytes) -> None:
    first, bad, last = read("jsonl", b'{"text": "a"}\n' + line + b'\n"b"\n')
    assert (first.fields, last.text) == ({"text": "a"}, "b")
    assert isinstance(bad.error, InputError)
    assert bad.index == 1
    assert bad.fields["input"].startswith(line[:4].decode("utf-8", "replace"))


def test_csv_keeps_quotes_commas_and_line_ends(read: Any) -> None:
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
def test_what_the_csv_library_writes_is_read_back(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())
    records = [record for record in Reader("csv", [str(path)]) if record]
    assert [list(record.fields.values()) for record in records] == rows


def test_tabs_separate_where_the_header_has_tabs(read: Any) -> None:
    (record,) = read("csv", b"id\ttext\n1\ta, b\n")
    assert record.fields == {"id": "1", "text": "a, b"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "1 cell where the header has 2"),
        (b"1,2,3", "3 cells where the header has 2"),
        (b'1,"a"b', "not CSV"),
        (b"1,\xff", "not UTF-8 at byte 10 (0xff)"),
    ],
)
def test_a_broken_csv_row_fails_alone(read: Any, row: bytes, reason: str) -> None:
    bad, good = read("csv", b"id,text\n" + row + b"\n2,b\n")
    assert reason in str(bad.error)
    assert good.fields == {"id": "2", "text": "b"}


def test_a_bad_byte_inside_quotes_does_not_end_its_record(read: Any) -> None:
    bad, good = read("csv", b'id,text\n1,"a \xff\nb"\n2,b\n')
    assert isinstance(bad.error, InputError)
    assert good.fields == {"id": "2", "text": "b"}


def test_a_cell_of_many_lines_with_quotes_is_read_once(read: Any) -> None:
    lines = b'<p class=""x"">\n' * 40_000
    (record,) = read("csv", b'id,text\n1,"' + lines + b'"\n')
    assert record.fields["text"].count("\n") == 40_000


def test_what_can_be_read_of_a_broken_row_is_kept(read: Any) -> None:
    bad, other = read("csv", b"id,text\n7,a\xff\n8,b,c\n")
    assert bad.fields == {"id": "7", "text": "a\ufffd"}
    assert other.fields == {"id": "8", "text": "b"}


def test_a_quote_that_is_never_closed_is_told_with_its_line(read: Any) -> None:
    good, bad = read("csv", b'id,text\n1,a\n2,"b\n3,c\n')
    assert good.error is None
    assert ":3: a quote is opened and never closed" in str(bad.error)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,a\n1,2\n", b"a,\n1,2\n"])
def test_a_csv_needs_a_header(read: Any, content: bytes) -> None:
    with pytest.raises(InputError):
        read("csv", content)


def test_several_csv_files_need_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x,y\n1,2\n")
    (tmp_path / "b").write_text("x,z\n1,2\n")
    reader = Reader("csv", [str(tmp_path / "a"), str(tmp_path / "b")])
    with pytest.raises(UsageError, match="other columns"):
        list(reader)


def test_each_file_is_a_record_and_a_missing_one_an_error(tmp_path: Path) -> None:
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
def test_a_pipe_that_stays_open_is_not_waited_for(
    format: Format, first: bytes, second: bytes
) -> None:
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


def test_the_same_bytes_have_the_same_digest_wherever_they_stand(read: Any) -> None:
    one, two, other = read("line", b"same\nsame\nother\n")
    assert one.digest == two.digest != other.digest
