"""`llmtool bench`: how fast a model runs here."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import types as o
from llmtool.cli.options.groups import EngineGroup
from llmtool.cli.terminal.console import Console

app = new_app()


def _sizes(value: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in value.split(","))
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a list of numbers such as 1,4,16") from None
    if not all(1 <= size <= 256 for size in sizes):
        raise typer.BadParameter(f"{value!r}: each number must be between 1 and 256")
    return sizes


@app.command(
    "bench",
    context_settings=HELP,
    epilog="""Examples:

\b
  llmtool bench
  llmtool bench -m model.gguf --n-parallel 1,8,64 --plot scaling.svg
  llmtool bench --quick --json | jq '.rows[] | {test, median, unit}'""",
)
def bench(
    ctx: typer.Context,
    model: o.ModelOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few seconds instead of a minute; rougher.")
    ] = False,
    n_parallel: Annotated[
        Any | None,
        typer.Option(
            parser=_sizes,
            metavar="N,N",
            help="Replies at once (1,2,4,8,16,32; fewer with --quick).",
        ),
    ] = None,
    repetitions: Annotated[
        int | None,
        typer.Option(
            "--repetitions",
            "-r",
            min=1,
            max=1000,
            metavar="N",
            help="How often each figure is measured (3; 1 with --quick).",
        ),
    ] = None,
    threads: o.ThreadsOption = None,
    n_gpu_layers: o.GpuLayersOption = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw speed over replies at once: .svg, .png or .pdf."),
    ] = None,
    json: o.JsonOption = False,
    offline: o.OfflineOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Measure how fast a model loads, reads and writes here.

    Prints medians with the least and the greatest value. The names are llama-bench's where it has
    one: pp512 is a prompt of 512 tokens, tg64 @ d100 a reply of 64 tokens after 100.
    """
    import msgspec

    from llmtool.bench import report as bench_report
    from llmtool.bench.measure import QUICK, Plan
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.bench import plot as bench_plot
    from llmtool.cli.commands.bench.render import table

    console: Console = ctx.obj
    if plot is not None:
        bench_plot.check(plot, n_parallel)
    folders, settings = bootstrap.start(console, color=color.value, quiet=quiet, offline=offline)
    plan = QUICK if quick else Plan()
    plan = msgspec.structs.replace(
        plan,
        n_parallel=n_parallel or plan.n_parallel,
        repetitions=repetitions or plan.repetitions,
    )
    engine = EngineGroup(model=model, threads=threads, n_gpu_layers=n_gpu_layers)
    box = bootstrap.open_toolbox(console, folders, settings, engine, plot)
    started = time.perf_counter()

    def show_step(what: str) -> None:
        console.status(f"{time.perf_counter() - started:3.0f} s  {what}")

    report = bench_report.run(box, plan, on_step=show_step, on_note=console.note)
    console.status("")
    if plot is not None:
        with console.interrupts.interruptible():
            bench_plot.draw(report, plot)
    if json:
        console.stdout.write_json(report.to_dict())
    else:
        table(console, report)
