"""Batches through the command: order of rows, error rows, resuming."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line, linux, read_exactly

from llmtool.batch.readers import Record
from llmtool.cancellation import Cancellation
from llmtool.cli import batch as batches
from llmtool.cli.options import groups as g
from llmtool.cli.render.batch import Tally
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Input
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Event, Failed, Request, StreamProgress, Token
from llmtool.errors import Cancelled, ContextOverflow, RecordsFailed, UsageError
from llmtool.local_model import ReadyModel
from llmtool.tasks.options import GenerateOptions, SamplingOptions
from llmtool.tasks.pipeline.prepare import prepare
from llmtool.tasks.pipeline.records import RecordMapping
from llmtool.toolbox import Toolbox

ROWS = [
    {"id": i, "text": f"record {i}" if i % 7 else "", **({} if i % 10 else {"more": {"k": [i]}})}
    for i in range(50)
]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def answer(prompt: str) -> str:
    """Reply with quotes, line ends and commas; some records fail."""
    if "record 5" in prompt:
        reason = "input needs 9 tokens, but the context holds 8"
        raise ContextOverflow(reason, needed=9, available=8)
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:4]
    return f'"{digest}",\n{digest[0]}é'


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    folders = Folders(
        config=tmp_path / "config",
        data=tmp_path / "data",
        cache=tmp_path / "cache",
        hub_cache=tmp_path / "hub",
    )
    return Toolbox(engine=ScriptedEngine(answer), folders=folders, settings=Settings(), environ={})


def run(
    box: Toolbox,
    each: str,
    source: Path,
    out: Path | None,
    *,
    seed: int | None = 1,
    template: Path | str = "gen",
    console: Console | None = None,
    **batch: Any,
) -> int:
    """Run a batch of `gen` in this process; return the number of failed records."""
    console = console or Console(Interrupts())
    path = None if out is None else str(out)
    output = g.OutputOptions(path=path, overwrite=batch.pop("overwrite", False))
    prompt = batch.pop("prompt", "Say")
    group = g.BatchOptions(each=each, **batch)
    opened = batches.open_batch(console, group, Input(files=[str(source)]), output)
    prepared = prepare(
        box.context,
        GenerateOptions(template=str(template), sampling=SamplingOptions(seed=seed, max_tokens=50)),
    )
    mapping = RecordMapping(template=prepared.template, field=group.field, prompt=prompt)
    try:
        batches.run(console, box.context, prepared, mapping, opened, seed=seed)
    except RecordsFailed as exc:
        return int(str(exc).split()[0])
    return 0


@pytest.mark.parametrize("each", ["jsonl", "csv"])
def test_resume_after_truncation_gives_the_same_file(
    box: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # not needed without a crash
    source, whole, cut = tmp_path / "in", tmp_path / "whole", tmp_path / "cut"
    rows = ROWS[4:8]
    if each == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        text = io.StringIO()
        csv.writer(text).writerows([["id", "text"], *([r["id"], r["text"]] for r in rows)])
        source.write_text(text.getvalue())
    assert run(box, each, source, whole) == 2  # one empty, one too long
    expected = whole.read_bytes()
    assert expected.count(b"\n") >= 4
    ends = {n + i for n, byte in enumerate(expected) if byte in b"\r\n" for i in range(3)}
    for n in sorted(ends | {*range(0, len(expected) + 1, 5)}):
        cut.write_bytes(expected[:n])
        run(box, each, source, cut, resume=True)
        assert cut.read_bytes() == expected, f"cut after {n} bytes"


class StatusConsole(Console):
    """A console that records what it shows as a status."""

    def __init__(self) -> None:
        super().__init__(Interrupts())
        self.shown: list[str] = []

    def status(self, text: str, *, is_last: bool = False) -> None:
        self.shown.append(text)

    @contextmanager
    def live_status(self, describe: Callable[[], str]) -> Iterator[None]:
        self.describe = describe
        yield


def test_status_is_shown_before_the_first_row(
    box: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = StatusConsole()
    shown: list[str] = []
    engine = ScriptedEngine(lambda prompt: shown.append(console.describe()) or "fine")
    monkeypatch.setattr(box.context, "model", ReadyModel(engine=engine))
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    run(box, "line", tmp_path / "in.txt", tmp_path / "out.txt", console=console)
    assert shown[0] == "0 records"
    assert console.shown[-1] == ""


class CountingEngine(ScriptedEngine):
    """A scripted engine in the middle of a stream."""

    progress = StreamProgress(n_replies=1, running=((10, 20),), step_seconds=1.0, n_parallel=1)


class ReadingEngine(ScriptedEngine):
    """A scripted engine that reads the prompts of a stream."""

    progress = StreamProgress(n_requests=2, n_read=512, n_unread=256, read_seconds=2.0)


def test_status_shows_that_prompts_are_read_before_the_first_token(
    box: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def reply(prompt: str) -> str:
        shown.append(console.describe())
        return "fine"

    console = StatusConsole()
    monkeypatch.setattr(box.context, "model", ReadyModel(engine=ReadingEngine(reply)))
    (tmp_path / "in.txt").write_text("one\n")
    run(box, "line", tmp_path / "in.txt", tmp_path / "out.txt", console=console)
    reading = "reading the prompts: 512 of 768 tokens, 256 tok/s, 0:01 to read"
    assert shown == [f"0 records, {reading}"]


def test_status_shows_tokens_and_time_left_before_the_first_row(
    box: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def reply(prompt: str) -> str:
        shown.append(console.describe())
        return "fine"

    console = StatusConsole()
    monkeypatch.setattr(box.context, "model", ReadyModel(engine=CountingEngine(reply)))
    (tmp_path / "in.txt").write_text("one\n" * 2)
    run(box, "line", tmp_path / "in.txt", tmp_path / "out.txt", console=console)
    assert shown[0] == "0 records, 10 tokens, up to about 0:30 left"
    assert console.shown[-2] == "2 records"


@pytest.mark.parametrize(
    ("batch", "note"),
    [
        ({"each": "jsonl"}, "1 row saved in {out}; --resume continues"),
        ({"each": "line", "jsonl": True}, "1 row saved in {out}; --resume continues"),
        ({"each": "line"}, "1 row saved in {out}; plain text cannot be resumed, --jsonl can"),
    ],
    ids=["jsonl", "lines as JSON", "lines"],
)
def test_interrupted_batch_reports_how_to_continue(
    box: Toolbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    batch: dict[str, Any],
    note: str,
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text('"one"\n"two"\n')
    count = Tally.count

    def interrupted(self: Tally, record: Record, outcome: Any) -> None:
        count(self, record, outcome)
        raise Cancelled("stopped by a signal", reason=signal.SIGINT)

    monkeypatch.setattr(Tally, "count", interrupted)
    with pytest.raises(Cancelled):
        run(box, batch["each"], source, out, jsonl=batch.get("jsonl", False))
    assert note.format(out=out) in capfd.readouterr().err


def test_interrupted_batch_prints_complete_rows(
    box: Toolbox, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedEngine(ScriptedEngine):
        def stream(self, requests: Iterable[Request | Failed | None]) -> Iterator[Event]:
            for event in super().stream(list(itertools.islice(requests, 3))):
                if event.id != 0 or isinstance(event, Token):
                    yield event
            console.interrupts.receive(signal.SIGINT)
            self.cancellation.check()

    cancellation = Cancellation()
    console = Console(Interrupts())
    console.interrupts.attach(cancellation)
    engine = StoppedEngine("fine", cancellation=cancellation)
    monkeypatch.setattr(box.context, "model", ReadyModel(engine=engine))
    (tmp_path / "in").write_text("one\ntwo\nthree\nfour\n")
    with pytest.raises(Cancelled):
        run(box, "line", tmp_path / "in", None, console=console)
    printed = capfd.readouterr()
    assert printed.out == "\nfine\nfine\n"
    assert printed.err == (
        "llmtool: stopped after 2 rows, and an empty line for 1 unfinished record; "
        "a batch with --jsonl -o FILE can be resumed\n"
    )


def test_plain_progress_ends_with_the_number_of_records(
    box: Toolbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    console = Console(Interrupts())
    console.configure(progress="plain")
    (tmp_path / "in").write_text("one\ntwo\n")
    run(box, "line", tmp_path / "in", tmp_path / "out", console=console)
    assert capfd.readouterr().err == "llmtool: 2 records\n"


def test_rows_contain_input_and_result(box: Toolbox, tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(
        JSONL + b'{"broken\n{"body": "last", "text": "theirs", "input_text": "same"}\n'
    )
    run(box, "jsonl", source, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 52
    for given, row in zip(ROWS, rows, strict=False):
        assert row["input_text"] == given["text"]
        assert (row["id"], row.get("more")) == (given["id"], given.get("more"))
    assert rows[0]["error"].endswith("the text is empty") and rows[0]["exit_code"] == 14
    assert (rows[5]["error"], rows[5]["exit_code"]) == (
        "input needs 9 tokens, but the context holds 8",
        13,
    )
    assert rows[1]["text"] == answer('user: Say\n\n"""\nrecord 1\n"""\n'.rstrip("\n"))
    assert "error" not in rows[1]
    assert rows[50]["exit_code"] == 14 and rows[50]["input"] == '{"broken'
    assert (rows[51]["input_text"], rows[51]["input_input_text"]) == ("theirs", "same")


def test_record_seeds_do_not_depend_on_position(box: Toolbox, tmp_path: Path) -> None:
    def seeds(content: str, **options: Any) -> dict[str, int]:
        source, out = tmp_path / "in", tmp_path / "out"
        source.write_text(content)
        run(box, "line", source, out, jsonl=True, overwrite=True, **options)
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        return {row["input"]: row["seed"] for row in rows}

    once = seeds("a\nb\nc\n")
    assert once == seeds("c\nb\na\n")
    assert len(set(once.values())) == 3
    assert once != seeds("a\nb\nc\n", seed=2)


# A change, and what the error says has changed.
CHANGES = {
    "input": "input",
    "shorter": "input",
    "model": "model",
    "seed": "seed",
    "prompt": "prompt",
    "format": "input and header or format",
    "template": "template or option",
}


@pytest.mark.parametrize("change", CHANGES)
def test_resume_rejects_changed_options(tmp_path: Path, box: Toolbox, change: str) -> None:
    source, out, template = tmp_path / "in", tmp_path / "out", tmp_path / "own.yaml"
    source.write_text("a\nb\nc\n")
    template.write_text(
        "llmtool: 1\nname: own\ninputs: {prompt: {type: text}, input: {type: text}}\n"
        "prompt: '{{ prompt }}: {{ input }}'\n"
    )
    run(box, "line", source, out, jsonl=True, template=template)
    out.write_text("".join(out.read_text().splitlines(keepends=True)[:2]))
    before = out.read_bytes()
    if change == "input":
        source.write_text("a\nB\nc\n")
    if change == "shorter":
        source.write_text("a\n")
    if change == "template":
        template.write_text(template.read_text().replace("}}: {{", "}} - {{"))
    other = Toolbox("other", engine=ScriptedEngine(answer), folders=box.context.folders, environ={})
    with pytest.raises(
        UsageError, match=f"row [12] was written with a different {CHANGES[change]};"
    ):
        run(
            other if change == "model" else box,
            "file" if change == "format" else "line",
            source,
            out,
            jsonl=True,
            resume=True,
            template=template,
            seed=2 if change == "seed" else 1,
            prompt="Shout" if change == "prompt" else "Say",
        )
    assert out.read_bytes() == before


def test_resume_accepts_unrelated_changes(tmp_path: Path, box: Toolbox) -> None:
    source, out, template = tmp_path / "in", tmp_path / "out", tmp_path / "own.yaml"
    source.write_text("a\nb\nc\n")
    template.write_text(
        "llmtool: 1\nname: own\ninputs: {input: {type: text}}\nprompt: 'Say {{ input }}'\n"
    )
    run(box, "line", source, out, jsonl=True, template=template, prompt=None)
    whole = out.read_bytes()
    out.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    run(box, "line", source, out, jsonl=True, template=template, prompt=None, resume=True)
    assert out.read_bytes() == whole


def test_resume_rejects_changed_columns(tmp_path: Path, box: Toolbox) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text("text,note\na,b\n")
    run(box, "csv", source, out, jsonl=True)
    source.write_text("note,text\na,b\nc,d\n")
    with pytest.raises(UsageError, match="row 1 was written with a different header or format"):
        run(box, "csv", source, out, jsonl=True, resume=True)


def test_resume_reports_earlier_failures(tmp_path: Path, box: Toolbox) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b'{"text": ""}\n"fine"\n')
    assert run(box, "jsonl", source, out, limit=1) == 1
    assert run(box, "jsonl", source, out, resume=True) == 1
    assert out.read_bytes().count(b"\n") == 2


def test_retry_failed_reports_the_rows_that_still_fail(
    tmp_path: Path, box: Toolbox, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b'{"text": ""}\n"fine"\n{"text": ""}\n')
    assert run(box, "jsonl", source, out) == 2
    source.write_bytes(b'{"text": "now"}\n"fine"\n{"text": ""}\n')
    assert run(box, "jsonl", source, out, retry_failed=True, prompt="Write") == 1
    assert "1 row unchanged, although template, model or options differ" in capfd.readouterr().err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [bool(row.get("error")) for row in rows] == [False, False, True]
    source.write_bytes(b'{"text": "now"}\n"fine"\n{"text": "too"}\n')
    assert run(box, "jsonl", source, out, retry_failed=True) == 0
    assert run(box, "jsonl", source, out, retry_failed=True) == 0
    assert f"no failed records in {out}" in capfd.readouterr().err


def test_reproducible_rows_do_not_depend_on_the_other_records(
    run_llmtool: Callable[..., Any], tiny: Path
) -> None:
    def rows(*texts: str) -> dict[str, Any]:
        args = ("classify", "-m", tiny, "-l", "late,early", "--each", "line", "--json", "-q")
        done = run_llmtool(*args, "--reproducible", input="\n".join(texts).encode())
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["input"]: row["result"]["logprobs"] for row in found}

    whole = rows("parcel", "the parcel is late again and again", "a")
    assert len(whole) == 3
    assert rows("a", "parcel") == {text: whole[text] for text in ("a", "parcel")}


def test_input_file_cannot_be_the_output_file(tmp_path: Path, box: Toolbox) -> None:
    source, link = tmp_path / "in", tmp_path / "link"
    source.write_text('"a"\n')
    link.symlink_to(source)
    for out in (source, link):
        with pytest.raises(UsageError, match="is also an input"):
            run(box, "jsonl", source, out, overwrite=True)
    assert source.read_text() == '"a"\n'


def test_resume_accepts_appended_input(tmp_path: Path, box: Toolbox) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text("a\nb\n")
    run(box, "line", source, out, jsonl=True)
    before = out.read_bytes()
    source.write_text("a\nb\nc\n")
    run(box, "line", source, out, jsonl=True, resume=True)
    assert out.read_bytes().startswith(before)
    assert out.read_bytes().count(b"\n") == 3


def test_limit_includes_completed_records(tmp_path: Path, box: Toolbox) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text("a\nb\nc\nd\n")
    run(box, "line", source, out, jsonl=True, limit=2)
    assert out.read_bytes().count(b"\n") == 2
    run(box, "line", source, out, jsonl=True, limit=3, resume=True)
    assert out.read_bytes().count(b"\n") == 3


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_records(tmp_path: Path, box: Toolbox) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    box.context.model = ReadyModel(engine=ScriptedEngine("fine"))
    with source.open("w") as file:
        file.writelines(f"record {i}\n" for i in range(100_000))
    run(box, "line", source, tmp_path / "first", jsonl=True, limit=2_000)
    box.context.model = ReadyModel(engine=Forgetful("fine"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(box, "line", source, out, jsonl=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    with out.open() as file:
        assert sum(1 for _ in file) == 100_000
    assert grown < 24_000  # KiB; the records alone would take more than 100 MB


class Forgetful(ScriptedEngine):
    """A scripted engine that does not record its requests."""

    @property
    def prompts(self) -> list[str]:
        return []

    @prompts.setter
    def prompts(self, value: list[str]) -> None:
        pass


# The command with the tiny model.


@pytest.fixture
def batch(gen: Callable[..., Any]) -> Callable[..., Any]:
    return partial(gen, "--seed", "1", "--each")


def test_line_input_gives_line_output(batch: Callable[..., Any]) -> None:
    done = batch("line", input=b"hello\n\nthere\n")
    assert done.returncode == 0
    assert done.stdout.count(b"\n") == 2
    assert b"1 blank line skipped" in done.stderr
    alone = batch("line", input=b"there\n")
    assert done.stdout.splitlines()[1] == alone.stdout.splitlines()[0]


def test_csv_input_gives_csv_output(batch: Callable[..., Any]) -> None:
    done = batch("csv", "--field", "q", input=b'id,q\n1,"hello, you"\n2,\n')
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert done.returncode == 3
    assert list(rows[0]) == ["id", "q", "text", "finish_reason", "seed", "error", "exit_code"]
    assert (rows[0]["id"], rows[0]["q"], rows[0]["error"]) == ("1", "hello, you", "")
    assert rows[0]["text"]
    assert rows[1]["error"] == "standard input, line 3: the text is empty"
    assert done.stderr.endswith(
        b"llmtool: 1 of 2 records failed; "
        b"first failure: standard input, line 3: the text is empty\n"
    )


def test_each_file_makes_one_record(batch: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    names = f"{tmp_path}/a.txt\0{tmp_path}/none.txt\0".encode()
    done = batch("file", "-q", input=names)
    good, bad = map(json.loads, done.stdout.splitlines())
    assert good["file"].endswith("a.txt") and good["text"]
    assert bad["file"].endswith("none.txt") and bad["exit_code"] == 14


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--resume", "--each", "line"], "--resume needs an output file; add -o FILE"),
        (["--limit", "3"], "--limit needs a batch"),
        (["--retry-failed"], "--retry-failed needs a batch"),
        (["--csv-safe"], "--csv-safe needs a batch"),
        (["--csv-safe", "--each", "csv", "--json"], "--csv-safe needs CSV output"),
        (["--csv-safe", "--each", "line"], "--csv-safe needs CSV output"),
        (
            ["--reproducible", "--parallel", "4", "--each", "line"],
            "--parallel and --reproducible cannot be combined",
        ),
        (["--retry-failed", "--each", "line"], "--retry-failed needs an output file; add -o FILE"),
        (
            ["--each", "line", "-o", "x", "--retry-failed"],
            "--retry-failed cannot resume plain text output; add --jsonl",
        ),
        (
            ["--each", "csv", "-o", "x", "--retry-failed", "--overwrite"],
            "--retry-failed and --overwrite cannot be combined; use one of them",
        ),
        (["--field", "x"], "--field needs a batch"),
        (["--each", "line", "--no-stdin"], "no input"),
        (["--each", "lines"], "line"),
        (["--each", "line", "-o", "x", "--resume"], "cannot resume plain text output; add --jsonl"),
        (["--each", "csv", "--field", "nope"], "unknown column 'nope'; columns: a, b"),
        (["--each", "csv"], "several columns could be the text; choose one with --field: a, b"),
    ],
)
def test_invalid_option_combinations_are_usage_errors(
    gen: Callable[..., Any], args: list[str], reason: str
) -> None:
    assert reason in error_line(gen(*args, input=b"a,b\n1,2\n"), 2)


@pytest.mark.parametrize("command", [("gen",), ("run", "gen")], ids=["gen", "run"])
def test_samples_need_structured_rows(
    run_llmtool: Callable[..., Any], command: tuple[str, ...]
) -> None:
    args = (*command, "-m", "nothere", "--each", "line", "-n", "2")
    line = error_line(run_llmtool(*args, input=b"a\n"), 2)
    assert line == "llmtool: -n 2: plain text output has one reply per record; add --jsonl"
    error_line(run_llmtool(*args, "--jsonl", input=b"a\n"), 10)  # only the model is missing


def test_missing_column_fails_before_the_model_is_found(
    run_llmtool: Callable[..., Any],
) -> None:
    args = ("gen", "Say", "--each", "csv", "--field", "nope", "-m", "none.gguf")
    assert "unknown column 'nope'" in error_line(run_llmtool(*args, input=b"a,b\n1,2\n"), 2)


def test_delimiter_is_detected_and_reported(batch: Callable[..., Any]) -> None:
    done = batch("csv", "--field", "a", input=b"a;b\n1, 2;3\n")
    assert done.returncode == 0
    header, row = csv.reader(io.StringIO(done.stdout.decode()), delimiter=";")
    assert (header[:3], row[:2]) == (["a", "b", "text"], ["1, 2", "3"])
    assert b"llmtool: columns are separated by ';'; --delimiter sets another\n" in done.stderr


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--each", "csv", "--delimiter", "ab"), "delimiter 'ab': must be one ASCII character"),
        (("--each", "jsonl", "--delimiter", ";"), "--delimiter needs a table; add --each csv"),
        (("--delimiter", ";"), "--delimiter needs a batch"),
    ],
)
def test_invalid_delimiter_is_a_usage_error(
    run_llmtool: Callable[..., Any], args: tuple[str, ...], reason: str
) -> None:
    assert reason in error_line(run_llmtool("gen", "Say", *args, input=b"a;b\n1;2\n"), 2)


def test_header_with_empty_and_repeated_names_is_passed_through(
    batch: Callable[..., Any], tmp_path: Path
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(",text,note,note,label,\n0,hello,b,c,x,\n1,there,d,e,y,\n")
    done = batch("csv", "-f", source, "-o", out)
    assert done.returncode == 0
    header, *rows = csv.reader(io.StringIO(out.read_bytes().decode(), newline=""))
    assert header[:7] == ["", "input_text", "note", "note", "label", "", "text"]
    assert [row[:6] for row in rows] == [
        ["0", "hello", "b", "c", "x", ""],
        ["1", "there", "d", "e", "y", ""],
    ]
    whole = out.read_bytes()
    out.write_bytes(whole[: whole.rindex(b"1,there") + 9])
    assert batch("csv", "-f", source, "-o", out, "--resume").returncode == 0
    assert out.read_bytes() == whole


def test_column_is_chosen_by_position(batch: Callable[..., Any]) -> None:
    content = b"note,note\n,hello\n"
    line = error_line(batch("csv", "--field", "note", input=content), 2)
    assert line == "llmtool: 2 columns are named 'note'; pass a column number: 1 or 2"
    assert batch("csv", "--field", "2", input=content).returncode == 0
    line = error_line(batch("csv", input=b"text,text\na,b\n"), 2)
    assert line == "llmtool: 2 columns are named 'text'; pass a column number: 1 or 2"


def test_index_without_a_name_is_not_the_text(batch: Callable[..., Any]) -> None:
    done = batch("csv", "--dry-run", input=b",review\n0,lovely\n")
    assert done.returncode == 0 and b"lovely" in done.stdout


@pytest.mark.parametrize(
    "args",
    [("gen", "Say"), ("classify", "-l", "a,b"), ("sum",), ("translate", "--to", "fr"), ("code",)],
    ids=lambda args: args[0],
)
@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (b"id;text\n1;one, two\n2;three\n", "id, text"),
        (b",text,note,note\n0,a,b,c\n", "(column 1), text, note, note"),
        (b"id|text\n1|I love it\n", "id, text"),
    ],
    ids=["semicolon", "index", "pipe"],
)
def test_table_read_as_text_is_reported(
    run_llmtool: Callable[..., Any], args: tuple[str, ...], table: bytes, columns: str
) -> None:
    done = run_llmtool(*args, "-m", "none.gguf", input=table)
    expected = (
        "llmtool: standard input looks like a table, but is read as one text; --each csv "
        f"--field NAME reads its rows (columns: {columns})"
    )
    assert expected in done.stderr.decode().splitlines()


def test_table_read_as_lines_is_reported(batch: Callable[..., Any], tmp_path: Path) -> None:
    done = batch("line", input=b"id,text\n1,hello\n")
    assert b"standard input looks like a table, but is read as lines; --each csv" in done.stderr
    (tmp_path / "in.csv").write_text("text\nOne, two.\nNo.\n")
    done = batch("line", "-f", tmp_path / "in.csv")
    assert b"in.csv looks like a table, but is read as lines" in done.stderr
    done = batch("file", "-f", tmp_path / "in.csv")
    assert b"in.csv looks like a table, but is read as one text" in done.stderr
    assert b"table" not in batch("line", input=b"Yes, it is.\nNo, not.\n").stderr


@pytest.mark.parametrize(
    ("args", "content"),
    [
        (("--each", "csv", "--encoding", "latin-1"), "text\ncafé\n".encode("latin-1")),
        (("--each", "line", "--encoding", "cp1252"), "café\n".encode("cp1252")),
        (("--each", "jsonl", "--encoding", "latin-1"), '{"text": "café"}\n'.encode("latin-1")),
        (("--each", "line"), "café\n".encode("utf-16")),
        (("--each", "csv"), "text\ncafé\n".encode("utf-16-le")),
        (("--encoding", "latin-1"), "café".encode("latin-1")),
        ((), "café".encode("utf-16")),
    ],
)
def test_input_is_decoded(gen: Callable[..., Any], args: tuple[str, ...], content: bytes) -> None:
    done = gen(*args, "--dry-run", input=content)
    assert "café" in done.stdout.decode()
    assert done.returncode == 0


@pytest.mark.parametrize("args", [(), ("--each", "csv")])
def test_unknown_encoding_is_a_usage_error(
    run_llmtool: Callable[..., Any], args: tuple[str, ...]
) -> None:
    done = run_llmtool("gen", "Say", *args, "--encoding", "klingon", input=b"a\nb\n")
    assert "unknown encoding 'klingon'; use utf-8, utf-16, latin-1" in error_line(done, 2)


def test_existing_output_is_not_overwritten(batch: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("precious\n")
    assert "already exists" in error_line(batch("jsonl", "-o", out, input=b'"a"\n'), 2)
    assert "not the output of a batch" in error_line(
        batch("jsonl", "-o", out, "--resume", input=b'"a"\n'), 2
    )
    assert out.read_text() == "precious\n"


BATCHES: dict[str, tuple[str, ...]] = {
    "gen": ("gen", "Say", "--jsonl"),
    "run": ("run", "gen", "--jsonl"),
    "classify": ("classify", "-l", "a,b", "--jsonl"),
    "sum": ("sum", "--jsonl"),
    "translate": ("translate", "--to", "fr", "--jsonl"),
    "code": ("code", "-l", "python", "--jsonl"),
    "lines": ("gen", "Say"),
}


@pytest.mark.parametrize(
    ("name", "each"),
    [
        ("gen", "csv"),
        ("gen", "jsonl"),
        ("classify", "jsonl"),
        ("sum", "csv"),
        ("translate", "jsonl"),
        ("code", "csv"),
    ],
)
def test_every_task_reads_tables_and_nested_json_and_resumes(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path, name: str, each: str
) -> None:
    if each == "csv":
        content = 'id;text\n1;"one, two;\nthree"\n2;four\n'.encode("utf-16")
        field = "text"
    else:
        records = [{"id": 1.5, "data": {"text": "one, two"}}, {"id": 2, "data": {"text": "four"}}]
        content, field = json.dumps(records).encode(), "data.text"
    out = tmp_path / "out"
    reply = ("--max-tokens", "6", "--seed", "1") if name != "classify" else ()
    command = [arg for arg in BATCHES[name] if arg != "--jsonl"]
    command += ["--each", each, "--field", field, "-m", tiny, "-o", out, *reply]
    run_llmtool(*command, input=content)
    whole = out.read_bytes()
    if each == "csv":
        lines = io.StringIO(whole.decode(), newline="")
        n_rows = len(list(csv.reader(lines, delimiter=";"))) - 1
    else:
        n_rows = whole.count(b"\n")
    assert n_rows == 2
    assert whole.startswith(
        b"id;%stext;" % (b"" if name == "classify" else b"input_")
        if each == "csv"
        else b'{"id":1.5,"data":{"text": "one'
    )
    out.write_bytes(whole[: whole.index(b"four")])
    run_llmtool(*command, "--resume", input=content)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("args", BATCHES.values(), ids=BATCHES)
def test_existing_output_fails_before_the_model_is_found(
    run_llmtool: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    out.write_text("precious\n")
    command = (*args, "--each", "line", "-m", "none.gguf", "-o", out)
    line = error_line(run_llmtool(*command, input=b"a\n"), 2)
    resume = "" if args == BATCHES["lines"] else "--resume to continue it or "
    assert line == f"llmtool: {out} already exists; use {resume}--overwrite to replace it"
    with out.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for way in ((), ("--overwrite",)):
            line = error_line(run_llmtool(*command, *way, input=b"a\n"), 18)
            assert line == f"llmtool: another process is writing {out}; wait until it ends"
    error_line(run_llmtool(*command, "--dry-run", input=b"a\n"), 10)
    assert out.read_text() == "precious\n"


def test_empty_input_prints_only_a_note(batch: Callable[..., Any], cwd: Path) -> None:
    done = batch("line", input=b"")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no records in the input" in done.stderr
    for k in (1, 2):
        done = batch("line", "--shard", f"{k}/2", "-o", f"{k}.csv", input=b"a\n")
        is_empty = len((cwd / f"{k}.csv").read_text().splitlines()) == 1
        assert (f"no records in shard {k}/2" in done.stderr.decode()) is is_empty


def test_every_row_is_valid_under_the_schema(batch: Callable[..., Any]) -> None:
    done = batch("line", "--jsonl", "--schema", "ok bool", "--max-tokens", "60", input=b"a\nb\n")
    for row in map(json.loads, done.stdout.splitlines()):
        assert isinstance(row["value"]["ok"], bool) or row["exit_code"] == 17


def test_records_are_answered_as_they_arrive(start_llmtool: Callable[..., Any], tiny: Path) -> None:
    process = start_llmtool("gen", "--each", "line", "--jsonl", "-m", tiny, "--max-tokens", "3")
    for text in (b"one", b"two", b"three"):
        process.stdin.write(text + b"\n")
        process.stdin.flush()
        line = b""
        while not line.endswith(b"\n"):
            line += read_exactly(process.stdout.fileno(), 1)
        assert json.loads(line)["input"] == text.decode()
    process.stdin.close()
    assert process.wait(30) == 0


def test_closed_pipe_ends_the_batch_silently(env: dict[str, str], tiny: Path) -> None:
    command = " ".join(map(str, [*LLMTOOL, "gen", "--each line --jsonl --max-tokens 3 -m", tiny]))
    script = f"(while :; do echo hello; done) | {command} | head -1; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, timeout=60)
    first, status = done.stdout.splitlines()
    assert json.loads(first)["input"] == "hello"
    assert (status, done.stderr) == (b"141", b"")


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@linux
def test_resume_after_an_interrupt_gives_the_same_file(
    start_llmtool: Callable[..., Any], run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    source, whole = tmp_path / "in", tmp_path / "whole.jsonl"
    source.write_text("".join(f"record {i}\n" for i in range(400)))
    common = ["gen", "--each", "line", "--jsonl", "-f", source, "--seed", "3", "-m", tiny]
    common += ["--max-tokens", "4", "--temperature", "0", "--parallel", "1", "--threads", "1"]
    assert run_llmtool(*common, "-o", whole).returncode == 0
    for stop in (signal.SIGINT, signal.SIGKILL):
        out = tmp_path / f"{stop}.jsonl"
        started = start_llmtool(*common, "-o", out, stdin=subprocess.DEVNULL)
        limit = time.monotonic() + 30
        while lines_of(out) < 20 and time.monotonic() < limit:
            time.sleep(0.01)
        started.send_signal(stop)
        assert started.wait(30) == -stop
        assert 20 <= lines_of(out) < 400
        if stop == signal.SIGINT:
            assert b"--resume continues" in started.stderr.read()
        assert run_llmtool(*common, "-o", out, "--resume").returncode == 0
        assert out.read_bytes() == whole.read_bytes()


def test_cold_warm_reordered_and_resumed_give_the_same_rows(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    template, straight, reversed_ = tmp_path / "long.yaml", tmp_path / "in", tmp_path / "reversed"
    preface = "the quick brown fox jumps over a lazy dog " * 6
    template.write_text(
        "llmtool: 1\nname: long\ninputs: {text: {type: text}}\n"
        f"prompt: '{preface}{{{{ text }}}}'\n"
    )
    lines = [f"record {i}\n" for i in range(20)]
    straight.write_text("".join(lines))
    reversed_.write_text("".join(lines[::-1]))

    def rows(name: str, source: Path, *args: str) -> tuple[list[dict[str, Any]], int]:
        """Return the rows, and how many tokens of prompts came from the cache."""
        done = run_llmtool(
            *("run", template, "--each", "line", "--jsonl", "-f", source, "-o", tmp_path / name),
            *("--temperature", "1.5", "--seed", "3", "--parallel", "1", "--threads", "1"),
            *("--max-tokens", "8", "-m", tiny, "--stats", *args),
        )
        assert done.returncode == 0, done.stderr.decode()
        found = re.search(r"\((\d+) cached\)", done.stderr.decode())
        written = (tmp_path / name).read_text().splitlines()
        return [json.loads(line) for line in written], int(found[1]) if found else 0

    cold, n_cold = rows("cold", straight)
    warm, n_warm = rows("warm", straight)
    assert n_warm > n_cold, "the state on disk serves the first record too"
    assert warm == cold == rows("uncached", straight, "--no-cache")[0]
    assert len({row["text"] for row in cold}) > 15, "they are sampled, each with its own seed"
    assert rows("reordered", reversed_)[0] == cold[::-1]
    whole = (tmp_path / "cold").read_bytes()
    for cut in (len(whole) // 2, whole.index(b"\n") + 1):
        (tmp_path / "cut").write_bytes(whole[:cut])
        assert rows("cut", straight, "--resume")[0] == cold
        assert (tmp_path / "cut").read_bytes() == whole


def test_second_writer_is_rejected(
    start_llmtool: Callable[..., Any],
    run_llmtool_process: Callable[..., Any],
    tiny: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.jsonl"
    words = ("gen", "--each", "line", "--jsonl", "-m", tiny, "-o", out, "--max-tokens", "3")
    first = start_llmtool(*words)
    first.stdin.write(b"hello\n")
    first.stdin.flush()
    limit = time.monotonic() + 30
    while not lines_of(out) and time.monotonic() < limit:
        time.sleep(0.01)
    second = run_llmtool_process(*words, "--resume", input=b"x\n")
    assert "another process is writing" in error_line(second, 18)


def test_full_disk_is_reported(batch: Callable[..., Any]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    assert "no space left" in error_line(batch("line", "-o", "/dev/full", input=b"a\n"), 1)


@pytest.mark.parametrize("room", [1, 700, 1400], ids=lambda n: f"{n} bytes")
def test_rows_before_a_full_disk_can_be_resumed(
    batch: Callable[..., Any], gen_process: Callable[..., Any], tmp_path: Path, room: int
) -> None:
    source, out, whole = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    source.write_text("".join(f"record {i}\n" for i in range(20)))
    common = ("line", "--jsonl", "-f", source, "--parallel", "1", "-q")
    limited = partial(gen_process, "--seed", "1", "--each")
    assert batch(*common, "-o", whole).returncode == 0
    expected = whole.read_bytes()
    assert len(expected) > 1400

    def fill_up() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    line = error_line(limited(*common, "-o", out, preexec_fn=fill_up), 1)
    assert "file too large" in line and "out.jsonl" in line
    assert expected.startswith(out.read_bytes())
    assert len(out.read_bytes()) <= room
    assert batch(*common, "-o", out, "--resume").returncode == 0
    assert out.read_bytes() == expected


def test_control_characters_in_rows_are_escaped_in_json(batch: Callable[..., Any]) -> None:
    done = batch("line", "--jsonl", input=b"\x1b]0;title\x07 <|im_end|>\n")
    assert json.loads(done.stdout)["input"] == "\x1b]0;title\x07 <|im_end|>"
    assert b"\x1b" not in done.stdout


def test_overwrite_keeps_the_old_file_until_the_first_row(
    batch: Callable[..., Any], tmp_path: Path
) -> None:
    out, broken = tmp_path / "out.jsonl", tmp_path / "bad.gguf"
    out.write_text("precious\n")
    broken.write_text("no model")
    done = batch("jsonl", "-o", out, "--overwrite", "-m", broken, input=b'"a"\n')
    assert done.returncode == 11
    assert out.read_text() == "precious\n"


def test_argument_fills_the_next_input_of_each_record(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    template = tmp_path / "ask.yaml"
    template.write_text(
        "llmtool: 1\nname: ask\ninputs: {document: {type: text, required: true}, question: "
        "{type: string, required: true}}\nprompt: '{{ document }}|{{ question }}'\n"
    )
    done = run_llmtool(
        "run", template, "Why?", "--each", "line", "-m", tiny, "--dry-run", input=b"Because.\n"
    )
    assert b"Because.|Why?" in done.stdout
    refused = run_llmtool("run", "title", "Why?", "--each", "line", "-m", tiny, input=b"x\n")
    assert "has one input for a text" in error_line(refused, 2)


def test_fatal_error_is_not_written_as_a_row(batch: Callable[..., Any]) -> None:
    done = batch("line", "-m", "/nope.gguf", input=b"a\n")
    assert done.returncode == 10 and done.stdout == b""
