"""The output file of a batch: complete rows, locking, resuming."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
from pathlib import Path

import pytest

from llmtool.batch.journal import Journal, record_key
from llmtool.batch.writers import CsvRows, json_line, rename_fields, text_line
from llmtool.errors import LockedError, OutputError, UsageError

HEADER = b"text,key\n"


def test_partial_row_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"key":"a"}\n{"key":"b"}\n{"key":"c')
    journal = Journal(path, "jsonl", resume=True)
    assert [row.key for row in journal.rows()] == ["a", "b"]
    journal.begin()
    journal.append(b'{"key":"d"}\n')
    journal.close()
    assert path.read_bytes() == b'{"key":"a"}\n{"key":"b"}\n{"key":"d"}\n'


def test_rows_are_synced_in_groups_and_on_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "out.jsonl", "jsonl")
    journal.begin()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for number in range(450):
        journal.append(b'{"key":"%d"}\n' % number)
    assert len(synced) == 2  # after each 200 rows
    journal.close()
    assert len(synced) == 3


def test_quoted_newline_does_not_end_csv_row(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(HEADER + b'"one\ntwo ""x""",a\n"three\n')
    journal = Journal(path, "csv", header=HEADER, resume=True)
    assert [row.key for row in journal.rows()] == ["a"]
    journal.begin()
    journal.close()
    assert path.read_bytes() == HEADER + b'"one\ntwo ""x""",a\n'


@pytest.mark.parametrize("left", [b"", b"te", b"text,key"])
def test_partial_header_is_rewritten(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(left)
    journal = Journal(path, "csv", header=HEADER, resume=True)
    journal.begin()
    journal.close()
    assert path.read_bytes() == HEADER


def test_existing_file_is_not_replaced_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    with pytest.raises(
        UsageError, match="use resume=True to continue it or overwrite=True to replace it"
    ):
        Journal(path, "jsonl")
    assert path.read_text() == "precious\n"
    journal = Journal(path, "jsonl", overwrite=True)
    assert path.read_text() == "precious\n"  # unchanged until the first write
    journal.begin()
    journal.close()
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "content",
    ["precious", "precious\n", "[1]\n", '{"a": 1}\nx', '{"a": 1}\n', '{"key": 7}\n', "\xff"],
)
def test_resume_rejects_other_files_and_leaves_them_unchanged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match="not the output of a batch"):
        list(Journal(path, "jsonl", resume=True).rows())
    assert path.read_text(encoding="latin-1") == content


def test_resume_rejects_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("a,b,key\n1,2,x\n")
    with pytest.raises(UsageError, match="its columns are not those of this batch"):
        Journal(path, "csv", header=HEADER, resume=True)


def _open(path: Path, results: multiprocessing.Queue[str]) -> None:
    try:
        Journal(path, "jsonl", resume=True)
        results.put("opened")
    except LockedError as exc:
        results.put(str(exc))


def test_locked_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    journal = Journal(path, "jsonl")
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    other = context.Process(target=_open, args=(path, results))
    other.start()
    assert "another process is writing" in results.get(timeout=60)
    other.join()
    journal.close()


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "none" / "out.jsonl", "jsonl")


def test_key_depends_on_record_and_identity() -> None:
    keys = {record_key({"input": i, "model": m}) for i in (b"1", b"2") for m in (b"a", b"b")}
    assert len(keys) == 4


def test_reserved_field_names_are_prefixed() -> None:
    names = rename_fields(["text", "id", "input_text"], {"text", "error"})
    assert names == {"text": "input_text", "id": "id", "input_text": "input_input_text"}


def test_carriage_return_is_quoted() -> None:
    row = CsvRows(["a", "b"]).encode({"a": "x\ry", "b": "z"})
    assert next(csv.reader(io.StringIO(row.decode(), newline=""))) == ["x\ry", "z"]
    assert json_line({"a": "x\ry"}) == b'{"a":"x\\ry"}\n'


def test_csv_encodes_other_values_as_json() -> None:
    writer = CsvRows(["n", "list", "none", "text"])
    assert writer.encode({"n": 1, "list": ["a"], "none": None, "text": 'x,"y'}) == (
        b'1,"[""a""]",,"x,""y"\n'
    )


def test_text_line_escapes_newlines() -> None:
    assert text_line({"text": "a\nb\\c\r"}, "text") == b"a\\nb\\\\c\\r\n"
    assert text_line({"error": "broken"}, "text") == b"\n"


def test_text_line_has_the_json_of_a_reply_with_a_schema_unchanged() -> None:
    row = {"text": '{"a":"x\\n\u2028y"}', "value": {"a": "x\n\u2028y"}}
    assert text_line(row, "text").decode() == row["text"] + "\n"
    assert text_line({"text": '{"a"', "error": "truncated"}, "text") == b"\n"
