"""`llmtool batch`: the parts of a batch that runs on several machines."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

app = App(
    "Merge the shards of a batch.",
    epilog="Example: llmtool batch merge shard-*.jsonl -o rated.jsonl",
)


@app.callback()
def batch() -> None:
    pass


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
