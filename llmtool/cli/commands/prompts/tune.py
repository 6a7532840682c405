"""`llmtool prompts tune`: tune a template on labelled records."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError

if TYPE_CHECKING:
    from llmtool.config import Folders

Metric = Literal["accuracy", "fields", "assertions", "exact"]


def register(app: App) -> None:
    """Add `tune` to a command group."""
    app.add(
        "tune",
        epilog="""Examples:

\b
  llmtool prompts tune sentiment --data reviews.jsonl
  llmtool prompts tune ./triage.yaml --data tickets.csv --budget 1000
  llmtool prompts tune extract --data letters.jsonl --dry-run
  llmtool prompts tune title --variant "Write a title." --data texts.csv""",
    )(tune)


def tune(
    console: Console,
    template: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Template name or path.")],
    *,
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="FILE", help="Records with expected answers (JSONL, CSV, TSV)."
        ),
    ],
    metric: Annotated[
        Metric | None,
        typer.Option("--metric", help="What to maximize.", show_default="by the output"),
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", min=1, metavar="N", help="Records to run, at most.")
    ] = 500,
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", metavar="TEXT", help="Wording to try (repeatable)."),
    ] = None,
    written: Annotated[
        int,
        typer.Option(
            "--written", min=0, max=16, metavar="N", help="Wordings that the model writes."
        ),
    ] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan without running a model, then exit.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File of the new template.",
            show_default="NAME-tuned.yaml in your folder, or beside PATH",
        ),
    ] = None,
    overwrite: g.Overwrite = False,
    always: Annotated[
        bool, typer.Option("--always-write", help="Write the template even if it is not better.")
    ] = False,
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE", help="Plot what was tried (.svg, .png, .pdf)."),
    ] = None,
    json: g.Json = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Choose examples, form, wording and calibration of a template on your data and model.

    A part of the data that is not used for tuning gives the final figure. The new template extends
    the original. If it is not better, nothing is written and the exit code is 15.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import tune_render
    from llmtool.cli.commands.prompts.write import write_template
    from llmtool.cli.terminal.output_file import check
    from llmtool.errors import LowConfidence
    from llmtool.models.reference import STARTER
    from llmtool.tuning.child import load_original
    from llmtool.tuning.tune import TuneOptions, prepare
    from llmtool.tuning.tune import tune as run_tuning

    folders, settings = bootstrap.start(console, general, model)
    path = choose_path(folders, template, output, overwrite=overwrite or dry_run)
    options = TuneOptions(
        metric=metric,
        budget=budget,
        variants=tuple(variants or ()),
        written=written,
        name=path.stem,
    )
    original = load_original(bootstrap.open_library(folders), template)
    name = model.reference or settings.model or STARTER
    # Errors of the template and the data come before those of the model.
    checked = prepare(original, data, options, model_name=name)
    if dry_run:
        tune_render.plan(console, checked.plan, as_json=json)
        return
    reads = bootstrap.input_files(original.template, data)
    if path.parent.is_dir() or output is not None:  # the folder of the user may be new
        check(console, str(path), reads=reads, overwrite=overwrite)
    if plot is not None:
        tune_render.check_plot(console, plot, reads=reads, overwrite=overwrite)
    context = bootstrap.open_context(console, folders, settings, model, str(path), plot)
    task = prepare(original, data, options, model_name=context.model.name)

    def progress(done: int, total: int) -> None:
        console.status(f"{template} on {context.model.name}: {done} of at most {total} records")

    with contextlib.closing(context):
        try:
            found = run_tuning(context, task, on_progress=progress)
        finally:
            console.status("")
    tune_render.result(console, found, as_json=json)
    if plot is not None:
        tune_render.draw(console, found, plot)
    if found.is_better or always:
        write_template(path, found.text, overwrite=overwrite)
        console.note(f"saved {path}")
    if not found.is_better:
        raise LowConfidence(tune_render.verdict(found))


def choose_path(folders: Folders, template: str, output: str | None, *, overwrite: bool) -> Path:
    """Return the path of the new template.

    Raises:
        UsageError: it exists, its name is not that of a template, or it is not in the folder of a
            template that is extended by path.
    """
    from llmtool.cli.commands.prompts.write import check_name, check_not_existing, new_path
    from llmtool.prompts.library import SUFFIXES, is_path

    original = Path(template)
    if output is None and not is_path(template):
        return new_path(folders, f"{template}-tuned", overwrite=overwrite)
    path = original.with_name(f"{original.stem}-tuned.yaml") if output is None else Path(output)
    check_name(path.stem)
    if path.suffix not in SUFFIXES:
        raise UsageError(f"-o {path}: the file name must end in .yaml")
    if is_path(template) and path.parent.resolve() != original.parent.resolve():
        raise UsageError(
            f"-o {path}: must be in the folder of {original.name}, which the new template extends"
        )
    check_not_existing(path, overwrite=overwrite)
    return path
