"""`llmtool code explain` and `code review`."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, LowConfidence, RecordsFailed, UsageError
from llmtool.sizes import format_count
from llmtool.tasks.options import ExplainOptions, ReplyOptions, ReviewOptions, generate_options

if TYPE_CHECKING:
    from llmtool.tasks.code.results import Review, SkippedFile

_MAX_LISTED = 10  # skipped files


def read_source(console: Console, argument: str, *, offline: bool) -> tuple[str, str]:
    """Return (file, text) of `FILE[:A-B]`; an existing file with that whole name takes precedence.

    The file can be a URL.

    Raises:
        UsageError: the lines do not exist.
        InputError: the file cannot be read, or is empty.
    """
    from llmtool.tasks.code.cursor import parse_range, select_lines

    file, first, last = argument, None, None
    if not os.path.isfile(argument):
        file, first, last = parse_range(argument)
    if file != "-":
        inputs.note_unread(console, "FILE")
    source = inputs.Input(errors=None, offline=offline)
    text = inputs.read_source(console, file, source, form="source")
    if first is not None and last is not None:
        text = select_lines(text, first, last, file=file)
    if not text.strip():
        raise InputError(f"{file} is empty")
    return file, text


def explain(
    console: Console,
    location: Annotated[
        str,
        typer.Argument(metavar="FILE[:A-B]", help="File or URL, or its lines A to B; - is stdin."),
    ],
    *,
    options: ReplyOptions = ReplyOptions(template=ExplainOptions().template),
    output: g.StreamOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Explain what code does."""
    from llmtool.cli import bootstrap
    from llmtool.cli.render import result as show
    from llmtool.tasks.pipeline.prepare import Case, prepare

    started = time.perf_counter()
    folders, settings = bootstrap.start(console, general, model)
    file, text = read_source(console, location, offline=settings.offline)
    template = bootstrap.open_library(folders).load(options.template)
    output.check(console, reads=bootstrap.input_files(template, file))
    context, prepared = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare(context, generate_options(options, template=template)),
        output.path,
    )
    case = Case(variables={prepared.template.primary_input() or "code": text})
    if output.dry_run:
        show.prompt(console, context, prepared.request(case), as_json=output.json)
        return
    show.generation(
        console,
        prepared.stream(context.engine, case, started=started),
        to_file=output.path,
        as_json=output.json,
        is_live=not output.no_stream,
        is_prose=prepared.sampling.constraint is None,
        think=options.requests_reasoning,
        logprobs=False,
        constraint=prepared.sampling.constraint,
        stats=output.stats,
        started=started,
    )


def review(
    console: Console,
    *,
    staged: Annotated[
        bool, typer.Option("--staged", help="Review the changes staged in git.")
    ] = False,
    fail_on: Annotated[
        Literal["error", "warning", "note"] | None,
        typer.Option("--fail-on", help="Exit 15 on findings this severe or worse."),
    ] = None,
    max_parts: Annotated[
        int,
        typer.Option(
            "--max-parts", min=1, metavar="N", help="Review only the first N parts of the diff."
        ),
    ] = ReviewOptions().max_parts,
    sarif: Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0 (for CI).")] = False,
    github: g.GitHub = False,
    options: ReplyOptions = ReplyOptions(template=ReviewOptions().template),
    input: g.InputOptions,
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Review a diff and list problems by line.

    The diff is read from standard input, -f or --staged. Lock files, generated files and binary
    files are skipped. Each finding refers to a line of the diff. An empty diff has no findings.

    A part is a file, or a piece of a long one of up to 2,048 tokens. With --fail-on, the exit code
    is 3 if a part of the diff could not be reviewed, or if there are more than --max-parts.
    """
    from llmtool._version import __version__
    from llmtool.cli import bootstrap
    from llmtool.cli.render import tables
    from llmtool.cli.render.github import annotation
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.cli.terminal.progress import RecordProgress
    from llmtool.models.reference import STARTER
    from llmtool.tasks.code import git
    from llmtool.tasks.code.review import has_lines, parse_changes, review_of_nothing
    from llmtool.tasks.code.review import review as review_files
    from llmtool.tasks.code.sarif import sarif as to_sarif
    from llmtool.tasks.pipeline.prepare import prepare

    folders, settings = bootstrap.start(console, general, model)
    chosen = {"--sarif": sarif, "--json": output.json, "--github": github}
    formats = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(formats) > 1:
        raise UsageError(f"{formats[0]} and {formats[1]} cannot be combined; use one of them")
    source = input.resolve(console, settings, reads_pdf=False)
    if staged and source.files:
        raise UsageError("--staged and -f cannot be combined; use one of them")
    template = bootstrap.open_library(folders).load(options.template)
    output.check(console, reads=bootstrap.input_files(template, *source.files))
    if staged:
        diff: str | None = git.staged_diff()
    else:
        _, diff = inputs.gather(
            console,
            None,
            source,
            may_be_empty=True,
            what="diff",
            advice="run `git diff | llmtool code review` or use --staged",
        )
    files = parse_changes(diff or "")
    if any(map(has_lines, files)):
        context, prepared = bootstrap.open_task(
            console,
            folders,
            settings,
            model,
            lambda context: prepare(context, generate_options(options, template=template)),
            output.path,
        )
        with RecordProgress(console, "reviewed: ") as progress:
            result = review_files(context.engine, prepared, files, progress, max_parts=max_parts)
    else:
        name = model.reference or settings.model or STARTER
        result = review_of_nothing(files, model=name)
    with open_sink(console, output.path) as sink:
        if sarif:
            sink.write_json(to_sarif(result, version=__version__))
        elif output.json:
            sink.write_json(result.to_dict())
        elif github:
            for found in result.findings:
                sink.write(
                    annotation(
                        "notice" if found.severity == "note" else found.severity,
                        found.message,
                        title="llmtool code review",
                        file=found.path,
                        line=found.line,
                    )
                )
        elif sink.is_terminal and result.findings:
            rows = [(f"{f.path}:{f.line}", f.severity, f.message) for f in result.findings]
            tables.table(console, ["location", "severity", "finding"], rows)
        else:
            sink.write(result.text)
    report_skipped(console, result.skipped)
    for warning in result.warnings:
        console.note(warning)
    if not result.findings:
        console.note("no findings" if result.n_parts else "no changes to review")
    if output.stats:
        parts = format_count(result.n_parts, "part")
        console.note(f"{result.seconds:.3f} s, {parts}, {result.usage.prompt_tokens} prompt tokens")
    check_severity(result, fail_on)


def report_skipped(console: Console, files: tuple[SkippedFile, ...]) -> None:
    """Report the files that were not sent to the model."""
    for file in files[:_MAX_LISTED]:
        console.note(f"skipped {file.path} ({file.reason})")
    if len(files) > _MAX_LISTED:
        console.note(f"skipped {len(files) - _MAX_LISTED} more files")


def check_severity(result: Review, fail_on: str | None) -> None:
    """Fail for findings with the severity `fail_on` or worse.

    Raises:
        LowConfidence: there are such findings.
        RecordsFailed: there are none, but parts were not reviewed.
    """
    from llmtool.tasks.code.results import SEVERITIES

    if fail_on is None:
        return
    limit = [str(severity) for severity in SEVERITIES].index(fail_on)
    bad = [f for f in result.findings if SEVERITIES.index(f.severity) <= limit]
    if bad:
        raise LowConfidence(
            f"{format_count(len(bad), 'finding')} of severity {fail_on} or worse; "
            f"first: {bad[0].path}:{bad[0].line}"
        )
    if result.n_omitted:
        raise RecordsFailed(
            f"{format_count(result.n_omitted, 'added line')} of the diff were not reviewed; raise "
            "--max-parts"
        )
    if result.n_failed:
        raise RecordsFailed(
            f"{result.n_failed} of {result.n_parts} parts of the diff were not reviewed"
        )
