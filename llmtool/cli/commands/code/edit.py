"""`llmtool code fix`, `complete` and `tests`, which work on existing files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from llmtool.cli.commands.code.options import CheckOptions, Strict
from llmtool.cli.commands.code.review import read_source
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.tasks.options import CompleteOptions, FixOptions, WriteTestsOptions

if TYPE_CHECKING:
    from llmtool.tasks.code.results import Fix

_BOM = b"\xef\xbb\xbf"


def fix(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to fix; - is stdin.")],
    *,
    error: Annotated[
        str | None,
        typer.Option(
            "--error",
            "-e",
            metavar="TEXT",
            help="Error message; - is stdin.",
            show_default="the syntax error found in FILE",
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Change FILE; save the original as FILE.orig.")
    ] = False,
    options: FixOptions,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Fix code: print a patch, or change the file with --write."""
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.code import generate
    from llmtool.cli.render import result as show
    from llmtool.cli.terminal.output_file import check as check_output
    from llmtool.tasks.code.fix import find_error, make_fix, path_in_patch
    from llmtool.tasks.code.subtasks import prepare_fix, write_one
    from llmtool.tasks.pipeline.prepare import Case
    from llmtool.text.code_languages import find_language, language_of_file

    folders, settings = bootstrap.start(console, general, model)
    if write and file == "-":
        raise UsageError("--write cannot change standard input; pass a file name")
    if file == "-" and error == "-":
        raise UsageError("FILE and --error cannot both be -; pass the error as text")
    template = bootstrap.open_library(folders).load(options.template)
    output.check(console, reads=bootstrap.input_files(template, file))
    if "-" not in (file, error):
        inputs.note_unread(console, "FILE")
    text = inputs.read_file(console, file)  # always the whole file: a patch applies to it
    if not text.strip():
        raise InputError(f"{file} is empty")
    before = b"" if file == "-" else Path(file).read_bytes()
    if write:
        check_output(console, file, overwrite=True)
    original = ("\ufeff" if before.startswith(_BOM) else "") + text
    message = inputs.read_stdin(console) if error == "-" else error
    if message is not None and error != "-":
        message = inputs.read_argument(message, name="--error")
    language = find_language(options.language) if options.language else language_of_file(file)
    reason = find_error(text, message, language)
    complete_options = generate.complete_options(
        console,
        msgspec.structs.replace(options, template=template),
        check,
        output=output,
        file=file,
        is_patch=True,
    )
    context, writer = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_fix(context, text, complete_options),
        output.path,
    )
    case = Case(variables={"code": text, "error": reason})
    if output.dry_run:
        show.prompt(console, context, writer.request(case), as_json=output.json)
        return
    patch_name = "-" if file == "-" else path_in_patch(file)
    result = make_fix(write_one(context, writer, case), original, file=patch_name)
    generate.code(console, result, output=output, strict=check.strict)
    if write:
        write_fix(console, Path(file), before, result)


def write_fix(console: Console, path: Path, before: bytes, result: Fix) -> None:
    """Save a backup of a file and write the fixed code to it.

    Raises:
        InputError: the file has changed since it was read.
        OutputError: it cannot be written.
    """
    from llmtool.cli.terminal.output_file import open_sink
    from llmtool.tasks.code.originals import back_up

    if path.read_bytes() != before:
        raise InputError(f"{path} was changed by another program; run the command again")
    backup = back_up(path)
    with open_sink(console, str(path)) as sink:
        sink.write(result.text)
    console.note(f"fixed {path}; the original is saved as {backup}")


def complete(
    console: Console,
    location: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE[:COL]", help="Position; COL defaults to the end of LINE."
        ),
    ],
    *,
    language: Annotated[
        str | None,
        typer.Option(
            "--language", "-l", metavar="LANG", help="Language: python, js, ts, sh, rs, …"
        ),
    ] = None,
    strict: Strict = False,
    sampling: CompleteOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Complete code at a position, with a fill-in-the-middle model.

    Prints exactly the text to insert. If the file is longer than the context, only the code around
    the position is sent, and a note reports this. Models without fill-in-the-middle tokens are
    rejected.
    """
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.code import generate
    from llmtool.cli.render import result as show
    from llmtool.tasks.code import fill_in_middle
    from llmtool.tasks.code.cursor import parse_position, split_at
    from llmtool.text.code_languages import find_language, language_of_file

    folders, settings = bootstrap.start(console, general, model)
    file, line, column = parse_position(location)
    output.check(console, reads=[file])
    before, after = split_at(inputs.read_file(console, file), line, column, file=file)
    code_language = find_language(language) if language else language_of_file(file)
    context, prepared = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: fill_in_middle.prepare(context, before, after, sampling),
        output.path,
    )
    if output.dry_run:
        show.prompt(console, context, prepared.request, as_json=output.json)
        return
    result = fill_in_middle.complete(
        context.engine, prepared, before, after, language=code_language, model=context.model.name
    )
    is_broken = result.status == "error"
    # Editors insert the exact text.
    generate.report(console, result, output, is_hidden=strict and is_broken, is_exact=True)
    if is_broken:
        message = f"{file} has a syntax error with the inserted text: {result.diagnostics[0]}"
        if strict:
            raise OutputValidationError(message)
        console.note(message)


def tests(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Code to test; - is stdin.")],
    *,
    framework: Annotated[
        str | None,
        typer.Option("--framework", metavar="NAME", help="Test framework, such as pytest."),
    ] = None,
    options: WriteTestsOptions,
    check: CheckOptions,
    output: g.OutputOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Write tests for code; they run only with --run-tests."""
    from llmtool.cli import bootstrap
    from llmtool.cli.commands.code import generate
    from llmtool.tasks.code.subtasks import tests_case
    from llmtool.tasks.code.task import prepare_code

    folders, settings = bootstrap.start(console, general, model)
    file, text = read_source(console, file, offline=settings.offline)
    template = bootstrap.open_library(folders).load(options.template)
    output.check(console, reads=bootstrap.input_files(template, file))
    complete_options = generate.complete_options(
        console,
        msgspec.structs.replace(options, template=template),
        check,
        output=output,
        file=file,
    )
    if framework is not None:
        framework = inputs.read_argument(framework, name="--framework")
    context, writer = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_code(context, complete_options),
        output.path,
    )
    case = tests_case(writer, text, framework=framework)
    generate.generate_one(
        console, context, writer, case, complete_options, output=output, strict=check.strict
    )
