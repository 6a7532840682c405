"""What `code` does with its options: one request or a batch, code on stdout, exit codes."""

from __future__ import annotations

import os
from pathlib import Path

from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.commands.code.options import CodeGroup, TellGroup
from llmtool.cli.options import groups as g
from llmtool.cli.render import result as show
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check, open_sink
from llmtool.engine.types import Failed
from llmtool.errors import OutputValidationError, UsageError
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.tasks.code.generate import CodeWriter, syntax_error
from llmtool.tasks.code.results import Code
from llmtool.tasks.code.run_tests import PLACE, TestCommand
from llmtool.tasks.options import CodeOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import Binding, fill
from llmtool.tasks.results import TestRun
from llmtool.text.code_languages import CodeLanguage, find_language, language_of_file
from llmtool.toolbox import Toolbox


def write(
    console: Console,
    request: str | None,
    *,
    template: str,
    code: CodeGroup,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    source: g.SourceGroup,
    view: g.PrintGroup,
    batch: g.BatchGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print the code that a request asks for, or the rows of a batch.

    Raises:
        OutputValidationError: the code has an error; it is printed before, unless that was refused.
        LlmtoolError: as writing says.
    """
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    if batch.each is not None and code.run_tests is not None:
        raise UsageError("--run-tests is about one request, without --each")
    loaded = bootstrap.open_library(folders).load(template)
    options = read_options(console, code, tell, sampling, view=view, template=loaded)
    given = frozenset(options.variables)
    reads = bootstrap.input_files(loaded, *(source.file or []))
    if batch.each is not None:
        reader = batches.open_reader(console, batch, source, view, reads=reads)
        prompt = None if request is None else inputs.read_argument(request)
    else:
        batches.refuse(batch)
        check(view.output, reads=reads)
        prompt, material = inputs.gather(
            console,
            request,
            source.file or [],
            no_stdin=source.no_stdin,
            errors=source.errors.value,
        )
        if prompt is None:
            prompt, material = material, None  # what stands alone is the request
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    writer = box.prepare_code(options, strict=batch.each is not None)
    if batch.each is not None:
        alone = prompt is None and {"prompt", "input"} <= writer.template.inputs.keys()
        binding, _ = Binding.make(
            writer.template,
            prompt=prompt,
            field=batch.field,
            given=given | {"input"} if alone else given,
        )
        if view.dry_run:
            batches.preview(console, box, writer, binding, reader, view=view)
            return
        seed = sampling.seed
        batches.run(console, box, writer, binding, reader, batch=batch, view=view, seed=seed)
        return
    case = fill(writer.template, prompt=prompt, input=material, given=given)
    one(console, box, writer, case, options, view=view, strict=code.strict)


def read_options(
    console: Console,
    code: CodeGroup,
    tell: TellGroup,
    sampling: g.SamplingGroup,
    *,
    view: g.PrintGroup,
    template: Template,
    file: str | None = None,
    is_patch: bool = False,
) -> CodeOptions:
    """Return the options of `write_code`; `file` is one whose name says the language.

    With `is_patch` the output is a patch, and no place where tests find the code.

    Raises:
        UsageError: the language is unknown, or the tests would not find the code.
    """
    if is_patch and code.run_tests is not None and PLACE not in code.run_tests:
        raise UsageError("the tests need to find the mended code: write {} for its file")
    if view.json and view.output and code.run_tests is not None and PLACE not in code.run_tests:
        raise UsageError("with --json the file of -o is no code to test: write {} for its file")
    output_file = None if view.json else view.output  # else it holds JSON, whatever is written
    language = find_language(code.language) if code.language else None
    for path in (file, output_file):
        language = language or (language_of_file(path) if path else None)
    system = tell.system
    chosen = sampling.options()
    options = {
        **chosen,
        "template": template,
        "language": language.value if language else None,
        "check": code.check,
        "repair": code.repair,
        "format": code.format,
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "thinking": tell.think,
        "variables": bootstrap.parse_params(tell.param or []),
    }
    if code.run_tests is not None:
        options["run_tests"] = ReportedTests(
            console, code, language, None if is_patch else output_file
        )
    return make_options(CodeOptions, options)


class ReportedTests:
    """The user's tests, which are reported on stderr before they run."""

    def __init__(
        self, console: Console, code: CodeGroup, language: CodeLanguage | None, file: str | None
    ) -> None:
        self._console = console
        assert code.run_tests is not None
        self._file = file
        self._before: bytes | None = None  # what the file held
        self._has_written = False
        name = os.path.basename(file) if file else f"code{language.suffix if language else ''}"
        self._command = TestCommand(
            inputs.read_argument(code.run_tests, name="--run-tests"),
            name=name,
            write=None if file is None else self._write,
            timeout_seconds=code.test_timeout,
        )

    def _write(self, code: str) -> None:
        path = Path(self._file or "")
        if not self._has_written and path.is_file():
            self._before = path.read_bytes()
        self._has_written = True
        with open_sink(self._console, self._file) as sink:
            sink.write(code)

    def undo(self) -> None:
        """Give the file back what it held before the tests needed it."""
        if not self._has_written or self._file is None:
            return
        path = Path(self._file)
        if not path.is_file():
            return
        if self._before is None:
            path.unlink()
        else:
            path.write_bytes(self._before)

    def __call__(self, code: str) -> TestRun:
        self._console.note(f"running {self._command.command}")
        with self._console.interrupts.interruptible():
            run = self._command(code)
        if not run.passed:
            self._console.note(run.reason)
        return run


def one(
    console: Console,
    box: Toolbox,
    writer: CodeWriter,
    case: Case,
    options: CodeOptions,
    *,
    view: g.PrintGroup,
    strict: bool = False,
) -> None:
    """Write the code of one case and print it; if nothing is written, tests restore their file.

    Raises:
        OutputValidationError: it has an error; the best version is printed before, unless `strict`.
    """
    if view.dry_run:
        show.prompt(console, box, writer.request(case), as_json=view.json)
        return
    try:
        (outcome,) = writer.outcomes(box.engine, [case])
        if isinstance(outcome, Failed):
            raise outcome.error
        code(console, outcome, view=view, strict=strict)
    except BaseException as exc:
        # What is not strict has put the best version there; in JSON, the result.
        is_there = isinstance(exc, OutputValidationError) and (not strict or view.json)
        tests = options.run_tests
        if isinstance(tests, ReportedTests) and not is_there:
            tests.undo()
        raise


def code(console: Console, result: Code, *, view: g.PrintGroup, strict: bool = False) -> None:
    """Print code and nothing else, or the whole result as JSON; say on stderr what is to be said.

    Raises:
        OutputValidationError: it has an error, or was cut and `strict` is set.
    """
    is_broken = result.status == "error"
    is_cut = strict and result.finish_reason == "length"
    if view.json or not (strict and (is_broken or is_cut)):
        with open_sink(console, view.output) as sink:
            if view.json:
                sink.write_json(result.to_dict())
            else:
                sink.write(result.text)
                sink.end_line()
    for warning in result.warnings:
        console.note(warning)
    if view.stats:
        statistics(console, result)
    if is_broken:
        raise syntax_error(result)
    if is_cut:
        raise OutputValidationError(
            "the reply was cut, and --strict takes whole code alone", result=result
        )


def statistics(console: Console, result: Code) -> None:
    """Say on stderr what it took."""
    usage = result.usage
    console.note(
        f"{result.seconds:.3f} s, {usage.prompt_tokens} prompt tokens "
        f"({usage.cached_tokens} from the cache), {usage.completion_tokens} written, "
        f"{format_count(result.rounds, 'round')} of repair"
    )
