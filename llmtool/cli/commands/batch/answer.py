"""`batch run`: answer the requests of a batch file with a model of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, closing, nullcontext
from pathlib import Path

import msgspec

from llmtool.batch.journal import Journal
from llmtool.batch.lines import LineSource
from llmtool.batch.request_files import FileRequest, FileResult, read_requests
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.progress import RecordProgress
from llmtool.errors import RecordsFailed, UsageError
from llmtool.server.openai.batch_file import Line, answer_requests
from llmtool.toolbox import Toolbox

_decoder = msgspec.json.Decoder(FileResult)


class Answered:
    """The answers so far: their number, and how many are errors."""

    def __init__(self) -> None:
        self.n_done = self.n_failed = 0
        self._first_error = ""  # of this run
        self.ids: set[str] = set()  # of results of an earlier run

    def add(self, *, has_failed: bool, error: str | None = None) -> None:
        self.n_done += 1
        self.n_failed += has_failed
        if error is not None and not self._first_error:
            self._first_error = f"request {self.n_done:,}: {error}"

    def conclude(self, console: Console) -> None:
        """Report how many requests failed.

        Raises:
            RecordsFailed: some did.
        """
        if self.n_failed:
            where = (
                f"first failure: {self._first_error}" if self._first_error else "see the results"
            )
            raise RecordsFailed(f"{self.n_failed:,} of {self.n_done:,} requests failed; {where}")
        if not self.n_done:
            console.note("no requests in the file")


def answer_file(
    console: Console,
    box: Toolbox,
    name: str,
    path: str,
    *,
    output: str | None,
    resume: bool,
    overwrite: bool,
) -> Answered:
    """Write a result for each request, in order, and flush it; return their counts.

    Raises:
        UsageError: the output file has content, or results of other requests.
        Cancelled: a signal was received; the results so far are complete.
    """
    answered, source = Answered(), LineSource(path)
    journal = None
    if output is not None:
        target = console.targets[output]
        journal = Journal(
            Path(output), "jsonl", resume=resume, overwrite=overwrite, follow_links=target.is_link
        )

    def remaining() -> Iterator[Line]:
        requests = read_requests(source)
        if journal is not None:
            yield from _skip(requests, journal, answered)
            journal.begin()
        yield from requests

    async def answer(progress: RecordProgress) -> None:
        others: set[str] = set()
        async with aclosing(
            answer_requests(box, name, remaining(), answered=answered.ids)
        ) as answers:
            async for each in answers:
                if journal is None:
                    console.stdout.write(each.line.decode())
                else:
                    journal.append(each.line)
                answered.add(has_failed=each.error is not None, error=each.error)
                progress(answered.n_done, _expected(source, answered.n_done))
                if each.model not in (None, name) and not others:
                    others.add(str(each.model))
                    console.note(f"the requests name the model {each.model!r}; {name} answers them")

    with nullcontext() if journal is None else closing(journal), RecordProgress(console) as shown:
        asyncio.run(answer(shown))
    return answered


def _skip(
    requests: Iterator[FileRequest | Exception | None], journal: Journal, answered: Answered
) -> Iterator[None]:
    """Skip the requests with a result; yield None while one is not available yet.

    Raises:
        UsageError: a result belongs to another request.
    """
    for number, row in enumerate(journal.raw_rows(), 1):
        while (request := next(requests, _END)) is None:
            yield None
        custom_id = request.custom_id if isinstance(request, FileRequest) else None
        try:
            result = _decoder.decode(row)
        except msgspec.DecodeError:
            result = None
        if result is None or request is _END or result.custom_id != custom_id:
            raise UsageError(
                f"cannot resume {journal.path}: line {number} is not the result of request "
                f"{number}; use --overwrite to start over"
            )
        response = result.response
        answered.add(has_failed=response is None or response.status_code != 200)
        if custom_id is not None:
            answered.ids.add(custom_id)


_END: object = object()


def _expected(source: LineSource, n_done: int) -> float | None:
    if source.size_bytes is None or not source.n_consumed:
        return None
    return n_done * source.size_bytes / source.n_consumed
