"""Run a batch with a command's options: check them, show progress, print rows."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from llmtool.batch.journal import check_writable
from llmtool.batch.readers import Format, Reader, Record
from llmtool.batch.runner import BatchOptions
from llmtool.batch.writers import OutputFormat
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.render.batch import Tally
from llmtool.cli.terminal import inputs, signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Form, Input
from llmtool.cli.terminal.output_file import check, check_not_read
from llmtool.cli.terminal.output_target import find_target
from llmtool.cli.terminal.progress import RecordProgress
from llmtool.cli.terminal.sources import is_url
from llmtool.engine.types import Failed, Request, ScoreRequest, StreamProgress
from llmtool.errors import Cancelled, InputError, LlmtoolError, UsageError
from llmtool.files import write_errors
from llmtool.short_repr import shorten
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import BatchTask, RecordMapping, make_batch
from llmtool.tasks.results import Result

if TYPE_CHECKING:
    from llmtool.batch_jobs import JobReader, JobWriter
    from llmtool.cli.bootstrap import Backend
    from llmtool.ray.batch import RayBatch

_POLL_SECONDS = 0.02
# What the extension of `-o` promises; other extensions promise nothing.
_BY_SUFFIX: dict[str, OutputFormat | None] = {
    ".json": None,  # one document, which cannot be appended to
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".parquet", ".arrow", ".feather"), None),
    **dict.fromkeys((".db", ".sqlite", ".yaml", ".yml", ".xml", ".html", ".pdf", ".docx"), None),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip"), None),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".txt", ".md"), "text"),
}
_FORMAT_NAMES = {
    "jsonl": ("JSON lines", ".jsonl"),
    "csv": ("CSV", ".csv, or .jsonl"),
    "text": ("lines of text", ".txt, or .jsonl or .csv"),
}
OnOutcome = Callable[[Record, Result | LlmtoolError], None]


class PreparedTask(BatchTask, Protocol):
    def request(self, case: Case) -> Request | ScoreRequest:
        """Return the first request of a case."""
        ...


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The records of a batch, its options, and what answers it, if not a model of this process."""

    reader: Reader
    options: g.BatchOptions
    output: g.OutputOptions
    backend: Backend | None = None


def open_batch(
    console: Console,
    batch: g.BatchOptions,
    input: Input,
    output: g.OutputOptions,
    *,
    reads: Iterable[str] = (),
    text: str | None = None,
    n: int = 1,
    form: Form = "text",
) -> Batch:
    """Check a batch's options and open its records, before a model is opened.

    Args:
        reads: other files that the command reads.
        text: an argument that is not an instruction, which a batch rejects.
        n: replies per row.
        form: how to read the files of `--each file`.
    """
    assert batch.each is not None
    if text is not None:
        problem = f"{shorten(text, 60)} and --each cannot be combined"
        raise UsageError(f"{problem}; a batch reads files of -f, or stdin")
    format: Format = batch.each
    modes = {
        "--resume": batch.resume,
        "--retry-failed": batch.retry_failed,
        "--overwrite": output.overwrite,
    }
    chosen = [option for option, is_set in modes.items() if is_set]
    if chosen and output.path is None:
        raise UsageError(f"{chosen[0]} needs an output file; add -o FILE")
    if output.overwrite and len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and --overwrite cannot be combined; use one of them")
    if chosen and not output.overwrite and _format_of(batch, output) == "text":
        raise UsageError(f"{chosen[0]} cannot resume plain text output; add --jsonl")
    if batch.shard is not None and not (output.dry_run or batch.job):
        if output.path is None:
            raise UsageError("--shard needs an output file to merge; add -o FILE")
        if _format_of(batch, output) == "text":
            raise UsageError("--shard cannot merge plain text output; add --jsonl")
    workers = _find_workers(batch, output)
    if batch.csv_safe and _format_of(batch, output) != "csv":
        raise UsageError("--csv-safe needs CSV output; use --each csv without --jsonl and --json")
    if n > 1 and _format_of(batch, output) == "text":
        raise UsageError(f"-n {n}: plain text output has one reply per record; add --jsonl")
    if batch.job is not None:
        input = _with_job_input(console, batch.job, batch, input, output)
    no_stdin = input.no_stdin or console.stdin_is_closed or console.stdin_is_terminal
    if no_stdin and not input.files:
        raise UsageError("no input; use -f FILE or pipe records to standard input")
    if batch.delimiter is not None and format != "csv":
        raise UsageError("--delimiter needs a table; add --each csv")
    urls = [name for name in input.files if is_url(name)]
    if urls and format != "file":
        raise UsageError(
            f"{urls[0]}: --each {format} cannot read a URL; download it, or pipe it in"
        )

    def read(name: str) -> tuple[bytes, str]:
        if name not in input.files:  # a line of standard input
            if is_url(name):
                raise InputError(f"{name}: a URL in a list of files is not read; pass it with -f")
            name = os.path.join(os.curdir, name) if name == "-" else name
        found = inputs.read_record(console, name, input, form=form)
        return found.content, found.text

    reader = Reader(
        format,
        input.files,
        errors=input.errors or "strict",
        encoding=input.encoding,
        delimiter=batch.delimiter,
        shard=batch.shard,
        read=read,
    )
    if output.path is not None and reader.has_source(output.path):
        raise UsageError(f"{output.path} is also an input; choose another output file")
    if output.path is not None:
        check_not_read(output.path, reads)
        console.targets[output.path] = find_target(output.path, overwrite=output.overwrite)
        if not os.path.isfile(output.path):
            check(console, output.path)
        elif not output.dry_run:  # a journal is written in place
            check_writable(
                Path(output.path),
                _format_of(batch, output),
                resume=batch.resume or batch.retry_failed,
                overwrite=output.overwrite,
            )
    for _ in reader.read_header():
        with console.interrupts.interruptible():
            time.sleep(_POLL_SECONDS)
    if _format_of(batch, output) == "csv" and output.path is not None:
        _check_delimiter(output.path, reader.delimiter)
    if format == "csv" and batch.field is not None:
        reader.find_column(batch.field)
    if batch.delimiter is None and reader.delimiter != ",":
        console.note(f"columns are separated by {reader.delimiter!r}; --delimiter sets another")
    return Batch(reader=reader, options=batch, output=output, backend=batch.job or workers)


def _find_workers(batch: g.BatchOptions, output: g.OutputOptions) -> RayBatch | None:
    """Return the workers of `--ray`.

    Raises:
        UsageError: Ray is not installed, or another option excludes it.
    """
    if batch.ray is None:
        if batch.ray_workers is not None:
            raise UsageError("--ray-workers needs --ray local, auto or HOST:PORT")
        return None
    if batch.job is not None:
        raise UsageError("--ray and batch files cannot be combined; omit --ray")
    from llmtool.ray.batch import RayBatch

    workers = RayBatch(batch.ray, batch.ray_workers)
    return None if output.dry_run else workers


def run(
    console: Console,
    context: TaskContext,
    task: PreparedTask,
    mapping: RecordMapping,
    opened: Batch,
    *,
    seed: int | None = None,
    needs_model: bool = True,
    on_outcome: OnOutcome = lambda record, outcome: None,
) -> None:
    """Process all records and write their rows; call `on_outcome` for each.

    With `--dry-run`, only print the prompt of the first record.

    Raises:
        RecordsFailed: some records failed; their rows contain the errors.
        LlmtoolError: the batch stopped; the rows written so far are complete.
    """
    reader, batch, output = opened.reader, opened.options, opened.output
    answer = None
    if opened.backend is not None:
        from llmtool.batch_jobs import JobWriter
        from llmtool.ray.batch import RayBatch

        if isinstance(opened.backend, JobWriter):
            _write_job(console, opened.backend, task, mapping, opened, seed)
            return
        if isinstance(opened.backend, RayBatch):
            answer = partial(
                opened.backend.answer_each,
                context,
                on_note=_note_once(console),
                on_connected=partial(signals.reinstall, console.interrupts),
            )
            needs_model = False  # of this process
    if output.dry_run:
        request = _first_request(console, task, mapping, reader)
        show.prompt(console, context, request, as_json=output.json)
        return
    options = BatchOptions(
        output=None if output.path is None else Path(output.path),
        format=_format_of(batch, output),
        resume=batch.resume,
        retry_failed=batch.retry_failed,
        overwrite=output.overwrite,
        follow_links=output.path is None or console.targets[output.path].is_link,
        limit=batch.limit,
        full_results=output.json,
        csv_safe=batch.csv_safe,
    )
    runner = make_batch(
        context,
        task,
        mapping,
        reader,
        options,
        seed=seed,
        needs_model=needs_model,
        answer=answer,
    )
    progress = StreamProgress()
    engine = context.engine if needs_model else None
    # The clock of the tally starts when the model is loaded.
    tally = Tally(
        console, reader, runner, options, lambda: progress if engine is None else engine.progress
    )
    try:
        with (
            console.live_status(tally.describe),
            console.interrupts.completing_output(),
            contextlib.closing(runner.run()) as rows,
        ):
            header = runner.header if output.path is None else b""
            for row in rows:
                if output.path is None:
                    console.stdout.write((header + row.line).decode("utf-8", "replace"))
                    header = b""
                tally.count(row.record, row.outcome)
                on_outcome(row.record, row.outcome)
            console.stdout.write(header.decode())
        console.status(tally.describe(), is_last=True)
    except Cancelled:
        tally.interrupted()
        raise
    finally:
        console.status("")
    if output.stats:
        tally.statistics()
    tally.conclude()


def check_files(opened: Batch, mapping: RecordMapping, check: Callable[[Case], object]) -> None:
    """Check that some file of `--each file` can be processed, before a model is chosen.

    `check` raises an error for a case that cannot. Files are read up to the first valid one.

    Raises:
        LlmtoolError: no file can be processed; it is the error of the first one.
    """
    reader, error = copy.copy(opened.reader), None
    if reader.format == "csv":
        mapping.check(reader)
    if not reader.has_named_files:
        return
    for record in reader.wait_for_records():
        case = mapping.case(record)
        try:
            if isinstance(case, Failed):
                raise case.error
            check(case)
        except LlmtoolError as exc:
            error = error or exc
        else:
            return
    if error is not None:
        raise error


def _note_once(console: Console) -> Callable[[str], object]:
    """Return a function that prints each note once, although every worker has it."""
    printed: set[str] = set()

    def note(text: str) -> None:
        if text not in printed:
            printed.add(text)
            console.note(text)

    return note


def _with_job_input(
    console: Console,
    job: JobWriter | JobReader,
    batch: g.BatchOptions,
    input: Input,
    output: g.OutputOptions,
) -> Input:
    """Return the input with standard input replaced by its copy, which a job has.

    Raises:
        UsageError: an option of the output is part of the command of a job.
        OutputError: standard input cannot be copied.
    """
    from llmtool.batch_jobs import JobReader

    if isinstance(job, JobReader):
        if output.path != job.output:
            raise UsageError(f"{job.path}: its command has an output file; create the job again")
        return input if job.input is None else msgspec.structs.replace(input, files=[job.input])
    writes = output.path is not None or output.overwrite or output.dry_run
    if writes or batch.resume or batch.retry_failed:
        raise UsageError(
            "-o, --overwrite, --resume, --retry-failed and --dry-run belong to `batch parse`; omit "
            "them in the command of a job"
        )
    is_missing = input.no_stdin or console.stdin_is_closed or console.stdin_is_terminal
    if is_missing or not (input.files == ["-"] or not input.files):
        return input
    if batch.each == "file":
        raise UsageError("a batch file cannot read file names from standard input; use -f")
    with write_errors("a copy of standard input"):
        copy = job.open_input()
        inputs.copy_stdin(console, copy.descriptor)
    return msgspec.structs.replace(input, files=[copy.name])


def _write_job(
    console: Console,
    job: JobWriter,
    task: PreparedTask,
    mapping: RecordMapping,
    opened: Batch,
    seed: int | None,
) -> None:
    """Write the requests of all records to a batch file.

    Raises:
        UsageError: they depend on earlier replies.
    """
    reader, limit = opened.reader, opened.options.limit
    task.check_batch_file()
    with console.interrupts.interruptible(), RecordProgress(console) as progress:
        reader.wait_for_header()
        if reader.format == "csv":
            mapping.check(reader)
        for record in reader.wait_for_records():
            if limit is not None and record.index >= limit:
                return
            with write_errors("the batch file"):
                job.add(task, record, mapping.case(record, seed=seed))
            progress(job.n_records, reader.n_expected)


def _first_request(
    console: Console, task: PreparedTask, mapping: RecordMapping, reader: Reader
) -> Request | ScoreRequest:
    with console.interrupts.interruptible():
        record = next(reader.wait_for_records(), None)
    if record is None:
        raise InputError("the input has no records")
    if reader.format == "csv":
        mapping.check(reader)
    case = mapping.case(record)
    if isinstance(case, Failed):
        raise case.error
    return task.request(case)


def _format_of(batch: g.BatchOptions, output: g.OutputOptions) -> OutputFormat:
    """Return the format of the rows: that of `--jsonl`, of the extension of `-o`, or of `--each`.

    Raises:
        UsageError: the extension is that of another format than the rows can have.
    """
    assert batch.each is not None
    is_fixed = batch.jsonl or output.json
    formats: dict[str, OutputFormat] = {"line": "text", "csv": "csv"}
    usual = "jsonl" if is_fixed else formats.get(batch.each, "jsonl")
    suffix = os.path.splitext(output.path or "")[1].lower()
    named = _BY_SUFFIX.get(suffix, usual)
    if named == usual:
        return usual
    if not is_fixed and (named == "jsonl" or (named == "csv" and batch.each != "jsonl")):
        return named
    raise _wrong_suffix(output.path, usual)


def check_suffix(path: str | None, format: OutputFormat) -> None:
    """Check that the extension of a file is not that of another format than its rows have."""
    suffix = os.path.splitext(path or "")[1].lower()
    if _BY_SUFFIX.get(suffix, format) != format:
        raise _wrong_suffix(path, format)


def _wrong_suffix(path: str | None, format: OutputFormat) -> UsageError:
    what, advice = _FORMAT_NAMES[format]
    return UsageError(f"-o {path}: this batch writes {what}; use the extension {advice}")


def _check_delimiter(path: str, delimiter: str) -> None:
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".csv", ".tsv") and (suffix == ".tsv") != (delimiter == "\t"):
        other = ".csv" if suffix == ".tsv" else ".tsv"
        raise UsageError(
            f"-o {path}: the columns are separated by {delimiter!r}; use the extension {other}"
        )
