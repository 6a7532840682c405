"""Explain, review, fix, test and complete code, and write commit messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Failed
from llmtool.tasks.code.task import prepare_code
from llmtool.tasks.options import CodeOptions, CompleteOptions, GenerateOptions, ReviewOptions
from llmtool.tasks.pipeline.collect import raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, prepare
from llmtool.tasks.results import Generation

# Each task imports its own modules.
if TYPE_CHECKING:
    from llmtool.tasks.code.generate import CodeWriter
    from llmtool.tasks.code.results import Code, CommitMessage, Fix, Review

COMMIT_BODY = "commit-body"

FRAMEWORKS = {
    "bash": "bats",
    "c": "assert.h",
    "cpp": "GoogleTest",
    "go": "the package testing",
    "java": "JUnit 5",
    "javascript": "node:test",
    "rust": "#[test]",
    "tsx": "vitest",
    "typescript": "vitest",
}  # other languages use the default of the template


def explain_code(context: TaskContext, code: str, options: GenerateOptions) -> Generation[Any]:
    """Describe what code does; see `Toolbox.explain_code`."""
    prepared = prepare(context, options)
    case = Case(variables={prepared.template.primary_input() or "code": code})
    *_, result = raise_failures(prepared.outcomes(context.engine, [case]))
    assert isinstance(result, Generation)
    return result


def review_code(context: TaskContext, diff: str, options: ReviewOptions) -> Review:
    """Review a unified diff; see `Toolbox.review_code`."""
    from llmtool.tasks.code.review import has_lines, parse_changes, review, review_of_nothing

    files = parse_changes(diff)
    prepared = prepare(context, options)
    if not any(map(has_lines, files)):
        return review_of_nothing(files, model=prepared.model)
    return review(context.engine, prepared, files, max_parts=options.max_parts)


def fix_code(
    context: TaskContext, code: str, error: str | None, options: CodeOptions, *, file: str
) -> Fix:
    """Fix code that fails; see `Toolbox.fix_code`."""
    from llmtool.tasks.code.fix import find_error, make_fix

    writer = prepare_fix(context, code, options)
    found = find_error(code, error, writer.language)
    outcome = write_one(context, writer, Case(variables={"code": code, "error": found}))
    return make_fix(outcome, code, file=file)


def prepare_fix(context: TaskContext, code: str, options: CodeOptions) -> CodeWriter:
    """Load the templates that fix a file, with a token limit that allows to rewrite all of it."""
    from llmtool.tasks.code.fix import max_tokens_for

    writer = prepare_code(context, options)
    if options.sampling.max_tokens is None and context.settings.max_tokens is None:
        needed = max_tokens_for(context.engine, code)
        if needed > (writer.max_tokens or needed):
            return writer.with_max_tokens(needed)
    return writer


def write_tests(
    context: TaskContext, code: str, options: CodeOptions, *, framework: str | None
) -> Code:
    """Write tests for code; see `Toolbox.write_tests`."""
    writer = prepare_code(context, options)
    return write_one(context, writer, tests_case(writer, code, framework=framework))


def tests_case(writer: CodeWriter, code: str, *, framework: str | None) -> Case:
    """Return the inputs of a template that writes tests."""
    default = FRAMEWORKS.get(writer.language or "")
    chosen = framework or default
    return Case(variables={"code": code, **({"framework": chosen} if chosen else {})})


def write_one(context: TaskContext, writer: CodeWriter, case: Case) -> Code:
    """Write the code of one case, with options that `prepare_code` has checked."""
    (outcome,) = writer.outcomes(context.engine, [case])
    if isinstance(outcome, Failed):
        raise outcome.error
    return outcome


def complete_code(
    context: TaskContext, before: str, after: str, options: CompleteOptions, *, language: str | None
) -> Code:
    """Complete code between two texts; see `Toolbox.complete_code`."""
    from llmtool.tasks.code import fill_in_middle
    from llmtool.text.code_languages import find_language

    known = find_language(language) if language else None
    prepared = fill_in_middle.prepare(context, before, after, options)
    return fill_in_middle.complete(
        context.engine, prepared, before, after, language=known, model=context.model.name
    )


def commit_message(
    context: TaskContext, diff: str, options: GenerateOptions, *, body: bool
) -> CommitMessage:
    """Write a commit message; see `Toolbox.commit_message`."""
    from llmtool.tasks.code.commit_message import write_commit_message

    return write_commit_message(context.engine, *prepare_commit(context, options, body=body), diff)


def prepare_commit(
    context: TaskContext, options: GenerateOptions, *, body: bool
) -> tuple[PreparedTask, PreparedTask | None]:
    """Check the options; return the tasks that write the subject and the body, if any."""
    subject = prepare(context, options)
    if not body:
        return subject, None
    return subject, prepare(
        context, msgspec.structs.replace(options, template=COMMIT_BODY, variables={})
    )
