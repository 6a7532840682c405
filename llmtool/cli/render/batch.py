"""The rows of a batch on their way out, and the tally of what became of its records."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtool.batch.journal import Journal, key_of
from llmtool.batch.readers import Reader, Record
from llmtool.batch.writers import KEY, RESULT, OutputFormat, RowWriter, rename
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.progress import RecordProgress
from llmtool.errors import LlmtoolError, OutputValidationError, RecordsFailed, UsageError
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.records import row_of
from llmtool.tasks.results import Result

_MAX_TOLD = 20  # failures that are told one by one
END: Any = object()  # of an iterator


class Rows:
    """Where rows go: standard output, or a file that is a journal."""

    def __init__(
        self,
        console: Console,
        writer: RowWriter,
        format: OutputFormat,
        view: g.PrintGroup,
        batch: g.BatchGroup,
        *,
        reserved: frozenset[str],
    ) -> None:
        self._console = console
        self._writer, self._reserved, self._whole = writer, reserved, view.json
        self._journal: Journal | None = None
        self.can_resume = format != "text"  # and a row says what failed
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

    def __enter__(self) -> Rows:
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
                self._console.stdout.write(self._writer.header.decode())
            return
        for number, done in enumerate(self._journal.rows(), 1):
            while (record := next(records, END)) is None:
                yield None
            if record is END or done.key != key_of(identity, record.digest):
                raise UsageError(
                    f"{self._journal.path}: row {number} is of another input, prompt, template, "
                    "model or other options: nothing was changed (--overwrite begins anew)"
                )
            self.n_failed += done.has_failed
        self._journal.begin()

    def write(self, record: Record, outcome: Result | LlmtoolError, key: str) -> None:
        row = row_of(outcome)
        result = outcome.result if isinstance(outcome, OutputValidationError) else outcome
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
            self._console.stdout.write(data.decode("utf-8", "replace"))


class Tally:
    """Counts records, shows how far the batch is, and says how it ended."""

    def __init__(self, console: Console, reader: Reader, rows: Rows, *, limit: int | None) -> None:
        self._console = console
        self._reader, self._rows, self._limit = reader, rows, limit
        self._started = time.monotonic()
        self._progress = RecordProgress(console)
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
        if self._progress.is_due:
            expected = self._reader.n_expected
            if expected is not None:
                expected = min(expected, self._limit or expected)
            self._progress.show(
                self.n_done, expected, n_before=self._rows.n_done, n_failed=self.n_failed
            )

    def _fail(self, record: Record, error: LlmtoolError) -> None:
        self.n_failed += 1
        self._first_failure = self._first_failure or (record, error)
        if not self._rows.can_resume and self.n_failed <= _MAX_TOLD:  # the row itself is empty
            self._console.note(told(record, error))

    def statistics(self) -> None:
        """Say on stderr how fast it went."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        records = format_count(self.n_done, "record")
        self._console.note(
            f"{records} in {seconds:.1f} s, {self.n_done / seconds:.1f}/s; "
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
            self._console.note(f"{format_count(n, 'blank line')} skipped")
        for warning, n in self._warnings.most_common(3):
            self._console.note(f"{format_count(n, 'record')}: {warning}")
        if self._first_failure is not None:
            first = told(*self._first_failure)
            records = format_count(self.n_done, "record")
            raise RecordsFailed(f"{self.n_failed} of {records} failed; the first: {first}")
        if self._rows.n_failed:
            records = format_count(self.n_rows, "record")
            raise RecordsFailed(
                f"{self._rows.n_failed} of {records} failed in an earlier run; their rows say why"
            )
        if not self.n_rows:
            self._console.note("there were no records")


def told(record: Record, error: LlmtoolError) -> str:
    text = str(error)
    return text if text.startswith(record.place) else f"{record.place}: {text}"
