"""`code fix`, `complete`, `tests` and `commit`: what is written for files that are there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.code import generate
from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.commands.code.review import read_source, tell_left_out
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check as check_output
from llmtool.cli.terminal.output_file import open_sink
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.tasks.code import fill_in_middle
from llmtool.tasks.code.cursor import parse_position, split_at
from llmtool.tasks.code.fix import back_up, find_error, make_fix, path_in_patch
from llmtool.tasks.code.generate import syntax_error
from llmtool.tasks.code.git import staged_diff
from llmtool.tasks.code.results import Fix
from llmtool.tasks.code.subtasks import commit_message, prepare_fix, tests_case, write_one
from llmtool.tasks.code.task import prepare_code
from llmtool.tasks.options import (
    CodeOptions,
    CommitOptions,
    CompleteOptions,
    ReplyOptions,
    generate_options,
    keywords_of,
)
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
    options: CodeOptions,
    *,
    error: str | None,
    write: bool,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print the patch that mends a file; with `write` change the file, and keep the old one.

    Raises:
        OutputValidationError: the mended code has an error; then nothing is written.
        UsageError, LlmtoolError: as mending says.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    if write and file == "-":
        raise UsageError("--write changes a file, and - is none")
    if file == "-" and error == "-":
        raise UsageError("standard input is named twice (-)")
    template = bootstrap.open_library(folders).load(options.template)
    check_output(output.path, reads=bootstrap.input_files(template, file))
    if "-" not in (file, error):
        inputs.note_unread(console, "FILE")
    text = inputs.read_file(console, file)  # a patch is of a whole file: no lines of it are named
    if not text.strip():
        raise InputError(f"{file}: is empty")
    before = b"" if file == "-" else Path(file).read_bytes()
    if write:
        check_output(file)
    original = ("\ufeff" if before.startswith(_BOM) else "") + text
    told = inputs.read_stdin(console) if error == "-" else error
    if told is not None and error != "-":
        told = inputs.read_argument(told, name="--error")
    typed = options.language
    reason = find_error(text, told, find_language(typed) if typed else language_of_file(file))
    options = msgspec.structs.replace(options, template=template)
    options = generate.complete_options(
        console, options, check, output=output, file=file, is_patch=True
    )
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    writer = prepare_fix(context, text, options)
    case = Case(variables={"code": text, "error": reason})
    if output.dry_run:
        show.prompt(console, context, writer.request(case), as_json=output.json)
        return
    named = "-" if file == "-" else path_in_patch(file)
    result = make_fix(write_one(context, writer, case), original, file=named)
    is_broken = result.status == "error"
    if output.json or not (check.strict and is_broken):
        with open_sink(console, output.path) as sink:
            if output.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.diff)
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
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
    sampling: CompleteOptions,
    *,
    language: str | None,
    strict: bool,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print what goes into a gap.

    Raises:
        OutputValidationError: the file does not parse with it, and `strict` is set.
        UsageError: the model cannot do it, or there is no such place.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    file, line, column = parse_position(place)
    check_output(output.path, reads=[file])
    before, after = split_at(inputs.read_file(console, file), line, column, file=file)
    known = find_language(language) if language else language_of_file(file)
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    prepared = fill_in_middle.prepare(context.engine, before, after, sampling)
    if output.dry_run:
        show.prompt(console, context, prepared.request, as_json=output.json)
        return
    result = fill_in_middle.complete(
        context.engine, prepared, before, after, language=known, model=context.model.name
    )
    is_broken = result.status == "error"
    if output.json or not (strict and is_broken):
        with open_sink(console, output.path) as sink:
            if output.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.text)  # to the byte: an editor puts it there as it is
                if sink.is_terminal:
                    sink.end_line()
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        generate.statistics(console, result)
    if is_broken and strict:
        raise OutputValidationError(f"the file has an error with it: {result.diagnostics[0]}")
    if is_broken:
        console.note(f"the file has an error with it: {result.diagnostics[0]}")


def tests(
    console: Console,
    file: str,
    options: CodeOptions,
    *,
    framework: str | None,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print tests for a file.

    Raises:
        OutputValidationError: they have an error.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    file, text = read_source(console, file)
    template = bootstrap.open_library(folders).load(options.template)
    check_output(output.path, reads=bootstrap.input_files(template, file))
    options = msgspec.structs.replace(options, template=template)
    options = generate.complete_options(console, options, check, output=output, file=file)
    if framework is not None:
        framework = inputs.read_argument(framework, name="--framework")
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    writer = prepare_code(context, options)
    case = tests_case(writer, text, framework=framework)
    generate.one(console, context, writer, case, options, output=output, strict=check.strict)


def hook_words(options: ReplyOptions, model: g.ModelOptions, *, body: bool) -> list[str]:
    """Return the options with which a hook, which runs elsewhere, asks for the same message."""
    words = ["-m", _from_anywhere(model.reference)] if model.reference else []
    words += ["--body"] * body + ["--offline"] * model.offline + ["--no-cache"] * model.no_cache
    if isinstance(options.template, str) and options.template != CommitOptions().template:
        words += ["-t", _from_anywhere(options.template)]
    if options.thinking is not None:
        words.append("--think" if options.thinking else "--no-think")
    values = {
        **keywords_of(options.sampling),
        "system": options.system,
        "param": [f"{name}={value}" for name, value in options.variables.items()],
        "ctx_size": model.ctx_size,
        "threads": model.threads,
        "n_gpu_layers": model.n_gpu_layers,
        "parallel": model.parallel,
        "kv_type": None if model.kv_type == g.ModelOptions().kv_type else model.kv_type,
    }
    for name, value in values.items():
        given = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name.replace('_', '-')}={each}" for each in given if each is not None]
    return words


def _from_anywhere(name: str) -> str:
    return os.path.abspath(name) if os.path.isfile(name) else name


def commit(
    console: Console,
    options: ReplyOptions,
    *,
    body: bool,
    hook: bool,
    output: g.ReportOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print a message for what is staged, or the hook that asks for one."""
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    own = model.reference if hook else None  # a hook names it, and does not open it
    template = bootstrap.open_library(folders).load(options.template)
    check_output(output.path, reads=bootstrap.input_files(template, own))
    if hook:
        if output.json or output.stats:
            raise UsageError("a hook begins a message: --hook goes without --json and --stats")
        words = hook_words(options, model, body=body)
        with open_sink(console, output.path) as sink:
            sink.write(_HOOK.format(options="".join(f" {shlex.quote(word)}" for word in words)))
        if output.path and os.path.isfile(output.path):
            path = Path(output.path)
            path.chmod(path.stat().st_mode | 0o111)  # git passes over others
        return
    diff = staged_diff()
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    chosen = generate_options(options, template=template)
    result = commit_message(context, diff, chosen, body=body)
    with open_sink(console, output.path) as sink:
        if output.json:
            sink.write_json(result.to_dict())
        else:
            sink.write(result.text)
            sink.end_line()
    tell_left_out(console, result.skipped)
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        console.note(f"{result.seconds:.3f} s, {result.usage.prompt_tokens} prompt tokens")
