"""`llmtool batch`: the parts of a batch that runs on several machines."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

app = App(
    "Answer batch files in OpenAI's format, and merge shards.",
    epilog="Example: llmtool batch run requests.jsonl -o results.jsonl",
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
    from llmtool.errors import RecordsFailed

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
