"""Merge the output files of shards into that of a batch without shards."""

from __future__ import annotations

import csv
import heapq
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise

import msgspec

from llmtool.batch.journal import split_rows
from llmtool.batch.shards import ShardKey, with_key
from llmtool.batch.writers import OutputFormat
from llmtool.errors import ExitCode, InputError, LockedError, UsageError, os_error_reason
from llmtool.option_names import option
from llmtool.sizes import format_count
from llmtool.temporary import lock_descriptor

_BLOCK_BYTES = 1 << 16
_N_NAMED = 3  # records, shards or files in a message
_CSV_END = re.compile(rb'exit_code"?(.)"?key"?\r?\n')


class MergedShards(msgspec.Struct, frozen=True, kw_only=True):
    """The checked output files of all shards of a batch.

    `n_failed` of the `n_rows` have an error. `header` is the first line of CSV, else empty.
    """

    paths: Sequence[str]
    format: OutputFormat
    header: bytes
    n_rows: int
    n_failed: int

    def lines(self) -> Iterator[bytes]:
        """Yield the header, if any, and the rows in the order of the input.

        Raises:
            InputError: a file has changed, or cannot be read.
        """
        if self.header:
            yield self.header
        rows = _merge([_Output(path) for path in self.paths])
        for number, row in enumerate(rows):
            if row.key.index != number:
                raise InputError(f"{row.path} has changed; merge again")
            yield with_key(row.data, str(row.key), row.key.row)


def merge_shards(paths: Sequence[str]) -> MergedShards:
    """Check that the files are the complete outputs of all shards of one batch.

    Memory depends on the number of files, not of rows. Only one file is open at a time.

    Raises:
        UsageError: the files belong to batches that differ in the template, the model, an option or
            the number of shards; or a shard is given twice.
        InputError: a record is missing, unfinished or in several shards; or a file cannot be read,
            or is not the output of a shard.
        LockedError: a batch is writing one of the files.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "1.jsonl").write_text('{"text":"a","key":"0a:1/2:0:9b"}\\n')
        >>> _ = (folder / "2.jsonl").write_text('{"text":"b","key":"0b:2/2:1:9b:2"}\\n')
        >>> merged = merge_shards([str(folder / "1.jsonl"), str(folder / "2.jsonl")])
        >>> b"".join(merged.lines())
        b'{"text":"a","key":"0a"}\\n{"text":"b","key":"0b"}\\n'
    """
    outputs = [_Output(path) for path in paths]
    for output in outputs:
        output.check_not_in_use()
    headers = {output.header: output for output in outputs if output.format}
    if len(headers) > 1:
        first, other, *_ = headers.values()
        raise UsageError(f"{other.path} and {first.path} differ in format or columns; merge one")
    n_rows = n_failed = n_missing = 0
    missing: list[int] = []
    for row in _merge(outputs):
        n_gap = row.key.index - n_rows
        missing += range(n_rows, min(n_rows + n_gap, n_rows + _N_NAMED))
        if row.exit_code == ExitCode.INTERRUPT:
            n_gap += 1
            missing.append(row.key.index)
        n_missing += n_gap
        n_rows = row.key.index + 1
        n_failed += row.exit_code is not None
    n_records = _count_records(outputs)
    if n_records is None or n_missing or n_rows < n_records:
        total = n_rows if n_records is None else n_records
        n_missing += max(0, total - n_rows)
        missing += range(n_rows, min(total, n_rows + _N_NAMED))
        n_known = None if n_records is None else total
        raise _missing(outputs, n_missing, missing[:_N_NAMED], n_known)
    output = next((each for each in outputs if each.format), outputs[0])
    return MergedShards(
        paths=paths,
        format=output.format or "jsonl",
        header=output.header,
        n_rows=n_rows,
        n_failed=n_failed,
    )


class _Row(msgspec.Struct, frozen=True):
    path: str
    key: ShardKey
    data: bytes
    exit_code: int | None


class _Output:
    """The output file of a shard; `first` and `last` are the keys of its rows read so far."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.format: OutputFormat | None = None  # of an empty file
        self.header = b""
        self._delimiter = ""
        self.first: ShardKey | None = None
        self.last: ShardKey | None = None
        start = next(_read_lines(path), b"")
        if start.startswith(b"{"):
            self.format = "jsonl"
        elif start:
            self.format = "csv"
            self.header = next(split_rows(_read_lines(path), "csv"), b"")
            end = _CSV_END.search(self.header)
            if end is None or end.end() < len(self.header):
                raise self._error(1)
            self._delimiter = end[1].decode()

    def _error(self, number: int) -> InputError:
        return InputError(
            f"{self.path}: row {number} is not that of a shard; pass files that were written with "
            f"{option('shard', 'K/N')}"
        )

    def check_not_in_use(self) -> None:
        with open(self.path, "rb") as file:
            if lock_descriptor(file.fileno()) is False:
                raise LockedError(f"a batch is writing {self.path}; wait until it ends")

    def rows(self) -> Iterator[_Row]:
        """Yield the rows, which are in the order of the input."""
        if self.format is None:
            return
        rows = split_rows(_read_lines(self.path), self.format)
        for number, data in enumerate(islice(rows, bool(self.header), None), 1):
            row = self._parse(data, number)
            last, self.last = self.last, row.key
            self.first = self.first or row.key
            if (row.key.shard, row.key.job) != (self.first.shard, self.first.job):
                raise UsageError(
                    f"{self.path}: row {number} has another shard, template, model or option than "
                    "the first row; pass the files as the batches wrote them"
                )
            if last is not None and row.key.index <= last.index:
                raise InputError(
                    f"{self.path}: row {number} is not in the order of the input; pass the files "
                    "as the batches wrote them"
                )
            yield row

    def _parse(self, data: bytes, number: int) -> _Row:
        try:
            if self.format == "csv":
                text = io.StringIO(data.decode(), newline="")
                *_, code, key = next(csv.reader(text, delimiter=self._delimiter))
                end = _End(key=key, exit_code=int(code) if code else None)
            else:
                end = _DECODER.decode(data)
        except (msgspec.MsgspecError, RecursionError, csv.Error, ValueError):
            raise self._error(number) from None
        found = ShardKey.parse(end.key)
        if found is None:
            raise self._error(number)
        return _Row(self.path, found, data, end.exit_code)


class _End(msgspec.Struct):
    """The columns of a row that matter here."""

    key: str
    exit_code: int | None = None


_DECODER = msgspec.json.Decoder(_End)


def _merge(outputs: Sequence[_Output]) -> Iterator[_Row]:
    """Yield the rows of all files in the order of the input.

    Raises:
        UsageError, InputError: the files are not those of different shards of one batch.
    """
    iterators = [output.rows() for output in outputs]
    starts = [next(rows, None) for rows in iterators]
    _check_jobs([row for row in starts if row is not None])
    streams = [
        chain([start], rows)
        for start, rows in zip(starts, iterators, strict=True)
        if start is not None
    ]
    merged = heapq.merge(*streams, key=lambda row: row.key.index)
    previous: _Row | None = None
    for row in merged:
        if previous is not None and previous.key.index == row.key.index:
            raise InputError(
                f"record {row.key.index + 1} is in {previous.path} and in {row.path}; the input "
                f"has changed between the shards, run one of them with {option('overwrite', True)}"
            )
        previous = row
        yield row


def _check_jobs(starts: Sequence[_Row]) -> None:
    for first, row in pairwise(starts):
        if first.key.shard.partition("/")[2] != row.key.shard.partition("/")[2]:
            raise UsageError(
                f"{first.path} is shard {first.key.shard} and {row.path} is shard {row.key.shard}; "
                "pass the shards of one batch"
            )
        if first.key.job != row.key.job:
            raise UsageError(
                f"{row.path} was written with another template, model or option than {first.path}; "
                "pass the shards of one batch"
            )
    paths: dict[str, str] = {}
    for row in starts:
        if row.key.shard in paths:
            other = paths[row.key.shard]
            raise UsageError(f"{other} and {row.path} are both shard {row.key.shard}; omit one")
        paths[row.key.shard] = row.path


def _count_records(outputs: Sequence[_Output]) -> int | None:
    """Return the number of records of the input, None if no shard is complete.

    Raises:
        InputError: complete shards had inputs of different sizes.
    """
    known = [each for each in outputs if each.last is not None and each.last.n_records is not None]
    counts = {each.last.n_records: each for each in known if each.last is not None}
    if len(counts) > 1:
        (n, first), (n_other, other), *_ = counts.items()
        raise InputError(
            f"the input of {first.path} had {n:,} records, and that of {other.path} {n_other:,}; "
            f"run the shards on the same input"
        )
    return next(iter(counts), None)


def _missing(
    outputs: Sequence[_Output], n_missing: int, first: Sequence[int], n_records: int | None
) -> InputError:
    """Return the error for missing records, which names the shards that they may belong to."""
    keys = [key for each in outputs if (key := each.last) is not None]
    if n_records is None:
        problem = "no shard is complete" if keys else "the files have no rows"
    else:
        places = _join(str(index + 1) for index in first)
        problem = f"{format_count(n_missing, 'record')} of {n_records:,} missing, first {places}"
    parts = []
    if keys:
        n = int(keys[0].shard.partition("/")[2])
        given = {int(key.shard.partition("/")[0]) for key in keys}
        n_absent = n - len(given)
        absent = (f"{number}/{n}" for number in range(1, n + 1) if number not in given)
        empty = [each.path for each in outputs if each.last is None]
        if n_absent > len(empty):
            parts.append(f"no file of shard {_join(absent, n_absent)}")
        elif empty:
            parts.append(f"no rows in {_join(empty, len(empty))}")
    incomplete = [each for each in outputs if each.last and each.last.n_records is None]
    if incomplete:
        named = (f"{each.last.shard} ({each.path})" for each in incomplete if each.last)
        shards = _join(named, len(incomplete))
        parts.append(f"incomplete: {shards}; continue with {option('resume', True)}")
    return InputError("; ".join([problem, *parts]))


def _join(names: Iterable[str], n: int = 0) -> str:
    """Return the first names, and the number of the others out of `n`."""
    shown = list(islice(names, _N_NAMED))
    more = f" and {n - len(shown):,} more" if n > len(shown) else ""
    return ", ".join(shown) + more


def _read_lines(path: str) -> Iterator[bytes]:
    """Yield the complete lines of a file, which is open only while a block is read."""
    offset, n_bytes = 0, _BLOCK_BYTES
    while True:
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                block = file.read(n_bytes)
        except OSError as exc:
            raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
        *lines, rest = block.split(b"\n")
        if lines:
            yield from (line + b"\n" for line in lines)
            offset, n_bytes = offset + len(block) - len(rest), _BLOCK_BYTES
        elif len(block) == n_bytes:
            n_bytes *= 2
        else:
            return
