"""Batches from Python: output rows, resuming, limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtool.batch.readers import Reader
from llmtool.batch.runner import BatchOptions, BatchRunner
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError, UsageError
from llmtool.tasks.results import Result
from llmtool.toolbox import Toolbox

N_RECORDS = 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [{"id": i, "text": f"record {i}" if i != 3 else ""} for i in range(N_RECORDS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def prompts() -> list[str]:
    """The prompts sent to the model, in order."""
    return []


@pytest.fixture
def box(tmp_path: Path, prompts: list[str]) -> Toolbox:
    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return f"about {prompt.strip()[-9:]}"

    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    return Toolbox(engine=ScriptedEngine(answer), folders=folders, settings=Settings(), environ={})


def read_rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_stopped_batch_is_resumed(
    box: Toolbox, source: Path, tmp_path: Path, prompts: list[str]
) -> None:
    def prepare(output: Path, *, resume: bool = False) -> BatchRunner[Result]:
        options = BatchOptions(output=output, resume=resume)
        return box.prepare_batch("gen", Reader("jsonl", [str(source)]), options)

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    list(prepare(whole).run())

    rows = prepare(out).run()
    for _ in range(5):
        next(rows)
    rows.close()
    assert len(read_rows(out)) == 5
    prompts.clear()
    batch = prepare(out, resume=True)
    indexes = [row.record.index for row in batch.run()]

    assert indexes == list(range(5, N_RECORDS))
    assert (batch.n_resumed, batch.n_resumed_failures) == (5, 1)
    assert len(prompts) == N_RECORDS - 5
    assert out.read_bytes() == whole.read_bytes()


def test_row_of_failed_record_has_the_error(box: Toolbox, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    batch = box.prepare_batch("gen", Reader("jsonl", [str(source)]), BatchOptions(output=out))
    outcomes = [row.outcome for row in batch.run()]
    assert [i for i, outcome in enumerate(outcomes) if isinstance(outcome, InputError)] == [3]
    rows = read_rows(out)
    assert rows[3]["id"] == 3 and rows[3]["exit_code"] == 14
    assert str(rows[4]["text"]).startswith("about")


def test_limit_includes_completed_rows(box: Toolbox, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    for limit, n_new in ((2, 2), (5, 3), (5, 0)):
        options = BatchOptions(output=out, resume=True, limit=limit)
        batch = box.prepare_batch("gen", Reader("jsonl", [str(source)]), options)
        assert len(list(batch.run())) == n_new
    assert len(read_rows(out)) == 5


def test_resume_rejects_other_options(box: Toolbox, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    reader = Reader("jsonl", [str(source)])
    list(box.prepare_batch("gen", reader, BatchOptions(output=out)).run())
    before = out.read_bytes()
    batch = box.prepare_batch(
        "gen",
        Reader("jsonl", [str(source)]),
        BatchOptions(output=out, resume=True),
        options={"max_tokens": 3},
    )
    with pytest.raises(UsageError, match="row 1 was written with a different template or option;"):
        list(batch.run())
    assert out.read_bytes() == before


def test_rows_are_only_returned_without_output(box: Toolbox, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,body\n1,one\n2,two\n")
    batch = box.prepare_batch(
        "gen", Reader("csv", [str(source)]), BatchOptions(format="csv"), field="body"
    )
    assert batch.header == b"id,body,text,finish_reason,seed,error,exit_code\n"
    first, second = (row.line.decode() for row in batch.run())
    assert first.startswith("1,one,about") and second.startswith("2,two,about")


@pytest.mark.parametrize("mode", ["resume", "retry_failed"])
@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ("body", "row 1 has no 'text', so another command or version wrote it"),
        ("text", "row 1 was written with a different input"),
    ],
)
def test_rows_with_other_names_of_columns_are_not_continued(
    box: Toolbox, source: Path, tmp_path: Path, mode: str, field: str, reason: str
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text(f'{{"id":0,"{field}":"record 0","reply":"Hi","key":"0"}}\n')
    before = out.read_bytes()
    reader = Reader("jsonl", [str(source)])
    batch = box.prepare_batch("gen", reader, BatchOptions(output=out, **{mode: True}))
    with pytest.raises(UsageError, match=reason):
        list(batch.run())
    assert out.read_bytes() == before
