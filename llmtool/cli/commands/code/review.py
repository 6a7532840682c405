"""`code explain` and `code review`: what is said of code, and how it looks."""

from __future__ import annotations

import os

from llmtool._version import __version__
from llmtool.cli import bootstrap
from llmtool.cli.commands.code.options import ReportGroup, TellGroup
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.render import tables
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.errors import InputError, LowConfidence, RecordsFailed, UsageError
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.tasks.code.cursor import parse_range, take_lines
from llmtool.tasks.code.git import staged_diff
from llmtool.tasks.code.results import SEVERITIES, Review, SkippedFile
from llmtool.tasks.code.review import review as review_diff
from llmtool.tasks.code.sarif import sarif
from llmtool.tasks.options import GenerateOptions, make_options
from llmtool.tasks.pipeline.prepare import Case

_MAX_TOLD = 10  # files left out that are told one by one


def read_options(template: Template, tell: TellGroup, sampling: g.SamplingGroup) -> GenerateOptions:
    """Return the options of `generate` for a verb."""
    system = tell.system
    chosen = sampling.options()
    options = {
        **chosen,
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "thinking": tell.think,
        "template": template,
        "variables": bootstrap.parse_params(tell.param or []),
    }
    return make_options(GenerateOptions, options)


def read_source(console: Console, argument: str) -> tuple[str, str]:
    """Return (file, text) of `FILE[:A-B]`; a file whose own name looks like that is meant first.

    Raises:
        UsageError: there are no such lines.
        InputError: the file cannot be read, or is empty.
    """
    file, first, last = argument, None, None
    if not os.path.isfile(argument):
        file, first, last = parse_range(argument)
    if file != "-":
        inputs.note_unread(console, "FILE")
    text = inputs.read_file(console, file)
    if first is not None and last is not None:
        text = take_lines(text, first, last, file=file)
    if not text.strip():
        raise InputError(f"{file}: is empty")
    return file, text


def explain(
    console: Console,
    place: str,
    *,
    started: float,
    template: str,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    view: g.ShowGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print an explanation of a file, or of lines of it, as it comes."""
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    file, text = read_source(console, place)
    loaded = bootstrap.open_library(folders).load(template)
    check(view.output, reads=bootstrap.input_files(loaded, file))
    options = read_options(loaded, tell, sampling)
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    prepared = box.prepare(options)
    case = Case(variables={prepared.template.find_material() or "code": text})
    if view.dry_run:
        show.prompt(console, box, prepared.request(case), as_json=view.json)
        return
    show.generation(
        console,
        box.stream_prepared(prepared, case, started=started),
        to_file=view.output,
        as_json=view.json,
        stream=not view.no_stream,
        think=bool(tell.think),
        logprobs=False,
        has_contract=prepared.contract is not None,
        stats=view.stats,
        started=started,
    )


def review(
    console: Console,
    *,
    staged: bool,
    fail_on: str | None,
    as_sarif: bool,
    template: str,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    source: g.SourceGroup,
    report: ReportGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print what a model finds in a diff.

    Raises:
        LowConfidence: a finding is as bad as `fail_on`, or worse; all are printed before.
        RecordsFailed: none is, but some parts were not reviewed, and `fail_on` is set.
        LlmtoolError: as reviewing says.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    if as_sarif and report.json:
        raise UsageError("--sarif and --json exclude each other")
    if staged and source.file:
        raise UsageError("--staged and -f exclude each other")
    loaded = bootstrap.open_library(folders).load(template)
    check(report.output, reads=bootstrap.input_files(loaded, *(source.file or [])))
    options = read_options(loaded, tell, sampling)
    if staged:
        diff: str | None = staged_diff()
    else:
        _, diff = inputs.gather(
            console, None, source.file or [], no_stdin=source.no_stdin, errors=source.errors.value
        )
    box = bootstrap.open_toolbox(console, folders, settings, engine, report.output)
    result = review_diff(box.engine, box.prepare(options), diff or "")
    with open_sink(console, report.output) as sink:
        if as_sarif:
            sink.write_json(sarif(result, version=__version__))
        elif report.json:
            sink.write_json(result.to_dict())
        elif sink.is_terminal and result.findings:
            table(console, result)
        else:
            sink.write(result.text)
    tell_left_out(console, result.left_out)
    for warning in result.warnings:
        console.note(warning)
    if not result.findings:
        console.note("nothing was found")
    if report.stats:
        parts = format_count(result.n_parts, "part")
        console.note(f"{result.seconds:.3f} s, {parts}, {result.usage.prompt_tokens} prompt tokens")
    judge(result, fail_on)


def tell_left_out(console: Console, files: tuple[SkippedFile, ...]) -> None:
    """Say which files no model was shown."""
    for file in files[:_MAX_TOLD]:
        console.note(f"left out: {file.path} ({file.reason})")
    if len(files) > _MAX_TOLD:
        console.note(f"left out: {len(files) - _MAX_TOLD} more files")


def table(console: Console, result: Review) -> None:
    """Draw findings, those of a file below one another."""
    tables.table(
        console,
        ["place", "severity", "finding"],
        [(f"{f.path}:{f.line}", f.severity, f.message) for f in result.findings],
    )


def judge(result: Review, fail_on: str | None) -> None:
    """Raise for findings that the caller asked to fail on.

    Raises:
        LowConfidence: there is one.
        RecordsFailed: there is none, but parts were not reviewed.
    """
    if fail_on is None:
        return
    limit = [str(severity) for severity in SEVERITIES].index(fail_on)
    bad = [f for f in result.findings if SEVERITIES.index(f.severity) <= limit]
    if bad:
        raise LowConfidence(
            f"{format_count(len(bad), 'finding')} of severity {fail_on} or worse; the first: "
            f"{bad[0].path}:{bad[0].line}"
        )
    if result.n_failed:
        raise RecordsFailed(f"{result.n_failed} of {result.n_parts} parts were not reviewed")
