"""The output file of a batch: whole rows, one writer, and what resuming finds."""

from __future__ import annotations

import csv
import io
import multiprocessing
from pathlib import Path

import pytest

from llmtool.batch.journal import Journal, record_key
from llmtool.batch.writers import CsvRows, JsonLines, TextLines, rename
from llmtool.errors import LockedError, OutputError, UsageError

HEADER = b"text,key\n"


def test_a_torn_row_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"key":"a"}\n{"key":"b"}\n{"key":"c')
    journal = Journal(path, "jsonl", resume=True)
    assert [done.key for done in journal.rows()] == ["a", "b"]
    journal.begin()
    journal.append(b'{"key":"d"}\n')
    journal.close()
    assert path.read_bytes() == b'{"key":"a"}\n{"key":"b"}\n{"key":"d"}\n'


def test_a_csv_row_ends_outside_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(HEADER + b'"one\ntwo ""x""",a\n"three\n')
    journal = Journal(path, "csv", header=HEADER, resume=True)
    assert [done.key for done in journal.rows()] == ["a"]
    journal.begin()
    journal.close()
    assert path.read_bytes() == HEADER + b'"one\ntwo ""x""",a\n'


@pytest.mark.parametrize("left", [b"", b"te", b"text,key"])
def test_a_torn_header_is_written_anew(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(left)
    journal = Journal(path, "csv", header=HEADER, resume=True)
    journal.begin()
    journal.close()
    assert path.read_bytes() == HEADER


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    with pytest.raises(UsageError, match="--resume goes on with it, --overwrite replaces it"):
        Journal(path, "jsonl")
    assert path.read_text() == "precious\n"
    journal = Journal(path, "jsonl", overwrite=True)
    assert path.read_text() == "precious\n"  # until there is something to write
    journal.begin()
    journal.close()
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "content",
    ["precious", "precious\n", "[1]\n", '{"a": 1}\nx', '{"a": 1}\n', '{"key": 7}\n', "\xff"],
)
def test_what_is_no_output_of_ours_is_not_resumed_and_not_touched(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UsageError, match="is not the output of a batch"):
        list(Journal(path, "jsonl", resume=True).rows())
    assert path.read_text(encoding="latin-1") == content


def test_other_columns_are_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("a,b,key\n1,2,x\n")
    with pytest.raises(UsageError, match="other columns"):
        Journal(path, "csv", header=HEADER, resume=True)


def _open(path: Path, answers: multiprocessing.Queue[str]) -> None:
    try:
        Journal(path, "jsonl", resume=True)
        answers.put("opened")
    except LockedError as exc:
        answers.put(str(exc))


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    journal = Journal(path, "jsonl")
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    other = context.Process(target=_open, args=(path, answers))
    other.start()
    assert "another process writes it" in answers.get(timeout=60)
    other.join()
    journal.close()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "none" / "out.jsonl", "jsonl")


def test_keys_tell_records_and_settings_apart() -> None:
    keys = {record_key(identity, digest) for identity in (b"a", b"b") for digest in (b"1", b"2")}
    assert len(keys) == 4


def test_fields_keep_their_values_beside_a_result() -> None:
    names = rename(["reply", "id", "input_reply"], {"reply", "error"})
    assert names == {"reply": "input_reply", "id": "id", "input_reply": "input_input_reply"}


def test_a_lone_carriage_return_stays_in_its_cell() -> None:
    row = CsvRows(["a", "b"]).encode({"a": "x\ry", "b": "z"})
    assert next(csv.reader(io.StringIO(row.decode(), newline=""))) == ["x\ry", "z"]
    assert JsonLines().encode({"a": "x\ry"}) == b'{"a":"x\\ry"}\n'


def test_csv_cells_hold_json_where_the_value_is_no_text() -> None:
    writer = CsvRows(["n", "list", "none", "text"])
    assert writer.encode({"n": 1, "list": ["a"], "none": None, "text": 'x,"y'}) == (
        b'1,"[""a""]",,"x,""y"\n'
    )


def test_a_text_stays_on_its_line() -> None:
    writer = TextLines("reply")
    assert writer.encode({"reply": "a\nb\\c\r"}) == b"a\\nb\\\\c\\r\n"
    assert writer.encode({"error": "broken"}) == b"\n"
