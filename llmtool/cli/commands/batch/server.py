"""`batch submit`, `status` and `fetch`: batch files on a server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from llmtool.batch_jobs import Job
from llmtool.batch_submissions import Batch, BatchClient, read_submission, wait_until_ended
from llmtool.cli import bootstrap
from llmtool.cli.commands.batch.options import ServerOptions
from llmtool.cli.options import groups as g
from llmtool.cli.render import tables
from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console
from llmtool.config import Folders, Settings
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.endpoint import Endpoint, find_endpoint
from llmtool.errors import InputError, LlmtoolError, RecordsFailed, UsageError
from llmtool.sizes import format_count


def submit_files(
    console: Console, files: Sequence[str], server: ServerOptions, general: g.GeneralOptions
) -> None:
    """Submit each file that was not, and report it.

    Raises:
        LlmtoolError: a file or the server is wrong; files before it were submitted.
    """
    for path, client in _clients(console, files, server, general):
        submission, is_new = client.submit(path)
        batch = submission.batch_id
        what = "submitted to" if is_new else "was already submitted to"
        console.note(f"{path} {what} {client.endpoint.base_url} as {batch}")


def show_status(
    console: Console,
    files: Sequence[str],
    server: ServerOptions,
    general: g.GeneralOptions,
    *,
    as_json: bool,
) -> None:
    """Print the state of each batch."""
    found = [
        (path, client.status(path)) for path, client in _clients(console, files, server, general)
    ]
    if as_json:
        console.stdout.write_json(
            [
                {
                    "file": str(path),
                    "batch": batch.id,
                    "status": batch.status,
                    "completed": batch.counts.completed,
                    "failed": batch.counts.failed,
                    "total": batch.counts.total,
                }
                for path, batch in found
            ]
        )
        return
    tables.table(
        console,
        ["file", "batch", "status", "completed", "failed", "total"],
        [
            (
                str(path),
                batch.id,
                batch.status,
                f"{batch.counts.completed:,}",
                f"{batch.counts.failed:,}",
                f"{batch.counts.total:,}",
            )
            for path, batch in found
        ],
        right=["completed", "failed", "total"],
    )


def fetch_results(
    console: Console,
    files: Sequence[str],
    server: ServerOptions,
    general: g.GeneralOptions,
    *,
    wait: bool,
) -> None:
    """Save the results of each batch.

    Raises:
        RecordsFailed: requests have no result.
        LlmtoolError: a batch has not ended, or a request failed.
    """
    n_requests = n_missing = 0
    for path, client in _clients(console, files, server, general):
        if wait:
            batch = wait_until_ended(
                client, path, partial(_show, console, path), console.interrupts.check
            )
            console.status("")
        else:
            batch = client.status(path)
        if not batch.has_ended:
            raise LlmtoolError(f"{_describe(path, batch)}; try again later, or add --wait")
        found = client.fetch(path, batch)
        for each in found.paths:
            console.stdout.write(f"{each}\n")
        if batch.status != "completed":
            console.note(f"{path}: the batch is {batch.status}")
        n_requests, n_missing = n_requests + found.n_requests, n_missing + found.n_missing
    if n_missing:
        raise RecordsFailed(
            f"{n_missing:,} of {format_count(n_requests, 'request')} have no result; `batch parse` "
            "writes errors to their rows"
        )


def _show(console: Console, path: Path, batch: Batch) -> None:
    console.status(_describe(path, batch))


def _describe(path: Path, batch: Batch) -> str:
    counts, text = batch.counts, f"{path}: {batch.status}"
    if not counts.total:
        return text
    return f"{text}, {counts.completed + counts.failed:,} of {counts.total:,} requests"


def _clients(
    console: Console, files: Sequence[str], server: ServerOptions, general: g.GeneralOptions
) -> Iterator[tuple[Path, BatchClient]]:
    """Yield each file with a client for its server.

    Raises:
        UsageError: no server is named, or it is not valid.
        InputError: a file does not exist, and was not submitted.
    """
    if server.endpoint is not None and server.base_url is not None:
        raise UsageError("--endpoint and --base-url cannot be combined; use one of them")
    model = g.ModelOptions(offline=server.offline, timeout=server.timeout)
    folders, settings = bootstrap.start(console, general, model)
    signals.install(console.interrupts)
    for name in files:
        path = Path(name)
        if not path.exists() and read_submission(path) is None:
            raise InputError(f"{path}: no such file")
        endpoint = _find_endpoint(path, server, settings, folders)
        if settings.offline:
            raise UsageError(f"the server {endpoint.name} cannot be used with --offline; omit it")
        with _connected(endpoint) as connection:
            yield path, BatchClient(connection, console.interrupts.check)


@contextmanager
def _connected(endpoint: Endpoint) -> Iterator[Connection]:
    connection = Connection(endpoint, concurrency=1)
    try:
        yield connection
    finally:
        connection.close()


def _find_endpoint(
    path: Path, server: ServerOptions, settings: Settings, folders: Folders
) -> Endpoint:
    """Return the server that is named, or that of an earlier command."""
    name, url = server.endpoint, server.base_url
    if name is None and url is None and (saved := read_submission(path)) is not None:
        name, url = saved.endpoint, saved.base_url
    if name is None and url is None:
        with suppress(InputError):
            job, _ = Job.read(str(path))
            name, url = job.endpoint, job.base_url
    if name is None and url is None:
        raise UsageError(f"{path}: name the server with --endpoint NAME or --base-url URL")
    found = find_endpoint(
        None if name is None else f"{name}:",
        base_url=url if name is None else None,
        settings=settings,
        environ=os.environ,
        folder=folders.config,
    )
    if found is None:
        raise UsageError(f"--endpoint {name}: unknown; add endpoints.{name} to the settings")
    return found.endpoint
