"""Complete the options of `code`, run the user's tests, and print results."""

from __future__ import annotations

import os

import msgspec

from llmtool.cli.commands.code.options import CheckOptions
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import open_sink
from llmtool.engine.types import Failed
from llmtool.errors import OutputValidationError, UsageError
from llmtool.sizes import format_cost, format_count
from llmtool.tasks.code.generate import CodeWriter, syntax_error
from llmtool.tasks.code.originals import Original
from llmtool.tasks.code.results import Code
from llmtool.tasks.code.run_tests import CODE_FILE, TestCommand
from llmtool.tasks.options import CodeOptions
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import TestRun
from llmtool.text.code_languages import find_language, language_of_file, usual_suffix


def complete_options(
    console: Console,
    options: CodeOptions,
    check: CheckOptions,
    *,
    output: g.OutputOptions,
    file: str | None = None,
    is_patch: bool = False,
) -> CodeOptions:
    """Return options with the language and the user's tests.

    Args:
        file: an input file, whose name may imply the language.
        is_patch: whether the output is a patch, which tests cannot run.

    Raises:
        UsageError: the language is not a name, or the test command does not name the code file.
    """
    command = check.test_command
    lacks_file = command is not None and CODE_FILE not in command
    if lacks_file and is_patch:
        raise UsageError(f"--run-tests {command!r}: must contain {{}}, the file of the code")
    if lacks_file and output.json and output.path:
        raise UsageError(
            f"--run-tests {command!r}: with --json, must contain {{}}, the file of the code"
        )
    output_file = None if output.json else output.path
    language = find_language(options.language) if options.language else None
    for path in (file, output_file):
        language = language or (language_of_file(path) if path else None)
    run_tests = None
    if command is not None:
        run_tests = ReportedTests(
            console,
            command,
            language,
            None if is_patch else output_file,
            timeout_seconds=check.test_timeout,
        )
    return msgspec.structs.replace(options, language=language, run_tests=run_tests)


class ReportedTests:
    """Runs the user's tests, and reports the command and its failure on stderr."""

    def __init__(
        self,
        console: Console,
        command: str,
        language: str | None,
        file: str | None,
        *,
        timeout_seconds: float,
    ) -> None:
        self._console = console
        self._file = file
        self._original: Original | None = None
        name = os.path.basename(file) if file else f"code{usual_suffix(language or '')}"
        self._command = TestCommand(
            inputs.read_argument(command, name="--run-tests"),
            name=name,
            write=None if file is None else self._write,
            timeout_seconds=timeout_seconds,
            interruptible=console.interrupts.interruptible,
        )

    def _write(self, code: str) -> None:
        target = self._console.targets.get(self._file or "")
        is_first = self._original is None
        if is_first and target is not None and not target.is_special:
            self._original = Original(target.path)
        try:
            with open_sink(self._console, self._file) as sink:
                sink.write(code)
        except BaseException:
            if is_first:
                self.end(is_written=True)  # the file is unchanged
            raise

    def end(self, *, is_written: bool) -> None:
        """Keep the file if the result is written to it, else restore it as it was."""
        original, self._original = self._original, None
        if original is not None:
            original.drop() if is_written else original.restore()

    def __call__(self, code: str) -> TestRun:
        self._console.note(f"running {self._command.command}")
        run = self._command(code)
        if not run.passed:
            self._console.note(run.reason)
        return run


def generate_one(
    console: Console,
    context: TaskContext,
    writer: CodeWriter,
    case: Case,
    options: CodeOptions,
    *,
    output: g.OutputOptions,
    strict: bool = False,
) -> None:
    """Generate the code of one case and print it.

    If it fails, restore the file that the tests used.

    Raises:
        OutputValidationError: the code has an error; the best version is printed first, unless
            `strict`.
    """
    if output.dry_run:
        show.prompt(console, context, writer.request(case), as_json=output.json)
        return
    is_written = False
    try:
        (outcome,) = writer.outcomes(context.engine, [case])
        if isinstance(outcome, Failed):
            raise outcome.error
        code(console, outcome, output=output, strict=strict)
        is_written = True
    except OutputValidationError:
        # Without `strict`, the file has the best version.
        is_written = not strict or output.json
        raise
    finally:
        if isinstance(options.run_tests, ReportedTests):
            options.run_tests.end(is_written=is_written)


def code(console: Console, result: Code, *, output: g.OutputOptions, strict: bool = False) -> None:
    """Print only the code, the patch of a `Fix`, or the result as JSON.

    Raises:
        OutputValidationError: the code has an error, or is truncated and `strict` is set.
    """
    is_broken = result.status == "error"
    is_truncated = strict and result.finish_reason == "length"
    report(console, result, output, is_hidden=strict and (is_broken or is_truncated))
    if is_broken:
        raise syntax_error(result)
    if is_truncated:
        raise OutputValidationError("the reply was truncated; raise --max-tokens", result=result)


def report(
    console: Console,
    result: Code,
    output: g.OutputOptions,
    *,
    is_hidden: bool,
    is_exact: bool = False,
) -> None:
    """Print a result, unless it is hidden and not JSON; report warnings and statistics on stderr.

    Text that is `is_exact` gets a final newline only on a terminal.
    """
    if output.json or not is_hidden:
        with open_sink(console, output.path) as sink:
            if output.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(str(result))
                if sink.is_terminal or not is_exact:
                    sink.end_line()
    for warning in result.warnings:
        console.note(warning)
    if output.stats:
        usage = result.usage
        console.note(
            f"{result.seconds:.3f} s, {usage.prompt_tokens} prompt tokens "
            f"({usage.cached_tokens} cached), {usage.completion_tokens} generated, "
            f"{format_count(result.rounds, 'repair')}{format_cost(usage.cost)}"
        )
