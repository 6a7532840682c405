"""A stop loses no complete row, and `resume` processes the unfinished records before them."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmtool.batch.journal import Journal, SavedRow
from llmtool.batch.readers import Format, Reader
from llmtool.batch.runner import BatchOptions, BatchRunner, Row
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Event, Failed, Finished, Request, ScoreRequest, Scores
from llmtool.errors import Cancelled, ContextOverflow, UsageError
from llmtool.tasks.options import SummarizeOptions, TranslateOptions
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Result
from llmtool.tasks.summarize.task import prepare_summarizer
from llmtool.tasks.translate.task import prepare_translator
from llmtool.toolbox import Toolbox

TEXTS = [f"record {i}" for i in range(8)]
SOURCES: dict[Format, str] = {
    "line": "".join(f"{text}\n" for text in TEXTS),
    "jsonl": "".join(f'{{"text": "{text}"}}\n' for text in TEXTS),
    "csv": "text\n" + "".join(f"{text}\n" for text in TEXTS),
}
BEHIND = [False, False, True, False, True, True, False, False]  # finished when the batch stops


class StoppedEngine(ScriptedEngine):
    """Runs all requests at once; while `stops`, it finishes those of `finishes`, then stops."""

    stops = True
    finishes = frozenset(text for text, is_behind in zip(TEXTS, BEHIND, strict=True) if is_behind)

    def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
        return self._run(requests, super().stream)

    def score(self, requests: Iterable[ScoreRequest | Failed | None]) -> Iterator[Scores | Failed]:
        return self._run(requests, super().score)

    def _run(self, requests: Iterable[Any], serve: Any) -> Iterator[Any]:
        if not self.stops:
            yield from serve(requests)
            return
        n_stopped = 0
        for request in requests:
            is_request = not (request is None or isinstance(request, Failed))
            text = request.prompt.input_text if is_request else ""
            is_stopped = "record" in text and not any(each in text for each in self.finishes)
            n_stopped += is_stopped
            for event in serve([request]):
                if not (is_stopped and isinstance(event, (Finished, Scores))):
                    yield event
            if f"record {len(TEXTS) - 1}" in text or (request is None and n_stopped):
                break
        if n_stopped:
            raise Cancelled("cancelled", reason=signal.SIGINT)


@pytest.fixture
def engine() -> StoppedEngine:
    return StoppedEngine(lambda prompt: f"about {prompt.strip()[-12:]}")


@pytest.fixture
def box(tmp_path: Path, engine: ScriptedEngine) -> Toolbox:
    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={})


def prepare(
    box: Toolbox,
    tmp_path: Path,
    format: Format,
    template: str = "gen",
    *,
    seed: int = 1,
    **batch: Any,
) -> BatchRunner[Result]:
    source = tmp_path / f"in.{format}"
    source.write_text(SOURCES[format])
    options = {"output": tmp_path / "out", "format": "csv" if format == "csv" else "jsonl"}
    output = BatchOptions(**(options | batch))
    return box.prepare_batch(
        template, Reader(format, [str(source)]), output, options={"seed": seed}
    )


def run_until_stop(batch: BatchRunner[Result]) -> list[Row[Result]]:
    rows = []
    with pytest.raises(Cancelled):
        for row in batch.run():
            rows.append(row)  # noqa: PERF402 (the rows before the error)
    return rows


@pytest.mark.parametrize("format", SOURCES)
@pytest.mark.parametrize("option", ["resume", "retry_failed"])
def test_stop_keeps_complete_rows_and_resume_gives_the_whole_file(
    box: Toolbox, engine: StoppedEngine, tmp_path: Path, format: Format, option: str
) -> None:
    out = tmp_path / "out"
    engine.stops = False
    list(prepare(box, tmp_path, format).run())
    whole = out.read_bytes()

    engine.stops = True
    rows = run_until_stop(prepare(box, tmp_path, format, overwrite=True))
    written = [isinstance(row.outcome, Cancelled) for row in rows]
    assert written == [True, True, False, True, False, False]
    saved = read(out, format)
    assert [row.is_unfinished for row in saved] == written
    assert [row.data for row in saved] == [row.line for row in rows]
    assert {row.values["error"] for row in saved if row.is_unfinished} == {"interrupted"}

    engine.stops, engine.prompts[:] = False, []
    batch = prepare(box, tmp_path, format, **{option: True})
    assert [row.record.index for row in batch.run()] == [0, 1, 3, 6, 7]
    assert batch.n_resumed == 3 and len(engine.prompts) == 5
    assert out.read_bytes() == whole


def read(path: Path, format: Format) -> list[SavedRow]:
    is_csv = format == "csv"
    header = path.read_bytes().splitlines(keepends=True)[0] if is_csv else b""
    journal = Journal(path, "csv" if is_csv else "jsonl", header=header, resume=True)
    with closing(journal):
        return list(journal.rows())


def test_rows_are_returned_without_a_file(box: Toolbox, tmp_path: Path) -> None:
    rows = run_until_stop(prepare(box, tmp_path, "jsonl", output=None))
    assert [row.record.index for row in rows] == list(range(6))


@pytest.mark.parametrize("template", ["gen", "sentiment"])
def test_every_template_keeps_complete_rows(box: Toolbox, tmp_path: Path, template: str) -> None:
    rows = run_until_stop(prepare(box, tmp_path, "jsonl", template))
    assert [not isinstance(row.outcome, Cancelled) for row in rows] == BEHIND[:6]


@pytest.mark.parametrize("task", ["summarize", "translate"])
def test_workflows_yield_complete_results_before_the_stop(box: Toolbox, task: str) -> None:
    context = box.context
    prepared = (
        prepare_summarizer(context, SummarizeOptions(strategy="stuff"))
        if task == "summarize"
        else prepare_translator(context, "fr", TranslateOptions())
    )
    cases = [Case(id=i, variables={"text": text}) for i, text in enumerate(TEXTS)]
    found: list[object] = []
    with pytest.raises(Cancelled):
        for outcome in prepared.outcomes(context.engine, cases):
            found.append(outcome)  # noqa: PERF402 (the outcomes before the error)
    assert [not isinstance(outcome, Failed) for outcome in found] == BEHIND


def test_second_stop_leaves_the_unfinished_rows(
    box: Toolbox, engine: StoppedEngine, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_until_stop(prepare(box, tmp_path, "jsonl"))
    before = out.read_bytes()
    engine.finishes = frozenset()
    assert run_until_stop(prepare(box, tmp_path, "jsonl", resume=True)) == []
    assert out.read_bytes() == before
    engine.stops = False
    list(prepare(box, tmp_path, "jsonl", resume=True).run())
    assert not any(row.has_failed for row in read(out, "jsonl"))


def test_unfinished_row_with_other_options_is_not_resumed(
    box: Toolbox, engine: StoppedEngine, tmp_path: Path
) -> None:
    run_until_stop(prepare(box, tmp_path, "jsonl"))
    engine.stops = False
    other = prepare(box, tmp_path, "jsonl", seed=2, resume=True)
    with pytest.raises(UsageError, match="row 1 was written with a different seed"):
        list(other.run())


def test_failed_rows_stay_failed_on_resume(
    box: Toolbox, engine: StoppedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(prompt: str) -> str:
        raise ContextOverflow("input needs 9 tokens", needed=9, available=8)

    engine.stops = False
    monkeypatch.setattr(engine, "_replies", fail)
    list(prepare(box, tmp_path, "jsonl").run())
    batch = prepare(box, tmp_path, "jsonl", resume=True)
    assert list(batch.run()) == [] and batch.n_resumed_failures == len(TEXTS)
