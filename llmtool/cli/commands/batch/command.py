"""`llmtool batch`: the parts of a batch that runs on several machines."""

from __future__ import annotations

import os
from typing import Annotated, get_args

import typer

from llmtool.cli.commands.batch.options import ServerOptions
from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.config import Kind

app = App(
    "Create, answer, submit and read batch files in OpenAI's format, and merge shards.",
    epilog="""Examples:

\b
  llmtool batch create -o job.jsonl -- run title --each csv -f in.csv -m gpt-4o-mini
  llmtool batch run job.jsonl -o results.jsonl -m qwen3.5-4b
  llmtool batch parse results.jsonl --from job.jsonl -o titles.csv""",
)
Command = Annotated[
    list[str], typer.Argument(metavar="COMMAND...", help="A command with --each, after --.")
]


@app.add(
    "create",
    epilog="""Examples:

\b
  llmtool batch create -o job.jsonl -- run title --each csv -f in.csv -m gpt-4o-mini
  llmtool batch create -o job.jsonl --kind vllm -- gen "Translate" --each line -m Qwen/Qwen3-4B""",
)
def create(
    ctx: typer.Context,
    console: Console,
    command: Command,
    *,
    path: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE.jsonl", help="The file to write.")
    ],
    overwrite: g.Overwrite = False,
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help=f"The program that will answer: {', '.join(get_args(Kind))}.",
            show_default="of the endpoint",
        ),
    ] = None,
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, metavar="N", help="Requests per file.")
    ] = 50_000,
    max_mb: Annotated[
        int, typer.Option("--max-mb", min=1, metavar="N", help="Size of a file in MB.")
    ] = 200,
    general: g.GeneralOptions,
) -> None:
    """Write the requests of a command with --each to a batch file.

    Nothing is loaded or sent. The file is in the format of OpenAI's Batch API, which vLLM's
    run-batch and `batch run` read as well. With more requests than a file may have, there are
    several: FILE-1.jsonl and so on. Beside them, FILE.batch.json has what `batch parse` needs.

    -m names the model as its server does, or is ENDPOINT:NAME. Options that not all servers have,
    such as --top-k, need --kind, or an endpoint of a known kind.
    """
    from llmtool.cli.commands.batch.job import create_job

    create_job(
        console,
        ctx,
        command,
        path,
        overwrite=overwrite,
        kind=kind,
        max_requests=max_requests,
        max_bytes=max_mb * 1_000_000,
        general=general,
    )


@app.add(
    "run",
    epilog="""Examples:

\b
  llmtool batch run requests.jsonl -o results.jsonl -m qwen3.5-4b
  llmtool batch run requests.jsonl -o results.jsonl -m qwen3.5-4b --resume""",
)
def run(
    console: Console,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Requests, one per line; - is stdin.")
    ],
    *,
    path: g.OutputFile = None,
    overwrite: g.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the file of -o.")] = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Answer the requests of a batch file in OpenAI's format.

    Requests are chat completions and completions, as `llmtool serve` accepts them. The results are
    in the order of the requests. A request that is invalid or fails gets a result with an error,
    and the exit code is 3.
    """
    import os
    from pathlib import Path

    from llmtool.batch.journal import check_writable
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.batch.answer import answer_file
    from llmtool.cli.terminal.output_file import check
    from llmtool.errors import UsageError
    from llmtool.toolbox import Toolbox

    folders, settings = bootstrap.start(console, general, model)
    if resume and path is None:
        raise UsageError("--resume needs an output file; add -o FILE")
    if resume and overwrite:
        raise UsageError("--resume and --overwrite cannot be combined; use one of them")
    check(console, path, reads=[file], overwrite=path is not None or overwrite)
    if path is not None and os.path.isfile(path):  # written in place
        check_writable(Path(path), "jsonl", resume=resume, overwrite=overwrite)
    context = bootstrap.open_context(console, folders, settings, model, path)
    box = Toolbox(
        context.model.name,
        engine=context.engine,
        concurrent=True,
        settings=settings,
        folders=folders,
        cancellation=context.cancellation,
    )
    answered = answer_file(
        console, box, context.model.name, file, output=path, resume=resume, overwrite=overwrite
    )
    answered.conclude(console)


@app.add(
    "parse",
    epilog="""Examples:

\b
  llmtool batch parse results.jsonl --from job.jsonl -o titles.csv
  llmtool batch parse output-*.jsonl errors-*.jsonl --from job.jsonl > titles.csv
  llmtool batch parse again.jsonl --from job.jsonl -o titles.csv --retry-failed""",
)
def parse(
    ctx: typer.Context,
    console: Console,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files of results and of errors.")
    ],
    *,
    job: Annotated[str, typer.Option("--from", metavar="FILE", help="The file of `batch create`.")],
    path: g.OutputFile = None,
    overwrite: g.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the file of -o.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Replace the failed rows of -o FILE.")
    ] = False,
    general: g.GeneralOptions,
) -> None:
    """Write the rows of a command from the results of its batch file.

    The rows are those of the command itself, in the order of its input. Replies are checked as
    usual. A record whose result is missing, an error, a refusal or not valid fails, and the exit
    code is 3. Results may be in any order and in several files, of any program.
    """
    from llmtool.cli.commands.batch.job import parse_job

    flags = {"--overwrite": overwrite, "--resume": resume, "--retry-failed": retry_failed}
    parse_job(
        console,
        ctx,
        job,
        files,
        path,
        flags=[name for name, is_set in flags.items() if is_set],
        general=general,
    )


Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Batch files.")]


@app.add(
    "submit",
    epilog="""Examples:

\b
  llmtool batch submit job.jsonl --endpoint openai
  llmtool batch submit job-*.jsonl --base-url https://gpu.example/v1""",
)
def submit(
    console: Console, files: Files, *, server: ServerOptions, general: g.GeneralOptions
) -> None:
    """Send batch files to a server with OpenAI's Batch API.

    A file is never submitted twice: FILE.submission.json records each step, and an interrupted
    command continues. By default, the server is that of the model in `batch create`.
    """
    from llmtool.cli.commands.batch.server import submit_files

    submit_files(console, files, server, general)


@app.add("status", epilog="Example: llmtool batch status job.jsonl --json | jq -r '.[].status'")
def status(
    console: Console,
    files: Files,
    *,
    server: ServerOptions,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Show how far the server is with submitted batch files."""
    from llmtool.cli.commands.batch.server import show_status

    show_status(console, files, server, general, as_json=json)


@app.add(
    "fetch",
    epilog="""Examples:

\b
  llmtool batch fetch job.jsonl --wait
  llmtool batch fetch job-*.jsonl""",
)
def fetch(
    console: Console,
    files: Files,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the batches have ended.")
    ] = False,
    server: ServerOptions,
    general: g.GeneralOptions,
) -> None:
    """Save the results of submitted batch files, and print the names of the new files.

    They are FILE.output.jsonl and FILE.errors.jsonl, and complete or absent. Each request must have
    one result; if some have none, as of an expired batch, the exit code is 3.
    """
    from llmtool.cli.commands.batch.server import fetch_results

    fetch_results(console, files, server, general, wait=wait)


@app.add(
    "merge",
    epilog="""Examples:

\b
  seq 8 | xargs -P 8 -I {} llmtool run triage --each csv -f in.csv --shard {}/8 -o {}.csv
  llmtool batch merge [1-8].csv -o out.csv""",
)
def merge(
    console: Console,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Output files of all shards.")
    ],
    *,
    path: g.OutputFile = None,
    overwrite: g.Overwrite = False,
    general: g.GeneralOptions,
) -> None:
    """Join the output files of shards (--shard) in the order of the input.

    The result is that of a batch without shards, and can be resumed like one. Nothing is written
    if records are missing, unfinished or duplicated (exit code 14), or if the files are not the
    shards of one batch (2). The exit code is 3 if records failed; their rows contain the errors.
    """
    from llmtool.batch.merge import merge_shards
    from llmtool.cli import batch as batches
    from llmtool.cli.terminal.output_file import check, open_sink
    from llmtool.errors import RecordsFailed, UsageError

    first, *others = files
    if path is None and not os.path.exists(first) and any(map(os.path.exists, others)):
        raise UsageError(f"{first}: no such file; to write it, use -o {first}")
    check(console, path, reads=files, overwrite=overwrite)
    with console.interrupts.interruptible():
        merged = merge_shards(files)
        batches.check_suffix(path, merged.format)
        with open_sink(console, path) as sink:
            for line in merged.lines():
                sink.write(line.decode())
    if merged.n_failed:
        raise RecordsFailed(
            f"{merged.n_failed:,} of {merged.n_rows:,} records failed; see `error` in the rows"
        )
