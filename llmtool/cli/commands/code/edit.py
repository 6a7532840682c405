"""`code fix`, `complete`, `tests` and `commit`: what is written for files that are there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.code import generate
from llmtool.cli.commands.code.options import CodeGroup, ReportGroup, TellGroup
from llmtool.cli.commands.code.review import read_options, read_source, tell_left_out
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.tasks.code import fill_in_middle
from llmtool.tasks.code.cursor import parse_place, split_at
from llmtool.tasks.code.fix import back_up, error_of, make_fix, name_in_patch
from llmtool.tasks.code.generate import syntax_error
from llmtool.tasks.code.git import staged_diff
from llmtool.tasks.code.results import Fix
from llmtool.tasks.code.subtasks import COMMIT
from llmtool.tasks.options import SamplingOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.text.code_languages import find_language, language_of_file

_BOM = b"\xef\xbb\xbf"
_HOOK = """\
#!/bin/sh
# .git/hooks/prepare-commit-msg, to be executable (chmod +x).
# Begins an empty commit message with one that a local model writes. Git calls it with the
# message's file and where the message comes from; what somebody has written stays as it is.
case "$2" in "" | template) ;; *) exit 0 ;; esac
message=$(llmtool code commit --quiet{options}) || exit 0
{{ printf '%s\\n' "$message"; cat "$1"; }} > "$1.llmtool" && mv "$1.llmtool" "$1"
"""


def fix(
    console: Console,
    file: str,
    *,
    error: str | None,
    write: bool,
    code: CodeGroup,
    template: str,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    view: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print the patch that mends a file; with `write` change the file, and keep the old one.

    Raises:
        OutputValidationError: the mended code has an error; then nothing is written.
        UsageError, LlmtoolError: as mending says.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    if write and file == "-":
        raise UsageError("--write changes a file, and - is none")
    if file == "-" and error == "-":
        raise UsageError("standard input is named twice (-)")
    loaded = bootstrap.open_library(folders).load(template)
    check(view.output, reads=bootstrap.input_files(loaded, file))
    if "-" not in (file, error):
        inputs.note_unread(console, "FILE")
    text = inputs.read_file(console, file)  # a patch is of a whole file: no lines of it are named
    if not text.strip():
        raise InputError(f"{file}: is empty")
    before = b"" if file == "-" else Path(file).read_bytes()
    if write:
        check(file)
    original = ("\ufeff" if before.startswith(_BOM) else "") + text
    told = inputs.read_stdin(console) if error == "-" else error
    if told is not None and error != "-":
        told = inputs.read_argument(told, name="--error")
    options = generate.read_options(
        console, code, tell, sampling, view=view, template=loaded, file=file, is_patch=True
    )
    # A formatter would hide the change among others.
    options = msgspec.structs.replace(options, format=False)
    reason = error_of(
        text, told, language_of_file(file) if not code.language else find_language(code.language)
    )
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    writer = box.prepare_fix(text, options)
    case = Case(variables={"code": text, "error": reason})
    if view.dry_run:
        show.prompt(console, box, writer.request(case), as_json=view.json)
        return
    named = "-" if file == "-" else name_in_patch(file)
    result = make_fix(box.write_one(writer, case), original, file=named)
    is_broken = result.status == "error"
    if view.json or not (code.strict and is_broken):
        with open_sink(console, view.output) as sink:
            if view.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.diff)
    for warning in result.warnings:
        console.note(warning)
    if view.stats:
        generate.statistics(console, result)
    if is_broken:
        raise syntax_error(result)
    if write:
        change(console, Path(file), before, result)


def change(console: Console, path: Path, before: bytes, result: Fix) -> None:
    """Write mended code into its file, and keep the old one beside it.

    Raises:
        InputError: the file has changed meanwhile.
        OutputError: it cannot be written.
    """
    if path.read_bytes() != before:
        raise InputError(f"{path}: was changed meanwhile, and is left as it is")
    copy = back_up(path)
    with open_sink(console, str(path)) as sink:
        sink.write(result.text)
    console.note(f"{path} is mended; {copy} is the old one")


def complete(
    console: Console,
    place: str,
    *,
    language: str | None,
    strict: bool,
    sampling: g.SamplingGroup,
    view: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print what goes into a gap.

    Raises:
        OutputValidationError: the file does not parse with it, and `strict` is set.
        UsageError: the model cannot do it, or there is no such place.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    file, line, column = parse_place(place)
    check(view.output, reads=[file])
    before, after = split_at(inputs.read_file(console, file), line, column, file=file)
    known = find_language(language) if language else language_of_file(file)
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    prepared = fill_in_middle.prepare(
        box.engine, before, after, make_options(SamplingOptions, sampling.options())
    )
    if view.dry_run:
        show.prompt(console, box, prepared.request, as_json=view.json)
        return
    result = fill_in_middle.complete(
        box.engine, prepared, before, after, language=known, model=box.model_name
    )
    is_broken = result.status == "error"
    if view.json or not (strict and is_broken):
        with open_sink(console, view.output) as sink:
            if view.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.text)  # to the byte: an editor puts it there as it is
                if sink.is_terminal:
                    sink.end_line()
    for warning in result.warnings:
        console.note(warning)
    if view.stats:
        generate.statistics(console, result)
    if is_broken and strict:
        raise OutputValidationError(f"the file has an error with it: {result.diagnostics[0]}")
    if is_broken:
        console.note(f"the file has an error with it: {result.diagnostics[0]}")


def tests(
    console: Console,
    file: str,
    *,
    framework: str | None,
    code: CodeGroup,
    template: str,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    view: g.PrintGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print tests for a file.

    Raises:
        OutputValidationError: they have an error.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    file, text = read_source(console, file)
    loaded = bootstrap.open_library(folders).load(template)
    check(view.output, reads=bootstrap.input_files(loaded, file))
    options = generate.read_options(
        console, code, tell, sampling, view=view, template=loaded, file=file
    )
    if framework is not None:
        framework = inputs.read_argument(framework, name="--framework")
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    writer = box.prepare_code(options)
    case = box.tests_case(writer, text, framework=framework)
    generate.one(console, box, writer, case, options, view=view, strict=code.strict)


def hook_words(
    body: bool, template: str, tell: TellGroup, sampling: g.SamplingGroup, engine: g.EngineGroup
) -> list[str]:
    """Return the options with which a hook, which runs elsewhere, asks for the same message."""
    words = ["-m", _from_anywhere(engine.model)] if engine.model else []
    words += ["--body"] * body + ["--offline"] * engine.offline + ["--no-cache"] * engine.no_cache
    if template != COMMIT:
        words += ["-t", _from_anywhere(template)]
    if tell.think is not None:
        words.append("--think" if tell.think else "--no-think")
    kv_type = engine.kv_type.value
    values: dict[str, object] = {
        **sampling.options(),
        "system": tell.system,
        "param": tell.param,
        "ctx_size": engine.ctx_size,
        "threads": engine.threads,
        "n_gpu_layers": engine.n_gpu_layers,
        "parallel": engine.parallel,
        "kv_type": kv_type if kv_type != g.EngineGroup().kv_type.value else None,
    }
    for name, value in values.items():
        given = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name.replace('_', '-')}={each}" for each in given if each is not None]
    return words


def _from_anywhere(name: str) -> str:
    return os.path.abspath(name) if os.path.isfile(name) else name


def commit(
    console: Console,
    *,
    body: bool,
    hook: bool,
    template: str,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    report: ReportGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print a message for what is staged, or the hook that asks for one."""
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    own = engine.model if hook else None  # a hook names it, and does not open it
    loaded = bootstrap.open_library(folders).load(template)
    check(report.output, reads=bootstrap.input_files(loaded, own))
    if hook:
        if report.json or report.stats:
            raise UsageError("a hook begins a message: --hook goes without --json and --stats")
        words = hook_words(body, template, tell, sampling, engine)
        options = "".join(f" {shlex.quote(word)}" for word in words)
        with open_sink(console, report.output) as sink:
            sink.write(_HOOK.format(options=options))
        if report.output and os.path.isfile(report.output):
            path = Path(report.output)
            path.chmod(path.stat().st_mode | 0o111)  # git passes over others
        return
    diff = staged_diff()
    box = bootstrap.open_toolbox(console, folders, settings, engine, report.output)
    result = box.prepare_commit(read_options(loaded, tell, sampling), body=body).write(diff)
    with open_sink(console, report.output) as sink:
        if report.json:
            sink.write_json(result.to_dict())
        else:
            sink.write(result.text)
            sink.end_line()
    tell_left_out(console, result.left_out)
    for warning in result.warnings:
        console.note(warning)
    if report.stats:
        console.note(f"{result.seconds:.3f} s, {result.usage.prompt_tokens} prompt tokens")
