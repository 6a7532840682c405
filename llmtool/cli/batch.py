"""Run a batch from the options of a command: check them, show progress, print rows."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from llmtool.batch.journal import check_writable
from llmtool.batch.readers import Format, Reader, Record
from llmtool.batch.runner import BatchOptions
from llmtool.batch.writers import OutputFormat
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.render.batch import Tally
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, check_not_read
from llmtool.engine.types import Failed, Request, ScoreRequest
from llmtool.errors import Cancelled, InputError, LlmtoolError, UsageError
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import BatchTask, RecordMapping, check_field, make_batch
from llmtool.tasks.results import Result

_POLL_SECONDS = 0.02
OnOutcome = Callable[[Record, Result | LlmtoolError], None]


class Previewable(Protocol):
    """A prepared task that returns the first request of a case."""

    def request(self, case: Case) -> Request | ScoreRequest: ...


def open_reader(
    console: Console,
    batch: g.BatchOptions,
    input: g.InputOptions,
    output: g.OutputOptions,
    *,
    reads: Iterable[str] = (),
    n: int = 1,
) -> Reader:
    """Return the reader of a batch's records, before any model is looked for.

    `reads` are files that the command reads beside the records, `n` replies go into each row.

    Raises:
        UsageError: options contradict each other, there is nothing to read, a CSV has no such
            column, or the output file has content that nothing is said about.
        InputError: a source cannot be opened, or a CSV has no header.
        LockedError, OutputError: the output file cannot be written.
    """
    assert batch.each is not None
    format: Format = batch.each
    if (batch.resume or batch.overwrite) and output.path is None:
        raise UsageError("--resume and --overwrite are about a file: name it with -o FILE")
    if batch.resume and batch.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if batch.resume and _format_of(batch, output) == "text":
        raise UsageError("lines of text cannot be resumed: --jsonl writes rows that can")
    if n > 1 and _format_of(batch, output) == "text":
        raise UsageError(
            f"-n {n} with --each {format} needs --jsonl: a line of text holds one reply"
        )
    if not input.files and (input.no_stdin or console.stdin_is_closed):
        raise UsageError("no records: name files with -f, or give them on standard input")
    if not input.files and console.stdin_is_terminal:
        raise UsageError("no records: name files with -f, or pipe them in")
    reader = Reader(format, input.files, errors=input.errors)
    if output.path is not None and reader.reads(output.path):
        raise UsageError(f"{output.path}: is read and cannot be written at the same time")
    if output.path is not None:
        check_not_read(output.path, reads)
        if not os.path.isfile(output.path):
            check(output.path)
        elif not output.dry_run:  # a journal, which is written in its place
            told = {"resume": batch.resume, "overwrite": batch.overwrite}
            check_writable(Path(output.path), _format_of(batch, output), **told)
    for _ in reader.read_header():
        with console.interrupts.interruptible():
            time.sleep(_POLL_SECONDS)
    if format == "csv":
        check_field(batch.field, reader.columns)
    return reader


def run(
    console: Console,
    context: TaskContext,
    task: BatchTask,
    mapping: RecordMapping,
    reader: Reader,
    *,
    batch: g.BatchOptions,
    output: g.OutputOptions,
    seed: int | None = None,
    on_outcome: OnOutcome = lambda record, outcome: None,
) -> None:
    """Answer all records and write their rows; `on_outcome` is called with each of them.

    Raises:
        RecordsFailed: some of them failed; their rows say why.
        UsageError: the column of the text is missing, or what is to be resumed does not fit.
        LlmtoolError: the batch as a whole had to stop; the rows until then are whole.
    """
    options = BatchOptions(
        output=None if output.path is None else Path(output.path),
        format=_format_of(batch, output),
        resume=batch.resume,
        overwrite=batch.overwrite,
        limit=batch.limit,
        full_results=output.json,
    )
    runner = make_batch(context, task, mapping, reader, options, seed=seed)
    tally = Tally(console, reader, runner, options)
    try:
        with contextlib.closing(runner.run()) as rows:
            header = runner.header if output.path is None else b""
            for row in rows:
                if output.path is None:
                    console.stdout.write((header + row.line).decode("utf-8", "replace"))
                    header = b""
                tally.count(row.record, row.outcome)
                on_outcome(row.record, row.outcome)
            console.stdout.write(header.decode())
    except Cancelled:
        if output.path is not None and options.format != "text" and tally.n_rows:
            console.note(
                f"{output.path} holds {format_count(tally.n_rows, 'record')}; --resume goes on"
            )
        raise
    finally:
        console.status("")
    if output.stats:
        tally.statistics()
    tally.conclude()


def preview(
    console: Console,
    context: TaskContext,
    prepared: Previewable,
    mapping: RecordMapping,
    reader: Reader,
    *,
    output: g.OutputOptions,
) -> None:
    """Print what the model would get for the first record.

    Raises:
        LlmtoolError: of that record.
    """
    record = next((each for each in reader if each is not None), None)
    if record is None:
        raise InputError("there are no records")
    if reader.format == "csv":
        mapping.check(reader.columns)
    case = mapping.case(record)
    if isinstance(case, Failed):
        raise case.error
    show.prompt(console, context, prepared.request(case), as_json=output.json)


def _format_of(batch: g.BatchOptions, output: g.OutputOptions) -> OutputFormat:
    assert batch.each is not None
    if batch.jsonl or output.json:
        return "jsonl"
    formats: dict[str, OutputFormat] = {"line": "text", "csv": "csv"}
    return formats.get(batch.each, "jsonl")
