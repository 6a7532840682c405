"""Run a template on one case or several; its output is a reply, a value or a label."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from llmtool.engine.types import Failed, Token
from llmtool.errors import LlmtoolError, UsageError
from llmtool.option_names import option
from llmtool.tasks.options import (
    ClassifyOptions,
    GenerateOptions,
    SamplingOptions,
    keywords_of,
    make_options,
)
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, no_text_input, prepare
from llmtool.tasks.results import Classification, Generation, Result

if TYPE_CHECKING:
    from llmtool.batch.readers import Reader
    from llmtool.batch.runner import BatchOptions, BatchRunner
    from llmtool.prompts.template import Template
    from llmtool.tasks.classify.classifier import Classifier
    from llmtool.tasks.keywords import GenerateKeywords

# The options that `run` accepts for a template with labels; the seed has no effect.
_LABEL_OPTIONS = ("template", "variables", "system", "input", "seed")
# Options that a call of `run` may pass as inputs by mistake.
_OPTIONS = {*GenerateOptions.__struct_fields__, *SamplingOptions.__struct_fields__}
_OPTIONS -= {"sampling", "template", "variables", "input"}

CaseValues = Mapping[str, Any] | str
RunResult = Generation[Any] | Classification[Any]


def run_options(
    template: str | Template, options: GenerateKeywords | None, inputs: Mapping[str, Any]
) -> GenerateOptions:
    """Return the options of a call of `Toolbox.run`, with its inputs merged into the variables."""
    given: Mapping[str, Any] = options or {}
    variables = {**(given.get("variables") or {}), **inputs}
    return make_options(GenerateOptions, {**given, "template": template, "variables": variables})


def run(
    context: TaskContext, cases: CaseValues | Iterable[CaseValues] | None, options: GenerateOptions
) -> RunResult | Iterator[RunResult] | list[RunResult]:
    """Run a template once, or once per case; see `Toolbox.run`."""

    def run_cases(cases: Iterable[CaseValues]) -> Iterator[RunResult]:
        return raise_failures(_outcomes(context, cases, options))

    if cases is None or isinstance(cases, (str, Mapping)):
        return next(run_cases([{} if cases is None else cases]))
    return map_texts(cases, run_cases)


def run_each(
    context: TaskContext, cases: Iterable[CaseValues], options: GenerateOptions
) -> Generator[RunResult | LlmtoolError, None, None]:
    """Yield the result of each case, or its error; see `Toolbox.run_each`."""
    for outcome in _outcomes(context, cases, options):
        yield outcome.error if isinstance(outcome, Failed) else outcome


def _outcomes(
    context: TaskContext, cases: Iterable[CaseValues], options: GenerateOptions
) -> Iterator[RunResult | Failed]:
    template = context.load_template(options.template)
    for name in options.variables:
        if name in _OPTIONS and name not in template.inputs:
            raise UsageError(
                f"template {template.name!r} has no input {name!r}; to set the option, "
                f"pass options={{{name!r}: VALUE}}"
            )
    prepared = prepare_run(context, msgspec.structs.replace(options, template=template))
    made = (_case(prepared, i, values) for i, values in enumerate(cases))
    outcomes = cast(
        "Generator[Token | RunResult | Failed, None, None]",
        prepared.outcomes(context.engine, made),
    )
    return (outcome for outcome in outcomes if not isinstance(outcome, Token))


def prepare_run(context: TaskContext, options: GenerateOptions) -> PreparedTask | Classifier:
    """Load a template, check the options, and choose the task by the template's output."""
    loaded = context.load_template(options.template)
    if loaded.output.kind != "labels" and loaded.task != "classify":
        return prepare(context, msgspec.structs.replace(options, template=loaded))
    from llmtool.tasks.classify.task import prepare_classifier

    for name in keywords_of(options):
        if name not in _LABEL_OPTIONS:
            raise UsageError(
                f"{option(name)} cannot be used with template {loaded.name!r}, whose output is "
                "a label"
            )
    chosen = ClassifyOptions(template=loaded, variables=options.variables, system=options.system)
    return prepare_classifier(context, None, chosen)


def prepare_batch(
    context: TaskContext,
    reader: Reader,
    output: BatchOptions,
    options: GenerateOptions,
    *,
    field: str | None,
) -> BatchRunner[Result]:
    """Prepare a template for the records of a reader; see `Toolbox.prepare_batch`."""
    from llmtool.tasks.pipeline.records import RecordMapping, make_batch

    task = prepare_run(context, options)
    mapping = RecordMapping(template=task.template, field=field, given=frozenset(options.variables))
    return make_batch(context, task, mapping, reader, output, seed=options.sampling.seed)


def _case(prepared: PreparedTask | Classifier, id: int, values: CaseValues) -> Case | Failed:
    if isinstance(values, Mapping):
        return Case(id=id, variables=values)
    name = prepared.template.primary_input(frozenset(prepared.options.variables))
    if name is None:
        return Failed(id, no_text_input(prepared.template))
    return Case(id=id, variables={name: values})
