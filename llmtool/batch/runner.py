"""Run a batch: skip the records that are done, have the others answered, and write their rows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from llmtool.batch.journal import Journal, record_key
from llmtool.batch.readers import Reader, Record
from llmtool.batch.writers import (
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
from llmtool.errors import LlmtoolError, OutputValidationError, UsageError

_END: Any = object()


@runtime_checkable
class TaskResult(Protocol):
    """What a task returns for a record."""

    def row(self) -> dict[str, Any]:
        """Return the values of its columns."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return all of it."""
        ...


R = TypeVar("R", bound=TaskResult)
Answer = Callable[[Iterator[Record | None]], Generator[tuple[Record, R | LlmtoolError], None, None]]


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of a batch go, and how many there are.

    Args:
        output: the file to write, which can be resumed unless its format is "text". Without one,
            rows are only returned.
        format: "jsonl", "csv" (for records of a CSV) or "text", the first column alone.
        resume: continue the file of an earlier run; its rows must be of the same records,
            template, model and options.
        overwrite: replace a file that has content.
        limit: the number of records, those of an earlier run included; None takes all.
        full_results: add the whole result to each row, as `result`.
    """

    output: Path | None = None
    format: OutputFormat = "jsonl"
    resume: bool = False
    overwrite: bool = False
    limit: int | None = None
    full_results: bool = False


class Row(msgspec.Struct, Generic[R], frozen=True):
    """A finished row: the record, its result or error, and the line that holds both."""

    record: Record
    outcome: R | LlmtoolError
    line: bytes


class BatchRunner(Generic[R]):
    """A batch, which `run` starts or resumes.

    `header` is the first line of the output, empty where the format has none. While it runs,
    `n_resumed` counts the rows that an earlier run left, `n_resumed_failures` those with an error.

    Args:
        reader: the records; the columns of a CSV are read already.
        answer: gives each record its result or error, in their order. It gets `None` where the
            next record has not arrived, and passes over it.
        columns: the names of what a result's `row` can hold.
        identity: a hash of everything but the record that shapes a result: a file is resumed only
            by a batch of the same identity.

    Example:
        >>> from llmtool import Toolbox
        >>> from llmtool.engine.scripted import ScriptedEngine
        >>> import tempfile
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
        answer: Answer[R],
        options: BatchOptions,
        *,
        columns: list[str],
        identity: bytes,
    ) -> None:
        self._reader, self._answer, self._options = reader, answer, options
        self._reserved = frozenset((*columns, *OF_EVERY_ROW))
        self._writer = self._make_writer(columns)
        self.header = self._writer.header
        shape = [reader.format, reader.errors, reader.columns]
        self._identity = identity + repr([*shape, options.format, options.full_results]).encode()
        self.n_resumed = self.n_resumed_failures = 0

    def run(self) -> Generator[Row[R], None, None]:
        """Yield the rows that are missing, each after it is written.

        Close the generator to stop in between; another run with `resume` continues.

        Raises:
            UsageError: the output has content and nothing says what to do with it, or it cannot be
                resumed: a row is of another record, template, model or other options.
            LockedError: another process writes it.
            OutputError: it cannot be written.
            LlmtoolError: the batch as a whole had to stop.
        """
        options = self._options
        with ExitStack() as stack:
            journal = None
            if options.output is not None:
                journal = Journal(
                    options.output,
                    options.format,
                    header=self.header,
                    resume=options.resume,
                    overwrite=options.overwrite,
                )
                stack.enter_context(closing(journal))
                self.n_resumed = journal.n_done
            answers = self._answer(self._open_records(journal))
            stack.enter_context(closing(answers))
            for record, outcome in answers:
                key = record_key(self._identity, record.digest)
                line = self._encode(record, outcome, None if journal is None else key)
                if journal is not None:
                    journal.append(line)
                yield Row(record, outcome, line)

    def _open_records(self, journal: Journal | None) -> Iterator[Record | None]:
        """Yield the records that are left, up to the limit."""
        records = iter(self._reader)
        if journal is not None:
            yield from self._skip_done(journal, records)
            journal.begin()
        if self._options.limit is None:
            yield from records
            return
        n_left = self._options.limit - self.n_resumed
        while n_left > 0 and (record := next(records, _END)) is not _END:
            n_left -= record is not None
            yield record

    def _skip_done(self, journal: Journal, records: Iterator[Record | None]) -> Iterator[None]:
        for number, done in enumerate(journal.rows(), 1):
            while (record := next(records, _END)) is None:
                yield None
            if record is _END or done.key != record_key(self._identity, record.digest):
                raise UsageError(
                    f"{journal.path}: row {number} is of another input, prompt, template, "
                    "model or other options: nothing was changed (--overwrite begins anew)"
                )
            self.n_resumed_failures += done.has_failed

    def _encode(self, record: Record, outcome: R | LlmtoolError, key: str | None) -> bytes:
        # An invalid reply is in the row, beside the error.
        result = outcome.result if isinstance(outcome, OutputValidationError) else outcome
        row = result.row() if isinstance(result, TaskResult) else {}
        if isinstance(outcome, LlmtoolError):
            row |= {ERROR: str(outcome), ERROR_CODE: int(outcome.exit_code)}
        if self._options.full_results and isinstance(result, TaskResult):
            row[RESULT] = result.to_dict()
        if key is not None:
            row[KEY] = key
        names = rename(record.fields, self._reserved)
        return self._writer.encode(
            {**{names[name]: value for name, value in record.fields.items()}, **row}
        )

    def _make_writer(self, columns: list[str]) -> RowWriter:
        if self._options.format == "text":
            return TextLines(columns[0])
        if self._options.format == "jsonl":
            return JsonLines()
        given = rename(self._reader.columns, self._reserved).values()
        key = [KEY] if self._options.output is not None else []
        return CsvRows([*given, *columns, ERROR, ERROR_CODE, *key])
