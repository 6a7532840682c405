"""Run `code fix`, `complete`, `tests` and `commit`, which work on existing files."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.commands.code import generate
from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.commands.code.review import read_source, report_skipped
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
# Save as .git/hooks/prepare-commit-msg and make it executable (chmod +x).
# Fills an empty commit message with one from a local model. Git passes the message file and the
# source of the message; messages that already have text are unchanged.
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
    """Print a patch that fixes a file; with `write`, change the file and save a backup.

    Raises:
        OutputValidationError: the fixed code has an error; the file is unchanged.
        UsageError: options cannot be combined, or the file has no error to fix.
        LlmtoolError: the file, the template or the model cannot be used.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    if write and file == "-":
        raise UsageError("--write cannot change standard input; pass a file name")
    if file == "-" and error == "-":
        raise UsageError("FILE and --error cannot both be -; pass the error as text")
    template = bootstrap.open_library(folders).load(options.template)
    check_output(output.path, reads=bootstrap.input_files(template, file))
    if "-" not in (file, error):
        inputs.note_unread(console, "FILE")
    text = inputs.read_file(console, file)  # always the whole file: a patch applies to it
    if not text.strip():
        raise InputError(f"{file} is empty")
    before = b"" if file == "-" else Path(file).read_bytes()
    if write:
        check_output(file)
    original = ("\ufeff" if before.startswith(_BOM) else "") + text
    message = inputs.read_stdin(console) if error == "-" else error
    if message is not None and error != "-":
        message = inputs.read_argument(message, name="--error")
    language = find_language(options.language) if options.language else language_of_file(file)
    reason = find_error(text, message, language)
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
    patch_name = "-" if file == "-" else path_in_patch(file)
    result = make_fix(write_one(context, writer, case), original, file=patch_name)
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
        write_fix(console, Path(file), before, result)


def write_fix(console: Console, path: Path, before: bytes, result: Fix) -> None:
    """Save a backup of a file and write the fixed code to it.

    Raises:
        InputError: the file has changed since it was read.
        OutputError: it cannot be written.
    """
    if path.read_bytes() != before:
        raise InputError(f"{path} was changed by another program; run the command again")
    backup = back_up(path)
    with open_sink(console, str(path)) as sink:
        sink.write(result.text)
    console.note(f"fixed {path}; the original is saved as {backup}")


def complete(
    console: Console,
    location: str,
    sampling: CompleteOptions,
    *,
    language: str | None,
    strict: bool,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print the text to insert at a position of a file.

    Raises:
        OutputValidationError: the file has a syntax error with the text, and `strict` is set.
        UsageError: the model does not support filling in text, or the position does not exist.
    """
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    file, line, column = parse_position(location)
    check_output(output.path, reads=[file])
    before, after = split_at(inputs.read_file(console, file), line, column, file=file)
    code_language = find_language(language) if language else language_of_file(file)
    context = bootstrap.open_context(console, folders, settings, model, output.path)
    prepared = fill_in_middle.prepare(context.engine, before, after, sampling)
    if output.dry_run:
        show.prompt(console, context, prepared.request, as_json=output.json)
        return
    result = fill_in_middle.complete(
        context.engine, prepared, before, after, language=code_language, model=context.model.name
    )
    is_broken = result.status == "error"
    if output.json or not (strict and is_broken):
        with open_sink(console, output.path) as sink:
            if output.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.text)  # exact bytes, for editors
                if sink.is_terminal:
                    sink.end_line()
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        generate.statistics(console, result)
    if is_broken:
        message = f"{file} has a syntax error with the inserted text: {result.diagnostics[0]}"
        if strict:
            raise OutputValidationError(message)
        console.note(message)


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
        OutputValidationError: the tests have an error.
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
    generate.generate_one(
        console, context, writer, case, options, output=output, strict=check.strict
    )


def hook_arguments(options: ReplyOptions, model: g.ModelOptions, *, body: bool) -> list[str]:
    """Return the arguments that give a hook, which runs in another directory, the same options."""
    found = ["-m", _absolute_path(model.reference)] if model.reference else []
    found += ["--body"] * body + ["--offline"] * model.offline + ["--no-cache"] * model.no_cache
    if isinstance(options.template, str) and options.template != CommitOptions().template:
        found += ["-t", _absolute_path(options.template)]
    if options.thinking is not None:
        found.append("--think" if options.thinking else "--no-think")
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
        found += [f"--{name.replace('_', '-')}={each}" for each in given if each is not None]
    return found


def _absolute_path(name: str) -> str:
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
    """Print a commit message for the staged changes, or a hook that calls this command."""
    folders, settings = bootstrap.start(console, general, offline=model.offline)
    own = model.reference if hook else None  # with a hook, `open_model` does not check it
    template = bootstrap.open_library(folders).load(options.template)
    check_output(output.path, reads=bootstrap.input_files(template, own))
    if hook:
        if output.json or output.stats:
            raise UsageError("--hook cannot be combined with --json or --stats; omit one of them")
        arguments = map(shlex.quote, hook_arguments(options, model, body=body))
        with open_sink(console, output.path) as sink:
            sink.write(_HOOK.format(options="".join(f" {argument}" for argument in arguments)))
        if output.path and os.path.isfile(output.path):
            path = Path(output.path)
            path.chmod(path.stat().st_mode | 0o111)  # git ignores other hooks
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
    report_skipped(console, result.skipped)
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        console.note(f"{result.seconds:.3f} s, {result.usage.prompt_tokens} prompt tokens")
