"""Count the records of a batch, show its progress and report its outcome."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from llmtool.batch.readers import Reader, Record
from llmtool.batch.runner import BatchOptions, BatchRunner
from llmtool.cli.render.remaining import estimate_seconds
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import note_table
from llmtool.cli.terminal.progress import describe_progress, describe_prompts
from llmtool.engine.types import StreamProgress
from llmtool.errors import Cancelled, LlmtoolError, RecordsFailed
from llmtool.sizes import format_cost, format_count
from llmtool.tasks.results import Result

_N_SAMPLED, _MAX_SAMPLE = 10, 2000  # lines and characters of a text that may be a table
_MAX_REPORTED = 20  # failures reported one by one; further ones are only counted


class Tally:
    """The counts of a running batch."""

    def __init__(
        self,
        console: Console,
        reader: Reader,
        runner: BatchRunner[Result],
        options: BatchOptions,
        find_progress: Callable[[], StreamProgress],
    ) -> None:
        self._console = console
        self._reader, self._runner, self._options = reader, runner, options
        self._started = time.monotonic()
        self._find_progress = find_progress
        self._first_failure: tuple[Record, LlmtoolError] | None = None
        self.n_done = self.n_failed = self._n_unfinished = 0
        self._n_prompt = self._n_cached = self._n_completion = 0
        self._cost: float | None = None
        self._warnings: Counter[str] = Counter()
        self._source, self._sample = "", ""  # the first lines of a file

    @property
    def n_rows(self) -> int:
        return self._runner.n_resumed + self.n_done

    def count(self, record: Record, outcome: Result | LlmtoolError) -> None:
        if isinstance(outcome, Cancelled):
            self._n_unfinished += 1
            return
        self.n_done += 1
        if self._reader.format == "file" and record.source.lower().endswith((".csv", ".tsv")):
            self._source, self._sample = record.source, (record.text or "")[:_MAX_SAMPLE]
        if self._reader.format == "line" and self.n_done <= _N_SAMPLED:
            self._source = record.source
            self._sample += f"{record.text or ''}\n"
        if isinstance(outcome, LlmtoolError):
            self._fail(record, outcome)
        else:
            if isinstance(outcome.usage.cost, float):
                self._cost = (self._cost or 0.0) + outcome.usage.cost
            self._n_prompt += outcome.usage.prompt_tokens
            self._n_cached += outcome.usage.cached_tokens
            self._n_completion += outcome.usage.completion_tokens
            self._warnings.update(outcome.warnings)

    def describe(self) -> str:
        """Return the number of records done, the rate and the time left."""
        progress = self._find_progress()
        expected, left = self._reader.n_expected, None
        if expected is not None:
            if self._options.limit is not None:
                shard = self._reader.shard
                expected = min(expected, self._options.limit / (1 if shard is None else shard.n))
            n_read = self._reader.n_read
            n_per_record = progress.n_replies / max(1, n_read - self._runner.n_resumed)
            n_new = max(0, expected - n_read) * n_per_record
            left = estimate_seconds(progress, n_new)
        seconds = time.monotonic() - self._started
        text = describe_progress(
            self.n_done,
            expected,
            seconds=seconds,
            n_before=self._runner.n_resumed,
            n_failed=self.n_failed,
            n_tokens=progress.n_generated,
            left=left,
        )
        if progress.n_unread and not progress.n_generated:
            text += f", {describe_prompts(progress, seconds)}"
        return text

    def _fail(self, record: Record, error: LlmtoolError) -> None:
        self.n_failed += 1
        self._first_failure = self._first_failure or (record, error)
        # In other formats the row contains the error.
        if self._options.format == "text" and self.n_failed <= _MAX_REPORTED:
            self._console.note(describe_failure(record, error))

    def statistics(self) -> None:
        """Print the speed of the batch to stderr."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        records = format_count(self.n_done, "record")
        self._console.note(
            f"{records} in {seconds:.1f} s, {self.n_done / seconds:.1f}/s; "
            f"{self._n_prompt} prompt tokens ({self._n_cached} cached), "
            f"{self._n_completion} completion tokens, {self._n_completion / seconds:.0f} tok/s"
            f"{format_cost(self._cost)}"
        )

    def interrupted(self) -> None:
        """Report what a stopped batch has saved, and how to continue."""
        output, is_text = self._options.output, self._options.format == "text"
        if output is None:
            how = f"a batch with {'--jsonl ' * is_text}-o FILE can be resumed"
        elif is_text:
            how = "plain text cannot be resumed, --jsonl can"
        else:
            how = f"{'--retry-failed' if self._options.retry_failed else '--resume'} continues"
        rows = format_count(self.n_rows, "row")
        done = f"stopped after {rows}" if output is None else f"{rows} saved in {output}"
        if self._n_unfinished:
            unfinished = format_count(self._n_unfinished, "unfinished record")
            done += f", and {'an empty line' if is_text else 'an error'} for {unfinished}"
        self._console.note(f"{done}; {how}")

    def conclude(self) -> None:
        """Report a table read as text, blank lines, the most frequent warnings and failures."""
        read_as = "lines" if self._reader.format == "line" else "one text"
        note_table(self._console, self._source, self._sample, read_as=read_as)
        if self._reader.n_skipped:
            n = self._reader.n_skipped
            self._console.note(f"{format_count(n, 'blank line')} skipped")
        for warning, n in self._warnings.most_common(3):
            self._console.note(f"{format_count(n, 'record')}: {warning}")
        if self._runner.n_other:
            rows = format_count(self._runner.n_other, "row")
            self._console.note(f"{rows} unchanged, although template, model or options differ")
        if self._first_failure is not None:
            first = describe_failure(*self._first_failure)
            records = format_count(self.n_done, "record")
            raise RecordsFailed(f"{self.n_failed} of {records} failed; first failure: {first}")
        if self._runner.n_resumed_failures:
            records = format_count(self.n_rows, "record")
            n = self._runner.n_resumed_failures
            raise RecordsFailed(
                f"{n} of {records} failed in an earlier run; see `error` in the rows"
            )
        if not self.n_rows:
            shard = self._reader.shard
            is_other = shard is not None and self._reader.n_records
            self._console.note(f"no records in {f'shard {shard}' if is_other else 'the input'}")
        elif self._options.retry_failed and not self.n_done:
            self._console.note(f"no failed records in {self._options.output}")


def describe_failure(record: Record, error: LlmtoolError) -> str:
    """Return the error of a record, with the record's place."""
    text = str(error)
    has_place = text.startswith((record.place, f"cannot read {record.place}"))
    return text if has_place else f"{record.place}: {text}"
