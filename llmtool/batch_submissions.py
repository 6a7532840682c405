"""Batch files on a server with `/v1/files` and `/v1/batches`: send them once, and get results."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from llmtool.batch.lines import LineSource
from llmtool.batch.request_files import FileRequest, find_results, read_requests
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import Retryable, invalid_reply, shorten
from llmtool.errors import (
    InputError,
    LlmtoolError,
    LockedError,
    ServerError,
    UsageError,
    format_json_error,
    os_error_reason,
)
from llmtool.files import write_atomically, write_errors
from llmtool.sizes import format_count
from llmtool.temporary import TemporaryFile, default_mode, lock_descriptor, remove_leftovers

T = TypeVar("T")
_WINDOW = "24h"  # the only one of OpenAI
_ATTEMPTS = 6
_MAX_PAGES = 50  # of the list of batches
# What a server names; it is printed, and part of URLs.
Id = Annotated[str, msgspec.Meta(pattern=r"^[\w.:-]{1,200}\Z")]
_ENDED = ("completed", "failed", "expired", "cancelled")


class Submission(msgspec.Struct, kw_only=True):
    """What is known of a batch file on a server; saved beside it after each step.

    `is_creating` is set before the batch is created, so that a killed process does not lead to a
    second one.
    """

    base_url: str
    endpoint: str | None  # its name in the settings
    size_bytes: int
    sha256: str
    file_id: str | None = None
    is_creating: bool = False
    batch_id: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """The numbers of requests of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as the server describes it."""

    id: Id
    status: Id
    input_file_id: Id | None = None
    output_file_id: Id | None = None
    error_file_id: Id | None = None
    request_counts: Counts | None = None
    errors: Any = None

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def counts(self) -> Counts:
        return self.request_counts or Counts()


class _Created(msgspec.Struct):
    id: Id


class _Page(msgspec.Struct):
    data: list[Batch] = []
    has_more: bool = False


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The files with the results of a batch, and the number of requests without one."""

    paths: list[Path]
    n_requests: int
    n_missing: int


def submission_path(path: Path) -> Path:
    """Return the path of the submission of a batch file.

    Example:
        >>> from pathlib import Path
        >>> submission_path(Path("job-1.jsonl")).name
        'job-1.submission.json'
    """
    return path.with_name(path.name.removesuffix(".jsonl") + ".submission.json")


def read_submission(path: Path) -> Submission | None:
    """Return the submission of a batch file, None if it was not submitted.

    Raises:
        InputError: it is damaged.
    """
    saved = submission_path(path)
    try:
        return msgspec.json.decode(saved.read_bytes(), type=Submission)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InputError(f"cannot read {saved}: {os_error_reason(exc)}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InputError(f"{saved}: damaged: {format_json_error(exc)}") from exc


class BatchClient:
    """Sends batch files over a connection.

    Args:
        check: is polled while a request runs; it raises to stop.
    """

    def __init__(self, connection: Connection, check: Callable[[], object]) -> None:
        self._connection, self._check = connection, check
        self._url = connection.endpoint.base_url

    @property
    def endpoint(self) -> Endpoint:
        return self._connection.endpoint

    def submit(self, path: Path) -> tuple[Submission, bool]:
        """Send a file, and create its batch; return it, and whether it is new.

        A file that was submitted is not sent again. If it is unknown whether an earlier attempt
        created the batch, the server's batches are searched for its file first.

        Raises:
            UsageError: the file was submitted to another server, or has changed since.
            InputError: it is not a batch file.
            LockedError: another process is submitting it.
            LlmtoolError: a request failed; the next call continues.
        """
        with _locked(path):
            url, size, digest = _inspect(path)
            found = read_submission(path)
            if found is None:
                found = Submission(
                    base_url=self._url,
                    endpoint=self.endpoint.name if self.endpoint.is_named else None,
                    size_bytes=size,
                    sha256=digest,
                )
            if found.base_url != self._url:
                raise UsageError(
                    f"{path} was submitted to {found.base_url}; remove {submission_path(path)} to "
                    "submit it to another server as well"
                )
            if found.sha256 != digest:
                raise UsageError(
                    f"{path} has changed since it was submitted; remove {submission_path(path)} to "
                    "submit it again"
                )
            if found.batch_id is not None:
                return found, False
            if found.file_id is None:
                found.file_id = self._upload(path)
                self._save(path, found)
            was_creating, found.is_creating = found.is_creating, True
            self._save(path, found)
            batch = self._create(found.file_id, url, may_exist=was_creating)
            found.batch_id, found.is_creating = batch.id, False
            self._save(path, found)
            return found, True

    def status(self, path: Path) -> Batch:
        """Return the batch of a file.

        Raises:
            UsageError: the file was not submitted.
            LlmtoolError: a request failed.
        """
        found = read_submission(path)
        if found is None or found.batch_id is None:
            raise UsageError(f"{path} was not submitted; use `llmtool batch submit {path}`")
        return self._get(f"/batches/{found.batch_id}", Batch)

    def fetch(self, path: Path, batch: Batch) -> Fetched:
        """Save the results and errors of an ended batch beside its file, and check them.

        The files are complete or absent. Those of an earlier call are only checked.

        Raises:
            ServerError: the batch failed, or a result is not that of a request, or occurs twice.
            LlmtoolError: a request failed.
        """
        if batch.status == "failed":
            raise ServerError(f"{path}: the server rejected the batch: {_reason(batch)}")
        paths = []
        for kind, file_id in (("output", batch.output_file_id), ("errors", batch.error_file_id)):
            target = path.with_name(f"{path.name.removesuffix('.jsonl')}.{kind}.jsonl")
            if file_id is not None:
                if not target.exists():
                    self._download(file_id, target)
                paths.append(target)
        return _compare(path, paths)

    def _save(self, path: Path, submission: Submission) -> None:
        data = msgspec.json.format(msgspec.json.encode(submission), indent=1)
        write_atomically(submission_path(path), data + b"\n")

    def _upload(self, path: Path) -> str:
        async def attempt() -> Any:
            return await self._connection.upload(f"{self._url}/files", path, purpose="batch")

        return self._run(attempt, _Created).id

    def _create(self, file_id: str, url: str, *, may_exist: bool) -> Batch:
        """Create the batch of a file that was sent, unless an earlier attempt did."""
        body = {"input_file_id": file_id, "endpoint": url, "completion_window": _WINDOW}

        async def attempt() -> Any:
            nonlocal may_exist
            if may_exist and (known := await self._find(file_id)) is not None:
                return known
            may_exist = True
            return await self._connection.fetch("POST", f"{self._url}/batches", body)

        return self._run(attempt, Batch)

    async def _find(self, file_id: str) -> dict[str, Any] | None:
        """Return the batch of a file, None if the server has none."""
        after = ""
        for _ in range(_MAX_PAGES):
            url = f"{self._url}/batches?limit=100{after}"
            document = await self._connection.fetch("GET", url)
            page = self._convert(document, _Page)
            for each, raw in zip(page.data, document.get("data") or (), strict=True):
                if each.input_file_id == file_id:
                    return dict(raw)
            if not page.has_more or not page.data:
                return None
            after = f"&after={page.data[-1].id}"
        raise ServerError(
            f"{self.endpoint.name}: too many batches to search for that of file {file_id}"
        )

    def _get(self, path: str, kind: type[T]) -> T:
        async def attempt() -> Any:
            return await self._connection.fetch("GET", self._url + path)

        return self._run(attempt, kind)

    def _download(self, file_id: str, target: Path) -> None:
        with write_errors(str(target)):
            remove_leftovers(target.parent)
            file = TemporaryFile(target, mode=default_mode())
            try:

                async def attempt() -> None:
                    os.ftruncate(file.descriptor, 0)
                    os.lseek(file.descriptor, 0, os.SEEK_SET)
                    url = f"{self._url}/files/{file_id}/content"
                    await self._connection.download(url, file.descriptor)

                self._call(attempt)
                self._check_results(file.name)
                os.fsync(file.descriptor)
                file.rename()
            except BaseException:
                file.discard()
                raise

    def _check_results(self, path: str) -> None:
        """Check that a file, which has no name yet, has results."""
        try:
            n_invalid = find_results([path]).n_invalid
        except InputError:
            n_invalid = 1
        if n_invalid:
            raise invalid_reply(self.endpoint, "not the results of a batch")

    def _run(self, attempt: Callable[[], Awaitable[Any]], kind: type[T]) -> T:
        return self._convert(self._call(attempt), kind)

    def _call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        call = self._connection.retry(attempt, n_attempts=_ATTEMPTS)
        try:
            return self._connection.run(call, self._check)
        except Retryable as exc:
            raise exc.error from None

    def _convert(self, document: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(document, kind)
        except msgspec.ValidationError as exc:
            raise invalid_reply(self.endpoint, str(exc)) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a batch file.

    Raises:
        InputError: it cannot be read.
        LockedError: another process has it.
    """
    try:
        file = path.open("rb")
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    with file:
        if lock_descriptor(file.fileno()) is False:
            raise LockedError(f"another process is submitting {path}; wait until it ends")
        yield


def _inspect(path: Path) -> tuple[str, int, str]:
    """Return the URL of the requests of a file, and its size and hash.

    Raises:
        InputError: a line is not a request, an id occurs twice, or the URLs differ.
    """
    import hashlib

    urls: set[str] = set()
    ids: set[str] = set()
    for request in _requests(path):
        urls.add(request.url)
        if request.custom_id in ids:
            raise InputError(f"{path}: custom_id {request.custom_id!r} occurs twice")
        ids.add(request.custom_id)
        if len(urls) > 1:
            raise InputError(f"{path}: the requests have several URLs; write a file for each")
    if not urls:
        raise InputError(f"{path}: no requests in the file")
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
            size += len(data)
    return urls.pop(), size, digest.hexdigest()


def _requests(path: Path) -> Iterator[FileRequest]:
    for request in read_requests(LineSource(str(path))):
        if isinstance(request, LlmtoolError):
            raise request
        if request is not None:
            yield request


def _compare(path: Path, results: list[Path]) -> Fetched:
    """Check that each result answers a request of the file, and each request once.

    Raises:
        ServerError: one does not.
        InputError: a file cannot be read.
    """
    ids = {request.custom_id for request in _requests(path)}
    found = find_results([str(each) for each in results])
    for custom_id in found.places:
        if custom_id not in ids:
            raise ServerError(
                f"{path}: the server has a result of request {shorten(custom_id)}, which is not in "
                "the file"
            )
    if found.n_repeated:
        raise ServerError(f"{path}: {format_count(found.n_repeated, 'request')} answered twice")
    if found.n_invalid:
        lines = format_count(found.n_invalid, "line")
        raise ServerError(f"{path}: {lines} of the results cannot be read")
    return Fetched(paths=results, n_requests=len(ids), n_missing=len(ids) - len(found.places))


def _reason(batch: Batch) -> str:
    """Return why a batch failed, as OpenAI reports it."""
    errors = batch.errors.get("data") if isinstance(batch.errors, dict) else batch.errors
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict):
        return shorten(first)
    line = f", line {first['line']}" if first.get("line") else ""
    return f"{shorten(first.get('message') or first.get('code') or 'no reason given')}{line}"


def wait_until_ended(
    client: BatchClient,
    path: Path,
    on_status: Callable[[Batch], object],
    check: Callable[[], object],
    *,
    poll_seconds: float = 5.0,
    max_poll_seconds: float = 60.0,
) -> Batch:
    """Return a batch when it has ended, asking the server less and less often."""
    while not (batch := client.status(path)).has_ended:
        on_status(batch)
        end = time.monotonic() + poll_seconds
        while (left := end - time.monotonic()) > 0:
            check()
            time.sleep(min(left, 0.2))
        poll_seconds = min(poll_seconds * 1.5, max_poll_seconds)
    return batch
