"""`retry_failed`: only failed rows are processed again, and all other rows stay as they are."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtool.batch.readers import Format, Reader
from llmtool.batch.runner import BatchOptions, BatchRunner
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ContextOverflow, OutputError, UsageError
from llmtool.tasks.results import Result
from llmtool.toolbox import Toolbox

TEXTS = ["first", 'a "quote", and\nlines', "bad 1", "é漢\t🙂", "bad 2", "last"]
FAILED = {2, 4}


class Answers:
    """Fails for texts with `bad` until `are_fixed`."""

    def __init__(self) -> None:
        self.are_fixed = False
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if "bad" in prompt and not self.are_fixed:
            raise ContextOverflow("input needs 9 tokens", needed=9, available=8)
        return f'Re: "{prompt[-12:]}",\nline two'


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def box(tmp_path: Path, answers: Answers) -> Toolbox:
    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    return Toolbox(engine=ScriptedEngine(answers), folders=folders, settings=Settings(), environ={})


def write_table(path: Path, texts: list[str], *, delimiter: str = ",") -> list[str]:
    text = io.StringIO()
    rows = [["id", "text"], *([str(i), each] for i, each in enumerate(texts))]
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue())
    return [str(path)]


def write_json(path: Path, texts: list[str]) -> list[str]:
    rows = [json.dumps({"id": i, "text": each}) for i, each in enumerate(texts)]
    path.write_text("\n".join(rows) + "\n")
    return [str(path)]


def write_lines(path: Path, texts: list[str]) -> list[str]:
    path.write_text("".join(each.replace("\n", " ") + "\n" for each in texts))
    return [str(path)]


def write_files(path: Path, texts: list[str]) -> list[str]:
    path.mkdir(exist_ok=True)
    for i, each in enumerate(texts):
        (path / str(i)).write_text(each)
    return [str(path / str(i)) for i in range(len(texts))]


SOURCES: dict[str, tuple[Format, Callable[..., list[str]], dict[str, str]]] = {
    "csv": ("csv", write_table, {}),
    "tsv": ("csv", write_table, {"delimiter": "\t"}),
    "jsonl": ("jsonl", write_json, {}),
    "line": ("line", write_lines, {}),
    "file": ("file", write_files, {}),
}


def prepare(
    box: Toolbox, kind: str, tmp_path: Path, texts: list[str] = TEXTS, **batch: Any
) -> BatchRunner[Result]:
    format, write, options = SOURCES[kind]
    paths = write(tmp_path / f"in.{kind}", texts, **options)
    generate = batch.pop("options", {"seed": 1, "max_tokens": 20})
    output = BatchOptions(
        output=tmp_path / "out", format="csv" if format == "csv" else "jsonl", **batch
    )
    return box.prepare_batch("gen", Reader(format, paths), output, options=generate)


@pytest.mark.parametrize("kind", SOURCES)
def test_only_failed_rows_are_replaced(
    box: Toolbox, answers: Answers, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "out"
    answers.are_fixed = True
    list(prepare(box, kind, tmp_path).run())
    expected = out.read_bytes()
    answers.are_fixed = False
    list(prepare(box, kind, tmp_path, overwrite=True).run())
    assert out.read_bytes() != expected
    out.chmod(0o640)

    answers.are_fixed, answers.prompts = True, []
    batch = prepare(box, kind, tmp_path, retry_failed=True)
    assert [row.record.index for row in batch.run()] == sorted(FAILED)
    assert out.read_bytes() == expected
    assert len(answers.prompts) == len(FAILED)
    assert (batch.n_resumed, batch.n_resumed_failures, batch.n_other) == (4, 0, 0)
    assert out.stat().st_mode & 0o777 == 0o640
    assert list(prepare(box, kind, tmp_path, retry_failed=True).run()) == []
    assert out.read_bytes() == expected
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_file_cut_within_a_row_is_completed(
    box: Toolbox, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # not needed without a crash
    out = tmp_path / "out"
    list(prepare(box, kind, tmp_path).run())
    failed = out.read_bytes()
    answers.are_fixed = True
    list(prepare(box, kind, tmp_path, overwrite=True).run())
    expected = out.read_bytes()
    ends = [n for n, byte in enumerate(failed) if byte == ord("\n")]
    for n in sorted({0, 1, len(failed), *ends, *(n + 1 for n in ends), *range(2, len(failed), 40)}):
        out.write_bytes(failed[:n])
        list(prepare(box, kind, tmp_path, retry_failed=True).run())
        assert out.read_bytes() == expected, f"cut after {n} bytes"


def test_stopped_retry_saves_the_rows_that_it_replaced(
    box: Toolbox, answers: Answers, tmp_path: Path
) -> None:
    list(prepare(box, "jsonl", tmp_path).run())
    before = (tmp_path / "out").read_bytes().splitlines()
    answers.are_fixed = True
    rows = prepare(box, "jsonl", tmp_path, retry_failed=True).run()
    first = next(rows)
    rows.close()
    after = (tmp_path / "out").read_bytes().splitlines()
    assert after == [*before[:2], first.line.rstrip(b"\n"), *before[3:]]
    assert len(list(prepare(box, "jsonl", tmp_path, retry_failed=True).run())) == 1
    assert b'"error"' not in (tmp_path / "out").read_bytes()


def test_rows_are_intact_if_the_copy_cannot_be_written(
    box: Toolbox, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*_: object) -> None:
        raise OSError(28, "No space left on device")

    list(prepare(box, "csv", tmp_path).run())
    before = (tmp_path / "out").read_bytes()
    answers.are_fixed = True
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match="no space left"):
        list(prepare(box, "csv", tmp_path, retry_failed=True).run())
    assert (tmp_path / "out").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out"]


def test_target_of_a_link_is_replaced(box: Toolbox, answers: Answers, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "out").symlink_to(target)
    list(prepare(box, "csv", tmp_path).run())
    answers.are_fixed = True
    list(prepare(box, "csv", tmp_path, retry_failed=True).run())
    assert (tmp_path / "out").is_symlink() and b"needs 9 tokens" not in target.read_bytes()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_options_and_failed_inputs_can_change(
    box: Toolbox, answers: Answers, tmp_path: Path, kind: str
) -> None:
    list(prepare(box, kind, tmp_path).run())
    before = (tmp_path / "out").read_bytes()
    texts = ["good 1" if text == "bad 1" else text for text in TEXTS]
    batch = prepare(
        box, kind, tmp_path, texts, retry_failed=True, options={"seed": 1, "max_tokens": 30}
    )
    outcomes = {row.record.index: str(row.outcome) for row in batch.run()}
    assert "good 1" in outcomes[2] and outcomes[4] == "input needs 9 tokens"
    assert (batch.n_other, batch.n_resumed) == (4, 4)
    assert (tmp_path / "out").read_bytes().startswith(before[: before.index(b"bad 1")])
    answers.are_fixed = True
    assert len(list(prepare(box, kind, tmp_path, texts, retry_failed=True).run())) == 1


@pytest.mark.parametrize("kind", ["csv", "jsonl", "line"])
def test_other_records_are_rejected(box: Toolbox, tmp_path: Path, kind: str) -> None:
    list(prepare(box, kind, tmp_path).run())
    before = (tmp_path / "out").read_bytes()
    for texts in (["other", *TEXTS[1:]], TEXTS[1:], TEXTS[:5]):
        with pytest.raises(UsageError, match=r"row \d was written with a different input; use"):
            list(prepare(box, kind, tmp_path, texts, retry_failed=True).run())
        assert (tmp_path / "out").read_bytes() == before


def test_limit_applies_to_failed_rows(box: Toolbox, answers: Answers, tmp_path: Path) -> None:
    list(prepare(box, "jsonl", tmp_path).run())
    answers.are_fixed = True
    batch = prepare(box, "jsonl", tmp_path, retry_failed=True, limit=3)
    assert [row.record.index for row in batch.run()] == [2]
    assert (batch.n_resumed, batch.n_resumed_failures) == (5, 1)
