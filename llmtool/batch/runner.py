"""Run a batch: skip completed records, process the others, and write their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from llmtool.batch.journal import Journal, SavedRow, changed_parts, record_key
from llmtool.batch.readers import Reader, Record
from llmtool.batch.shards import ShardKey, with_key
from llmtool.batch.writers import (
    COMMON_COLUMNS,
    ERROR,
    ERROR_CODE,
    KEY,
    RESULT,
    CsvRows,
    OutputFormat,
    json_line,
    rename_fields,
    text_line,
)
from llmtool.errors import Cancelled, ExitCode, LlmtoolError, OutputValidationError, UsageError
from llmtool.option_names import option

_END: Any = object()
_JOB_DIGITS = 8
_ROW_VERSION = 2  # of the names of columns; rows of another version cannot be resumed


@runtime_checkable
class TaskResult(Protocol):
    """The result of a task for one record."""

    def row(self) -> dict[str, Any]:
        """Return the values of the result's columns."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the full result."""
        ...


R = TypeVar("R", bound=TaskResult)
ProcessRecords = Callable[
    [Iterator[Record | None]], Generator[tuple[Record, R | LlmtoolError], None, None]
]


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a batch, and the number of records.

    Args:
        output: the file to write, which can be resumed unless `format` is "text". If None, rows
            are only returned.
        format: "jsonl", "csv" (not for records from JSON) or "text", which writes only the first
            column of the result.
        resume: continue the output file of an earlier batch with the same records, template, model
            and options. Records that an interrupt left unfinished are processed again.
        retry_failed: like `resume`, and process the failed records of the file again. The template,
            model and options can differ from those of the earlier batch; other rows are unchanged.
        overwrite: replace a file that has content.
        follow_links: whether the file may be a symbolic link.
        limit: maximum number of records, including those completed earlier and, with a shard, those
            of other shards; None for all.
        full_results: add the full result to each row, as `result`.
        csv_safe: start texts that a spreadsheet would evaluate as formulas with an apostrophe; only
            with `format` "csv".
    """

    output: Path | None = None
    format: OutputFormat = "jsonl"
    resume: bool = False
    retry_failed: bool = False
    overwrite: bool = False
    follow_links: bool = True
    limit: int | None = None
    full_results: bool = False
    csv_safe: bool = False


class Row(msgspec.Struct, Generic[R], frozen=True):
    """A completed row: the record, its result or error, and the encoded line."""

    record: Record
    outcome: R | LlmtoolError
    line: bytes


class BatchRunner(Generic[R]):
    """A batch, which `run` starts or resumes.

    `header` is the first line of the output, or empty for formats without a header. `n_resumed` is
    the number of rows of the output file that stay, `n_resumed_failures` the number of errors in
    them, and `n_other` the number of rows with another template, model or option.

    Args:
        reader: the records; for a CSV, its header must have been read.
        process: yields each record with its result or error, in order. Its input contains `None`
            whenever the next record is not available yet.
        columns: the columns of the results.
        identity: represents everything that affects the results, except the records, by name, such
            as "model". A file can be resumed only with the same identity.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from llmtool import Toolbox
        >>> from llmtool.batch.readers import Reader
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "in.txt").write_text("one\\ntwo\\nthree\\n")
        >>> box = Toolbox(engine=ScriptedEngine("Yes"))
        >>> def batch(**options):
        ...     reader = Reader("line", [str(folder / "in.txt")])
        ...     options = BatchOptions(output=folder / "out.jsonl", **options)
        ...     return box.prepare_batch("gen", reader, options)
        >>> [str(row.outcome) for row in batch(limit=2).run()]
        ['Yes', 'Yes']
        >>> [row.record.text for row in batch(resume=True).run()]
        ['three']
    """

    def __init__(
        self,
        reader: Reader,
        process: ProcessRecords[R],
        options: BatchOptions,
        *,
        columns: list[str],
        identity: Mapping[str, bytes],
    ) -> None:
        self._reader, self._process, self._options = reader, process, options
        self._reserved = frozenset((*columns, *COMMON_COLUMNS))
        self._columns = columns
        given = rename_fields(reader.columns, self._reserved)
        header = [
            given[column] if name.strip() in self._reserved else name
            for column, name in zip(reader.columns, reader.header, strict=True)
        ]
        ours = [*columns, ERROR, ERROR_CODE, *([KEY] if options.output is not None else [])]
        self._csv = CsvRows(
            [*given.values(), *ours],
            header=[*header, *ours],
            delimiter=reader.delimiter,
            safe=options.csv_safe,
        )
        self.header = self._csv.header if options.format == "csv" else b""
        if options.format == "csv" and reader.format == "jsonl":
            raise UsageError("JSON records have no fixed columns; write the format jsonl")
        if options.csv_safe and options.format != "csv":
            raise UsageError(f"csv_safe needs the format csv, not {options.format}")
        shape = [
            _ROW_VERSION,
            columns,
            reader.format,
            reader.errors,
            reader.columns,
            *["safe"] * options.csv_safe,
        ]
        shape += [options.format, options.full_results]
        self._identity = {**identity, "header or format": repr(shape).encode()}
        self._job = hashlib.sha256(b"\0".join(self._identity.values())).hexdigest()[:_JOB_DIGITS]
        self.n_resumed = self.n_resumed_failures = self.n_other = 0
        self._retried: dict[int, int] = {}  # the numbers of the rows to replace, by record
        self._last: tuple[int, bytes, str] | None = None  # number, line and key of the last row

    def run(self) -> Generator[Row[R], None, None]:
        """Yield each new row after writing it.

        To stop early, close the generator; a batch with `resume` continues. If the batch is
        cancelled, the rows that were complete are still written; the `outcome` of an unfinished
        record before them is the `Cancelled`, which is then raised.

        Raises:
            Cancelled: a stop was requested.
            UsageError: the output file has content, but no option allows it, or it was written with
                other records, or to resume with another template, model or option.
            LockedError: another process has locked the output file.
            OutputError: the output file cannot be written.
            LlmtoolError: the whole batch failed.
        """
        options = self._options
        with ExitStack() as stack:
            journal = None
            if options.output is not None:
                journal = Journal(
                    options.output,
                    options.format,
                    header=self.header,
                    delimiter=self._reader.delimiter,
                    resume=options.resume or options.retry_failed,
                    overwrite=options.overwrite,
                    follow_links=options.follow_links,
                )
                stack.enter_context(closing(journal))
                if self._reader.shard is not None and not journal.is_regular:
                    needed = f"{option('shard')} needs a regular file for its rows"
                    raise UsageError(f"{needed}; {options.output} is none")
                self.n_resumed = journal.n_done
            outcomes = self._process(self._open_records(journal))
            stack.enter_context(closing(outcomes))
            for record, outcome in _without_unfinished_end(outcomes):
                if isinstance(outcome, Cancelled) and record.index in self._retried:
                    continue  # its row stays as it is
                key = None if journal is None else self._key(record)
                line = self._encode(record, outcome, key)
                if journal is not None and key is not None:
                    self._write(journal, record, line, key)
                yield Row(record, outcome, line)
            if journal is not None and self._last is not None:
                number, line, key = self._last
                complete = self._complete_key(key)
                if complete != key:
                    journal.replace(number, with_key(line, key, complete))

    def _write(self, journal: Journal, record: Record, line: bytes, key: str) -> None:
        number = self._retried.pop(record.index, None)
        if number is None:
            number = journal.append(line)
        else:
            journal.replace(number, line)
        if self._last is None or number >= self._last[0]:
            self._last = number, line, key

    def _open_records(self, journal: Journal | None) -> Iterator[Record | None]:
        """Yield the remaining records, up to the limit."""
        records = iter(self._reader)
        if journal is not None:
            yield from self._saved_records(journal, records)
            journal.begin()
        limit = self._options.limit
        while limit is None or self._reader.n_records < limit:
            record = next(records, _END)
            # The reader skips the records of other shards, also those beyond the limit.
            if record is _END or (record and limit is not None and record.index >= limit):
                return
            yield record

    def _saved_records(
        self, journal: Journal, records: Iterator[Record | None]
    ) -> Iterator[Record | None]:
        """Compare the saved rows with their records; yield the records to process again."""
        overwrite = option("overwrite", True)
        retry, limit = self._options.retry_failed, self._options.limit
        for number, saved in enumerate(journal.rows(), 1):
            while (record := next(records, _END)) is None:
                yield None
            if not saved.has_failed and self._columns[0] not in saved.values:
                raise UsageError(
                    f"cannot resume {journal.path}: row {number} has no {self._columns[0]!r}, so "
                    f"another command or version wrote it; use {overwrite} to start over"
                )
            self._last = number - 1, saved.data, saved.key
            key = self._job_key(saved.key, journal)
            is_other = record is _END or key != self._key(record)
            again = saved.has_failed if retry else saved.is_unfinished and not is_other
            is_within = record is not _END and (limit is None or record.index < limit)
            if again and is_within:
                self._retried[record.index] = number - 1
                self.n_resumed -= 1
                yield record
                continue
            if is_other and not (retry and self._has_fields_of(record, saved, journal)):
                changed = self._changes(saved, record, retry=retry)
                raise UsageError(
                    f"cannot {'retry' if retry else 'resume'} {journal.path}: row {number} was "
                    f"written with a different {changed}; use {overwrite} to start over"
                )
            self.n_other += is_other
            self.n_resumed_failures += saved.has_failed

    def _parts(self, record: Record) -> dict[str, bytes]:
        return {"input": record.digest, **self._identity}

    def _key(self, record: Record) -> str:
        key, shard = record_key(self._parts(record)), self._reader.shard
        return key if shard is None else str(ShardKey(key, str(shard), record.index, self._job))

    def _job_key(self, key: str, journal: Journal) -> str:
        """Return the key of a saved row, without the number of records.

        Raises:
            UsageError: the row belongs to another shard, or only this batch or the row has one.
        """
        saved, shard = ShardKey.parse(key), self._reader.shard
        if (None if saved is None else saved.shard) == (None if shard is None else str(shard)):
            return key if saved is None else str(msgspec.structs.replace(saved, n_records=None))
        if saved is None:
            what = f"not the output of a shard; omit {option('shard')}"
        else:
            what = f"the output of shard {saved.shard}; pass {option('shard', saved.shard)}"
        raise UsageError(f"cannot resume {journal.path}: it is {what}")

    def _complete_key(self, key: str) -> str:
        """Return the key of the last row, in a shard with the number of records in the input."""
        saved, limit = ShardKey.parse(key), self._options.limit
        if saved is None:
            return key
        n_records = self._reader.n_records
        n_records = n_records if limit is None else min(n_records, limit)
        return str(msgspec.structs.replace(saved, n_records=n_records))

    def _changes(self, saved: SavedRow, record: Record, *, retry: bool) -> str:
        """Return what of a saved row differs from this batch."""
        if retry or record is _END:
            return "input"
        changed = changed_parts(saved.key.partition(":")[0], self._parts(record))
        if {"model", "seed"} & {*changed}:  # the options contain these, too
            changed = [name for name in changed if name != "template or option"]
        return " and ".join(changed) or "input, prompt, template, model or option"

    def _has_fields_of(self, record: Record, saved: SavedRow, journal: Journal) -> bool:
        if record is _END:
            return False
        row = self._fields(record)
        written = journal.parse(self._line(row))
        return all(saved.values.get(name) == written.get(name) for name in row)

    def _encode(self, record: Record, outcome: R | LlmtoolError, key: str | None) -> bytes:
        # The row of an invalid reply contains both the reply and the error.
        result = outcome.result if isinstance(outcome, OutputValidationError) else outcome
        row = result.row() if isinstance(result, TaskResult) else {}
        if isinstance(outcome, Cancelled):
            row |= {ERROR: "interrupted", ERROR_CODE: int(ExitCode.INTERRUPT)}
        elif isinstance(outcome, LlmtoolError):
            row |= {ERROR: str(outcome), ERROR_CODE: int(outcome.exit_code)}
        if self._options.full_results and isinstance(result, TaskResult):
            row[RESULT] = result.to_dict()
        if key is not None:
            row[KEY] = key
        return self._line({**self._fields(record), **row})

    def _fields(self, record: Record) -> dict[str, Any]:
        """Return the fields of a record by output column."""
        names = rename_fields(record.fields, self._reserved)
        fields = {**record.fields, **record.written}
        return {names[name]: value for name, value in fields.items()}

    def _line(self, row: dict[str, Any]) -> bytes:
        if self._options.format == "text":
            return text_line(row, self._columns[0])
        return self._csv.encode(row) if self._options.format == "csv" else json_line(row)


def _without_unfinished_end(
    outcomes: Iterator[tuple[Record, R | LlmtoolError]],
) -> Iterator[tuple[Record, R | LlmtoolError]]:
    """Omit the unfinished records of a cancelled batch that no finished one follows."""
    unfinished: list[tuple[Record, R | LlmtoolError]] = []
    for record, outcome in outcomes:
        if isinstance(outcome, Cancelled):
            unfinished.append((record, outcome))
        else:
            yield from unfinished
            unfinished.clear()
            yield record, outcome
