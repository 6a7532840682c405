"""Write code that is checked, repaired and formatted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from llmtool.arguments import check_range
from llmtool.tasks.options import CodeOptions, GenerateOptions
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, check_task, prepare

if TYPE_CHECKING:
    from llmtool.tasks.code.generate import CodeWriter
    from llmtool.tasks.code.results import Code

REPAIR = "code-repair"


def write_code(
    context: TaskContext, request: str | Iterable[str], options: CodeOptions
) -> Code | Iterator[Code] | list[Code]:
    """Write the code of a request, or of each of several; see `Toolbox.write_code`."""

    def run(requests: Iterable[str]) -> Iterator[Code]:
        writer = prepare_code(context, options)
        cases = (Case(id=i, prompt=request) for i, request in enumerate(requests))
        return raise_failures(writer.outcomes(context.engine, cases))

    return map_texts(request, run)


def prepare_code(context: TaskContext, options: CodeOptions, *, strict: bool = False) -> CodeWriter:
    """Check the options of a call and load its templates, once for all its cases.

    With `strict`, code with an error is a failure, whose error has the code as its result.

    Raises:
        UsageError, TemplateError: see `Toolbox.write_code`.
    """
    from llmtool.tasks.code.generate import (
        LANGUAGE_INPUT,
        CodeChecker,
        CodePrompts,
        CodeWriter,
        language_name,
    )
    from llmtool.text.code_languages import find_language, known_language

    check_range("repair", options.repair, 0, 10)
    language = find_language(options.language) if options.language else None
    template = context.load_template(options.template)
    check_task(template, "code")
    variables = dict(options.variables)
    if LANGUAGE_INPUT in template.inputs:
        default = template.inputs[LANGUAGE_INPUT].default
        if language is None:
            given = variables.get(LANGUAGE_INPUT, default)
            language = known_language(given) if isinstance(given, str) else None
        else:
            variables[LANGUAGE_INPUT] = language_name(language)
    elif language is None:
        language = known_language(template.output.code)
    first = GenerateOptions(
        template=template,
        system=options.system,
        variables=variables,
        thinking=options.thinking,
        sampling=options.sampling,
        input=options.input,
    )
    # The repair template needs no system prompt, input or variables.
    repair = GenerateOptions(template=REPAIR, thinking=options.thinking, sampling=options.sampling)
    prompts = CodePrompts(
        first=prepare(context, first), repair=prepare(context, repair), language=language
    )
    checker = CodeChecker(
        checks_syntax=options.check, formats=options.format, run_tests=options.run_tests
    )
    max_repairs = options.repair if options.check else 0
    return CodeWriter(prompts=prompts, checker=checker, max_repairs=max_repairs, strict=strict)
