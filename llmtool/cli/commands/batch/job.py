"""`batch create` and `batch parse`: run a command whose model is a batch file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import typer

from llmtool.batch_jobs import Job, JobReader, JobWriter, job_path
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check_not_existing
from llmtool.config import Kind
from llmtool.errors import OutputError, UsageError
from llmtool.files import write_errors
from llmtool.option_names import option
from llmtool.sizes import format_count
from llmtool.temporary import remove_leftovers


def create_job(
    console: Console,
    ctx: typer.Context,
    command: Sequence[str],
    path: str,
    *,
    overwrite: bool,
    kind: Kind | None,
    max_requests: int,
    max_bytes: int,
    general: g.GeneralOptions,
) -> None:
    """Write the batch files of a command; report them.

    Raises:
        UsageError: the file exists, or the command does not run on records.
    """
    bootstrap.start(console, general)
    if not path.endswith(".jsonl"):
        raise UsageError(f"-o {path}: a batch file needs the extension .jsonl")
    if not os.path.isdir(os.path.dirname(path) or os.curdir):
        raise OutputError(f"cannot write {path}: folder not found")
    if command[0] == "chat":
        raise UsageError("chat: each of its requests contains earlier replies; use gen")
    if not any(arg.partition("=")[0] == "--each" for arg in command):
        raise UsageError(f"{command[0]}: a batch file needs --each line, jsonl, csv or file")
    for each in (path, str(job_path(path))):
        check_not_existing(each, overwrite=overwrite)
    remove_leftovers(job_path(path).parent)
    writer = JobWriter(path, kind=kind, max_requests=max_requests, max_bytes=max_bytes)
    with console.on_abort(writer.discard):
        try:
            _run(console, ctx, [*command, *_flags(general)], writer)
            with write_errors(path):
                job = writer.close(list(command))
        finally:
            writer.discard()
    requests = format_count(job.n_requests, "request")
    console.note(f"{requests} for {job.model} in {', '.join(job.files)}")
    if writer.omitted:
        names = ", ".join(map(option, sorted(writer.omitted)))
        reason = f"which {job.kind} does not have"
        if job.kind == "other":
            reason = "which not all servers have; --kind names the program that will answer"
        console.note(f"not in the requests: {names} of the template, {reason}")
    if job.n_failed:
        console.note(
            f"{format_count(job.n_failed, 'record')} without a request, first: "
            f"{writer.first_error}; `batch parse` writes the errors to their rows"
        )


def parse_job(
    console: Console,
    ctx: typer.Context,
    path: str,
    results: Sequence[str],
    output: str | None,
    *,
    flags: Sequence[str],
    general: g.GeneralOptions,
) -> None:
    """Write the rows of a job's command from its results.

    Raises:
        RecordsFailed: some records failed.
        LlmtoolError: a file is missing or invalid.
    """
    bootstrap.start(console, general)
    job, found = Job.read(path)
    reader = JobReader(job=job, path=found, results=results, output=output)
    target = [] if output is None else ["-o", output]
    _run(console, ctx, [*job.args, *target, *flags, *_flags(general)], reader)


def _run(
    console: Console, ctx: typer.Context, args: Sequence[str], job: JobWriter | JobReader
) -> None:
    """Run a command of the program in this process, with a job instead of a model."""
    if args[0] == "batch":
        raise UsageError("batch: not a command with --each; use gen or run")
    root: Any = ctx.find_root().command
    with root.make_context("llmtool", list(args), obj=console) as nested:
        nested.meta["job"] = job
        root.invoke(nested)


def _flags(general: g.GeneralOptions) -> list[str]:
    """Return general options as they are typed."""
    flags = ["--quiet"] * general.quiet + ["--debug"] * general.debug
    if general.color != "auto":
        flags.append(f"--color={general.color}")
    return flags if general.progress == "auto" else [*flags, f"--progress={general.progress}"]
