"""The output file of a batch: whole rows, one writer, and what resuming finds."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from llmtool.errors import LockedError, OutputError, UsageError
from llmtool.records.journal import Journal, key_of
from llmtool.records.writers import CsvRows, JsonLines, TextLines, merge

HEADER = b"text,key\n"


def test_a_torn_row_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"key":"a"}\n{"key":"b"}\n{"key":"c')
    journal = Journal(path, "jsonl", resume=True)
    assert (journal.n_done, list(journal.keys())) == (2, ["a", "b"])
    journal.append(b'{"key":"d"}\n')
    journal.close()
    assert path.read_bytes() == b'{"key":"a"}\n{"key":"b"}\n{"key":"d"}\n'


def test_a_csv_row_ends_outside_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(HEADER + b'"one\ntwo ""x""",a\n"three\n')
    journal = Journal(path, "csv", header=HEADER, resume=True)
    assert list(journal.keys()) == ["a"]
    journal.close()
    assert path.read_bytes() == HEADER + b'"one\ntwo ""x""",a\n'


@pytest.mark.parametrize("left", [b"", b"te", b"text,key"])
def test_a_torn_header_is_written_anew(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(left)
    Journal(path, "csv", header=HEADER, resume=True).close()
    assert path.read_bytes() == HEADER


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    with pytest.raises(UsageError, match="--resume goes on with it, --overwrite replaces it"):
        Journal(path, "jsonl")
    assert path.read_text() == "precious\n"
    Journal(path, "jsonl", overwrite=True).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("content", ["precious\n", '{"a": 1}\n', "[1]\n", '{"key": 7}\n'])
def test_what_is_no_output_of_ours_is_not_resumed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(content)
    journal = Journal(path, "jsonl", resume=True)
    with pytest.raises(UsageError, match="a row has no key"):
        list(journal.keys())
    journal.close()
    assert path.read_text() == content


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
    keys = {key_of(identity, digest) for identity in (b"a", b"b") for digest in (b"1", b"2")}
    assert len(keys) == 4


def test_rows_keep_what_the_record_said() -> None:
    row = merge({"reply": "old", "id": 1}, {"reply": "new"})
    assert row == {"input_reply": "old", "id": 1, "reply": "new"}
    assert JsonLines().encode(row) == b'{"input_reply":"old","id":1,"reply":"new"}\n'


def test_csv_cells_hold_json_where_the_value_is_no_text() -> None:
    writer = CsvRows(["n", "list", "none", "text"])
    assert writer.encode({"n": 1, "list": ["a"], "none": None, "text": 'x,"y'}) == (
        b'1,"[""a""]",,"x,""y"\n'
    )


def test_a_text_stays_on_its_line() -> None:
    writer = TextLines("reply")
    assert writer.encode({"reply": "a\nb\\c\r"}) == b"a\\nb\\\\c\\r\n"
    assert writer.encode({"error": "broken"}) == b"\n"
