"""`llmtool bench`: measure the speed of a model."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

app = App()


def _sizes(value: str) -> tuple[int, ...]:
    from llmtool.text.separators import split_list

    try:
        sizes = tuple(int(part) for part in split_list(value))
    except ValueError:
        raise typer.BadParameter(f"{value!r}: must be numbers such as 1,4,16") from None
    if not all(1 <= size <= 256 for size in sizes):
        raise typer.BadParameter(f"{value!r}: numbers must be between 1 and 256")
    return sizes


@app.add(
    "bench",
    epilog="""Examples:

\b
  llmtool bench
  llmtool bench -m model.gguf --parallel 1,8,64 --plot scaling.svg
  llmtool bench --quick --json | jq '.rows[] | {test, median, unit}'""",
)
def bench(
    console: Console,
    *,
    model: g.ModelReference = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Finish in seconds instead of a minute.")
    ] = False,
    parallel: Annotated[
        Any | None,
        typer.Option(
            "--parallel",
            parser=_sizes,
            metavar="N,N",
            help="Numbers of parallel replies.",
            show_default="1,2,4,8,16,32",
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
            help="Repetitions of each test.",
            show_default="3, or 1 with --quick",
        ),
    ] = None,
    threads: g.Threads = None,
    n_gpu_layers: g.GpuLayers = None,
    chat_template: g.ChatTemplate = None,
    template_args: g.TemplateArgs = None,
    lora: g.Lora = None,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Plot speed by parallel replies (.svg, .png, .pdf)."),
    ] = None,
    overwrite: g.Overwrite = False,
    json: g.Json = False,
    offline: g.Offline = False,
    timeout: g.Timeout = None,
    general: g.GeneralOptions,
) -> None:
    """Measure the speed of a model on this machine.

    Prints the median, minimum and maximum of each test. Test names follow llama-bench: pp512 is a
    prompt of 512 tokens, and tg64 @ d100 a reply of 64 tokens after a prompt of 100.
    """
    import msgspec

    from llmtool.bench import report as bench_report
    from llmtool.bench.measure import QUICK, BenchPlan
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.bench import plot as bench_plot
    from llmtool.cli.commands.bench.render import table
    from llmtool.errors import UsageError
    from llmtool.model_choice import require_local

    if plot is not None:
        bench_plot.check(console, plot, parallel, overwrite=overwrite)
    elif overwrite:
        raise UsageError("--overwrite needs a plot; add --plot FILE")
    options = g.ModelOptions(
        reference=model,
        resources=g.ResourceOptions(
            threads=threads,
            n_gpu_layers=n_gpu_layers,
            chat_template=chat_template,
            template_args=template_args,
            draft="off",  # texts of the tests repeat themselves
            lora=lora,
        ),
        server="never",
        offline=offline,
        timeout=timeout,
    )
    folders, settings = bootstrap.start(console, general, options)
    plan = QUICK if quick else BenchPlan()
    plan = msgspec.structs.replace(
        plan,
        n_parallel=parallel or plan.n_parallel,
        repetitions=repetitions or plan.repetitions,
    )
    # The benchmark measures the load, so it must not start earlier.
    opened = require_local(
        bootstrap.open_model(console, folders, settings, options, plot, warm_up=False), "bench"
    )
    started = time.perf_counter()

    def show_step(what: str) -> None:
        console.status(f"{time.perf_counter() - started:3.0f} s  {what}")

    report = bench_report.run(opened, plan, on_step=show_step, on_note=console.note)
    console.status("")
    if plot is not None:
        with console.interrupts.interruptible():
            bench_plot.draw(console, report, plot)
    if json:
        console.stdout.write_json(report.to_dict())
    else:
        table(console, report)
