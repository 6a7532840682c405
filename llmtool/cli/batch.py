"""Batches: records in, rows out, in their order; what fails is told and does not stop the rest."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from llmtool.cli import groups as g
from llmtool.cli import output, show, signals
from llmtool.engine.types import Failed
from llmtool.errors import (
    Cancelled,
    ContractError,
    InputError,
    LlmtoolError,
    RecordsFailed,
    UsageError,
)
from llmtool.records.journal import Journal, key_of
from llmtool.records.readers import Format, Reader, Record
from llmtool.records.writers import (
    ERROR,
    ERROR_CODE,
    KEY,
    OF_EVERY_ROW,
    RESULT,
    CsvRows,
    JsonLines,
    OutputFormat,
    RowWriter,
    TextLines,
    rename,
)
from llmtool.tasks.each import Binding, Prepared, answer_each, row_of
from llmtool.tasks.prepare import Preparation
from llmtool.tasks.results import Result
from llmtool.tasks.scoring.labelling import Labelling
from llmtool.toolbox import Toolbox

_POLL_SECONDS = 0.02
_SHOW_SECONDS = 0.2
_MAX_TOLD = 20  # failures that are told one by one
OnOutcome = Callable[[Record, Result | LlmtoolError], None]


class Task(Prepared, Protocol):
    """A prepared task that can also say what its rows hold, and a hash of what shapes them."""

    @property
    def columns(self) -> list[str]: ...

    def identity(self) -> bytes: ...


def refuse(batch: g.BatchGroup) -> None:
    """Refuse options that mean something in a batch alone.

    Raises:
        UsageError: one of them is given.
    """
    for name, value in (
        ("--field", batch.field),
        ("--resume", batch.resume),
        ("--overwrite", batch.overwrite),
        ("--limit", batch.limit),
        ("--jsonl", batch.jsonl),
    ):
        if value:
            raise UsageError(f"{name} belongs to a batch (--each line, jsonl, csv or file)")


def open_reader(
    batch: g.BatchGroup, source: g.SourceGroup, view: g.ShowGroup | g.PrintGroup
) -> Reader:
    """Return the reader of a batch's records, before any model is looked for.

    Raises:
        UsageError: options contradict each other, or there is nothing to read.
        InputError: a source cannot be opened, or a CSV has no header.
    """
    assert batch.each is not None
    format: Format = batch.each.value
    if (batch.resume or batch.overwrite) and view.output is None:
        raise UsageError("--resume and --overwrite are about a file: name it with -o FILE")
    if batch.resume and batch.overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if batch.resume and _format_of(batch, view) == "text":
        raise UsageError("lines of text cannot be resumed: --jsonl writes rows that can")
    if not source.file and (source.no_stdin or output.STDIN in output.closed):
        raise UsageError("no records: name files with -f, or give them on standard input")
    if not source.file and output.is_terminal(output.STDIN):
        raise UsageError("no records: name files with -f, or pipe them in")
    reader = Reader(format, source.file or (), errors=source.errors.value)
    if view.output is not None and reader.reads(view.output):
        raise UsageError(f"{view.output}: is read and cannot be written at the same time")
    for _ in reader.read_header():
        with signals.interruptible():
            time.sleep(_POLL_SECONDS)
    return reader


def run(
    box: Toolbox,
    task: Task,
    binding: Binding,
    reader: Reader,
    *,
    batch: g.BatchGroup,
    view: g.ShowGroup | g.PrintGroup,
    seed: int | None = None,
    on_outcome: OnOutcome = lambda record, outcome: None,
) -> None:
    """Answer all records and write their rows; `on_outcome` is called with each of them.

    Raises:
        RecordsFailed: some of them failed; their rows say why.
        UsageError: the column of the text is missing, or what is to be resumed does not fit.
        LlmtoolError: the batch as a whole had to stop; the rows until then are whole.
    """
    if reader.format == "csv":
        binding.check(reader.columns)
    format = _format_of(batch, view)
    writer = _make_writer(format, task, reader, with_key=view.output is not None)
    told = [batch.each, batch.field, reader.errors, reader.columns, format, view.json, seed]
    identity = task.identity() + repr([box.model_identity, binding.prompt, *told]).encode()
    records = iter(reader)
    with _Rows(writer, format, view, batch, reserved=_reserved(task, view)) as rows:
        tally = _Tally(reader, rows, limit=batch.limit)
        limit = None if batch.limit is None else batch.limit - rows.n_done
        wanted = itertools.chain(rows.skip(records, identity), _limited(records, limit))
        answers = answer_each(task, box.engine, wanted, binding, seed=seed)
        try:
            with contextlib.closing(answers):
                for record, outcome in answers:
                    rows.write(record, outcome, key_of(identity, record.digest))
                    tally.count(record, outcome)
                    on_outcome(record, outcome)
        except Cancelled:
            if view.output is not None and rows.can_resume:
                output.note(f"{view.output} holds {_records(tally.n_rows)}; --resume goes on")
            raise
        finally:
            output.status("")
    if view.stats:
        tally.statistics()
    tally.conclude()


def preview(
    box: Toolbox,
    prepared: Preparation | Labelling,
    binding: Binding,
    reader: Reader,
    *,
    view: g.ShowGroup | g.PrintGroup,
) -> None:
    """Print what the model would get for the first record.

    Raises:
        LlmtoolError: of that record.
    """
    record = next((each for each in reader if each is not None), None)
    if record is None:
        raise InputError("there are no records")
    if reader.format == "csv":
        binding.check(reader.columns)
    case = binding.case(record)
    if isinstance(case, Failed):
        raise case.error
    show.prompt(box, prepared.request(case), as_json=view.json)


def _format_of(batch: g.BatchGroup, view: g.ShowGroup | g.PrintGroup) -> OutputFormat:
    assert batch.each is not None
    if batch.jsonl or view.json:
        return "jsonl"
    formats: dict[str, OutputFormat] = {"line": "text", "csv": "csv"}
    return formats.get(batch.each.value, "jsonl")


def _make_writer(format: OutputFormat, task: Task, reader: Reader, *, with_key: bool) -> RowWriter:
    if format == "text":
        return TextLines(task.columns[0])
    if format == "jsonl":
        return JsonLines()
    result = [*task.columns, ERROR, ERROR_CODE, *([KEY] if with_key else [])]
    return CsvRows([*rename(reader.columns, {*task.columns, *OF_EVERY_ROW}).values(), *result])


def _reserved(task: Task, view: g.ShowGroup | g.PrintGroup) -> frozenset[str]:
    """Return the names that a record's own fields cannot keep in a row."""
    return frozenset((*task.columns, *OF_EVERY_ROW))


def _records(n: int) -> str:
    return f"{n:,} record{'s' * (n != 1)}"


def _limited(records: Iterator[Record | None], limit: int | None) -> Iterator[Record | None]:
    """Yield so many records, and the moments in which there is none yet."""
    while limit is None or limit > 0:
        record = next(records, _END)
        if record is _END:
            return
        if limit is not None and record is not None:
            limit -= 1
        yield record


_END: Any = object()


class _Rows:
    """Where rows go: standard output, or a file that is a journal."""

    def __init__(
        self,
        writer: RowWriter,
        format: OutputFormat,
        view: g.ShowGroup | g.PrintGroup,
        batch: g.BatchGroup,
        *,
        reserved: frozenset[str],
    ) -> None:
        self._writer, self._reserved, self._whole = writer, reserved, view.json
        self._journal: Journal | None = None
        self.can_resume = self.tells_failures = format != "text"
        self.n_done = self.n_failed = 0
        if view.output is not None:
            self._journal = Journal(
                Path(view.output),
                format,
                header=writer.header,
                resume=batch.resume,
                overwrite=batch.overwrite,
            )
            self.n_done = self._journal.n_done

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        if self._journal is not None:
            self._journal.close()

    def skip(self, records: Iterator[Record | None], identity: bytes) -> Iterator[None]:
        """Read past the records that are done, and begin to write; yields while one is missing.

        Raises:
            UsageError: a row belongs to another record, or to another template, model or options.
        """
        if self._journal is None:
            if self._writer.header:
                output.stdout.write(self._writer.header.decode())
            return
        for number, done in enumerate(self._journal.rows(), 1):
            while (record := next(records, _END)) is None:
                yield None
            if record is _END or done.key != key_of(identity, record.digest):
                raise UsageError(
                    f"{self._journal.path}: row {number} is of another input, prompt, template, "
                    "model or other options: nothing was changed (--overwrite begins anew)"
                )
            self.n_failed += done.has_failed
        self._journal.begin()

    def write(self, record: Record, outcome: Result | LlmtoolError, key: str) -> None:
        row = row_of(outcome)
        result = outcome.result if isinstance(outcome, ContractError) else outcome
        if self._whole and isinstance(result, Result):
            row[RESULT] = result.to_dict()
        if self._journal is not None:
            row[KEY] = key
        names = rename(record.fields, self._reserved)
        own = {names[name]: value for name, value in record.fields.items()}
        data = self._writer.encode({**own, **row})
        if self._journal is not None:
            self._journal.append(data)
        else:
            output.stdout.write(data.decode("utf-8", "replace"))


class _Tally:
    """Counts records, shows how far the batch is, and says how it ended."""

    def __init__(self, reader: Reader, rows: _Rows, *, limit: int | None) -> None:
        self._reader, self._rows, self._limit = reader, rows, limit
        self._started = self._shown = time.monotonic()
        self._first_failure: tuple[Record, LlmtoolError] | None = None
        self.n_done = self.n_failed = 0
        self._n_prompt = self._n_cached = self._n_completion = 0
        self._warnings: Counter[str] = Counter()

    @property
    def n_rows(self) -> int:
        return self._rows.n_done + self.n_done

    def count(self, record: Record, outcome: Result | LlmtoolError) -> None:
        self.n_done += 1
        if isinstance(outcome, LlmtoolError):
            self._fail(record, outcome)
        else:
            self._n_prompt += outcome.usage.prompt_tokens
            self._n_cached += outcome.usage.cached_tokens
            self._n_completion += outcome.usage.completion_tokens
            self._warnings.update(outcome.warnings)
        now = time.monotonic()
        if now - self._shown >= _SHOW_SECONDS:
            self._shown = now
            output.status(self._status(now - self._started))

    def _fail(self, record: Record, error: LlmtoolError) -> None:
        self.n_failed += 1
        self._first_failure = self._first_failure or (record, error)
        if not self._rows.tells_failures and self.n_failed <= _MAX_TOLD:  # the row itself is empty
            output.note(_told(record, error))

    def _status(self, seconds: float) -> str:
        rate = self.n_done / seconds
        parts = [_records(self.n_rows), f"{rate:.1f}/s"]
        if self.n_failed:
            parts.append(f"{self.n_failed:,} failed")
        expected = self._reader.n_expected
        if expected is not None:
            expected = min(expected, self._limit or expected)
            left = int(max(0.0, expected - self.n_rows) / rate)
            parts.append(f"{left // 60}:{left % 60:02} left")
        return ", ".join(parts)

    def statistics(self) -> None:
        """Say on stderr how fast it went."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        output.note(
            f"{_records(self.n_done)} in {seconds:.1f} s, {self.n_done / seconds:.1f}/s; "
            f"{self._n_prompt} prompt tokens ({self._n_cached} from the cache), "
            f"{self._n_completion} written, {self._n_completion / seconds:.0f} tok/s"
        )

    def conclude(self) -> None:
        """Say what is worth saying of the whole.

        Raises:
            RecordsFailed: some records failed.
        """
        if self._reader.n_skipped:
            n = self._reader.n_skipped
            output.note(f"{n} blank line{'s' * (n > 1)} skipped")
        for warning, n in self._warnings.most_common(3):
            output.note(f"{_records(n)}: {warning}")
        if self._first_failure is not None:
            first = _told(*self._first_failure)
            raise RecordsFailed(
                f"{self.n_failed} of {_records(self.n_done)} failed; the first: {first}"
            )
        if self._rows.n_failed:
            raise RecordsFailed(
                f"{self._rows.n_failed} of {_records(self.n_rows)} failed in an earlier run; "
                "their rows say why"
            )
        if not self.n_rows:
            output.note("there were no records")


def _told(record: Record, error: LlmtoolError) -> str:
    text = str(error)
    return text if text.startswith(record.place) else f"{record.place}: {text}"
