"""`llmtool prompts test`: run template tests on one or more models."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.sizes import format_count

if TYPE_CHECKING:
    from llmtool.config import Folders, Settings
    from llmtool.errors import LlmtoolError
    from llmtool.evals import EvalPlan, Outcome
    from llmtool.evals.baseline import Baseline
    from llmtool.model_choice import AnyModel
    from llmtool.prompts.library import Library


def register(app: App) -> None:
    """Add `test` to a command group."""
    app.add(
        "test",
        epilog="""Examples:

\b
  llmtool prompts test
  llmtool prompts test triage -m starter -m qwen3.5-2b --split test
  llmtool prompts test ./triage.yaml --junit report.xml
  llmtool prompts test triage --baseline baseline.json --update-baseline""",
    )(test)


def test(
    console: Console,
    *,
    templates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME|PATH]...", help="Templates.", show_default="all your templates"
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            parser=g.parse_reference,
            metavar="REF",
            help="Model to test (repeatable).",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Use only dataset rows with this split."),
    ] = None,
    junit: Annotated[
        str | None,
        typer.Option("--junit", metavar="FILE", help="Write a JUnit report for CI."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="FILE", help="Allow failures recorded in FILE."),
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Record the outcomes in the baseline.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="X", help="Allowed drop of a metric below the baseline."
        ),
    ] = 0.02,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Do not use cached replies.")
    ] = False,
    json: g.Json = False,
    github: g.GitHub = False,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Run template tests on one or more models; exit 17 if one fails.

    Replies are greedy, unless a test sets a temperature, and cached: a second run generates only
    new ones. A template that is invalid or missing counts as a failed test; the others are still
    tested. A run that --timeout ends writes the report, too.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.prompts import render as show
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.errors import LlmtoolError
    from llmtool.evals.junit import write_junit
    from llmtool.evals.plan import unfinished

    started = time.perf_counter()
    folders, settings = bootstrap.start(console, general, model)
    library = bootstrap.open_library(folders)
    references = list(dict.fromkeys(reference or []))
    try:
        before = read_baseline(console, baseline, update=update_baseline)
        if json and github:
            raise UsageError("--json and --github cannot be combined; use one of them")
        plans, outcomes = make_plans(console, library, templates or [], split=split)
        check_report(console, junit, reads=list_files(plans, baseline))
        check_models(folders, settings, references)
    except LlmtoolError as exc:
        write_error_report(console, junit, library, templates or ["templates"], exc)
        raise
    models = [msgspec.structs.replace(model, reference=each) for each in references] or [model]
    names = [each.reference or "" for each in models]
    show.live(console, outcomes, as_json=json, github=github)
    ended_by: LlmtoolError | None = None
    with contextlib.ExitStack() as stack:
        # Opened first, so that write errors appear before the models run.
        report = None if junit is None else stack.enter_context(open_sink(console, junit))
        try:
            for number, each in enumerate(models if plans else ()):
                opened = bootstrap.open_model(console, folders, settings, each, junit)
                names[number] = opened.name
                with contextlib.closing(opened):
                    for plan in plans:
                        found = run(console, opened, plan, cached=not no_cache)
                        compared = (before.compare(each, tolerance=tolerance) for each in found)
                        recorded = record(compared, outcomes)
                        show.live(console, recorded, as_json=json, github=github)
        except LlmtoolError as exc:
            ended_by = exc
            reason = str(console.interrupts.expired or exc)
            outcomes += unfinished(plans, names, outcomes, reason)
        seconds = time.perf_counter() - started
        if report is not None:
            report.write(write_junit(outcomes, seconds=seconds))
    if ended_by is not None:
        raise ended_by
    if baseline is not None and update_baseline:
        outcomes = write_baseline(console, baseline, before, outcomes)
    show.summary(console, outcomes, seconds=seconds, as_json=json)


def record(found: Iterable[Outcome], outcomes: list[Outcome]) -> Iterator[Outcome]:
    """Append each outcome to a list, and yield it."""
    for outcome in found:
        outcomes.append(outcome)
        yield outcome


def check_report(console: Console, path: str | None, *, reads: Iterable[str]) -> None:
    """Check that a report can be written; it replaces an earlier one, but no other file."""
    from llmtool.cli.terminal.output_file import check

    if path is None:
        return
    check(console, path, reads=reads, overwrite=os.path.exists(path))
    if Path(path).is_file():
        with open(path, "rb") as file:
            start = file.read(1)
        if start not in (b"", b"<"):
            raise UsageError(f"--junit {path}: the file exists and is not XML; choose another name")


def write_error_report(
    console: Console, path: str | None, library: Library, names: Sequence[str], error: LlmtoolError
) -> None:
    """Write a report of a run that failed before it started, instead of an earlier report."""
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.errors import LlmtoolError
    from llmtool.evals import untestable
    from llmtool.evals.junit import write_junit

    if path is None:
        return
    with contextlib.suppress(LlmtoolError):
        check_report(console, path, reads=[])
        outcomes = [untestable(library, name, error) for name in dict.fromkeys(names)]
        with open_sink(console, path) as sink:
            sink.write(write_junit(outcomes, seconds=0))


def make_plans(
    console: Console, library: Library, names: Sequence[str], *, split: str | None
) -> tuple[list[EvalPlan], list[Outcome]]:
    """Return the test plans of templates (default: the user's); report those without tests.

    Templates that cannot be tested are returned as outcomes.
    """
    from llmtool.errors import InputError, TemplateError
    from llmtool.evals import make_plan, untestable
    from llmtool.prompts.library import built_in_folder

    chosen = list(dict.fromkeys(names)) or [
        name for name in library.names() if library.find(name).parent != built_in_folder()
    ]
    known = [name for name in chosen if library.has(name)]
    if chosen and not known and len(chosen) > 1:  # `make_plan` reports one, with a suggestion
        raise TemplateError(f"unknown templates: {', '.join(chosen)}; see `llmtool prompts ls`")
    plans, broken = [], []
    for name in chosen:
        try:
            plans.append(make_plan(library, name, split=split))
        except (TemplateError, InputError, UsageError) as exc:
            if not known:
                raise
            broken.append(untestable(library, name, exc))
    if names:
        for plan in plans:
            if not plan.tests:
                console.note(f"template {plan.template.name!r} has no tests")
    plans = [plan for plan in plans if plan.tests]
    if not plans and not broken:
        which = "these templates" if names else "your templates"
        raise UsageError(f"{which} have no tests; add `tests` to a template")
    return plans, broken


def list_files(plans: Sequence[EvalPlan], baseline: str | None) -> Iterator[str]:
    """Yield the files that are read: templates, datasets and the baseline."""
    if baseline is not None:
        yield baseline
    for plan in plans:
        yield from plan.template.files
        yield from map(str, plan.datasets())


def check_models(folders: Folders, settings: Settings, references: Sequence[str]) -> None:
    """Check that all models are available, before the first of several runs."""
    from llmtool.engine.openai.endpoint import find_endpoint
    from llmtool.errors import ModelNotFound, ModelUnreadable
    from llmtool.models.store import Store

    if len(references) < 2:
        return
    store = Store(folders, settings.aliases, offline=settings.offline)
    for reference in references:
        if find_endpoint(reference, settings=settings, environ=os.environ, folder=folders.config):
            continue
        try:
            store.find(reference)
        except (ModelNotFound, ModelUnreadable):
            if store.offline or store.resolve(reference).kind != "hub":
                raise


def run(console: Console, model: AnyModel, plan: EvalPlan, *, cached: bool) -> Iterator[Outcome]:
    """Yield the outcomes of a plan, showing the progress on a terminal."""
    from llmtool.cli import bootstrap
    from llmtool.evals import run_tests
    from llmtool.evals.reply_cache import FOLDER, ReplyCache
    from llmtool.tasks.generate.template import run_each

    context = bootstrap.make_context(model, cached=cached)
    cache = None
    if cached:
        cache = ReplyCache(model.folders.cache / FOLDER, model=context.cache_identity)

    def progress(done: int, total: int) -> None:
        console.status(f"{plan.template.name} on {model.name}: {done} of {total}")

    try:
        yield from run_tests(
            plan,
            partial(run_each, context),
            model_name=model.name,
            cache=cache,
            on_progress=progress,
        )
    finally:
        console.status("")


def read_baseline(console: Console, path: str | None, *, update: bool) -> Baseline:
    """Return the baseline in a file, or an empty one if there is none to compare with."""
    from llmtool.cli.terminal.output_file import check
    from llmtool.evals import baseline

    if path is None:
        if update:
            raise UsageError("--update-baseline needs a file; add --baseline FILE")
        return baseline.Baseline()
    if update:
        check(console, path, overwrite=os.path.exists(path))  # before the models run
    if update and not Path(path).exists():
        return baseline.Baseline()
    return baseline.read(Path(path))


def write_baseline(
    console: Console, path: str, before: Baseline, outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Write the outcomes to a baseline, and return them with their failures accepted.

    The file is read again, as another run may have added outcomes.
    """
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.cli.terminal.output_target import find_target
    from llmtool.errors import InputError
    from llmtool.evals.baseline import encode, mark_known, read
    from llmtool.files import lock_folder

    checked = console.targets.get(path)
    with lock_folder(Path(path).parent):
        now = find_target(path, overwrite=True)
        if checked is not None and now.path == checked.path and os.path.isfile(path):
            with contextlib.suppress(InputError):  # not a baseline: `open_sink` decides
                before = read(now.path)
                console.targets[path] = now
        with open_sink(console, path) as sink:
            sink.write(encode(before.updated(outcomes)))
    known = [mark_known(outcome) for outcome in outcomes]
    n = sum(outcome.status == "known" for outcome in known)
    console.note(f"saved {path} with {format_count(n, 'known failure')}")
    return known
