"""The functions of a server: its templates, and the tasks gen, classify, sum and translate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from llmtool.errors import TemplateError
from llmtool.prompts.library import Library
from llmtool.prompts.schema import Input
from llmtool.prompts.template import Template
from llmtool.safe_yaml import core
from llmtool.server.functions.schemas import NOT_EMPTY, OPTIONS, Schema, result_schema
from llmtool.tasks.generate.template import prepare_run
from llmtool.tasks.options import (
    ClassifyOptions,
    GenerateOptions,
    SummarizeOptions,
    TranslateOptions,
    make_options,
)
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import prepare
from llmtool.tasks.pipeline.records import BatchTask
from llmtool.tasks.results import Classification, Generation, Summary, Translation

_log = logging.getLogger("llmtool.server")
Prepare = Callable[[TaskContext, Mapping[str, Any]], BatchTask]
_PARTS = {"chat", "chat-summary"}  # templates of a chat
_QUERY = ("model", "seed", "max_tokens", "temperature")
_QUERY_OF_LABELS = ("model",)  # they are scored, not sampled
_TYPES: dict[str, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
}


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function that a client can call.

    - `arguments` are JSON Schemas by name; `required` names those without a default.
    - `inputs` are the arguments that differ in each call. The others are options: a batch prepares
      calls with the same options once.
    - `template` is None for a task.
    - `prepare` returns the task for options, among them those of the query.
    - `query` are the query parameters.
    """

    name: str
    description: str
    arguments: dict[str, Schema]
    required: tuple[str, ...]
    inputs: frozenset[str]
    result: Schema
    prepare: Prepare
    template: Template | None = None
    query: tuple[str, ...] = _QUERY

    @property
    def parameters(self) -> Schema:
        """The JSON Schema of the arguments."""
        return {
            "type": "object",
            "properties": self.arguments,
            "required": list(self.required),
            "additionalProperties": False,
        }


def list_functions(library: Library, *, tasks: bool = True) -> dict[str, Function]:
    """Return the functions by name: the tasks, and the templates that are not part of one.

    `tasks` False leaves out what is built in.
    """
    names = library.names() if tasks else library.users()
    found = {each.name: each for each in _TASKS} if tasks else {}
    for name in names:
        if name in found or name in _PARTS:
            continue
        try:
            template = library.load(name)
        except TemplateError as exc:
            _log.warning("template %s is not served: %s", name, exc)
            continue
        if template.task == "gen" or template.output.kind == "labels":
            found[name] = of_template(template)
    return dict(sorted(found.items()))


def of_template(template: Template) -> Function:
    """Return the function of a template. Its inputs of type file are texts: no call reads a file.

    Example:
        >>> from llmtool.prompts.template import parse_template
        >>> text = "llmtool: 1\\nname: hi\\ninputs: {who: {type: string}}\\nprompt: Hi {{ who }}"
        >>> of_template(parse_template(text, source="hi.yaml")).arguments
        {'who': {'type': 'string'}}
    """
    inputs = {
        name: msgspec.structs.replace(spec, type="text") if spec.type == "file" else spec
        for name, spec in template.inputs.items()
    }
    served = msgspec.structs.replace(template, inputs=inputs)

    def prepare_template(context: TaskContext, options: Mapping[str, Any]) -> BatchTask:
        return prepare_run(context, make_options(GenerateOptions, {**options, "template": served}))

    output = template.output
    labels = [str(label) for label in output.labels]
    kind = Classification if labels else Generation
    return Function(
        name=str(template.name),
        description=str(template.description),
        arguments={str(name): _schema_of(spec) for name, spec in inputs.items()},
        required=tuple(str(name) for name, spec in inputs.items() if spec.required),
        inputs=frozenset(inputs),
        result=result_schema(kind, labels=labels, value=output.json),
        prepare=prepare_template,
        template=served,
        query=_QUERY_OF_LABELS if labels else _QUERY,
    )


def _schema_of(spec: Input) -> Schema:
    schema = dict(_TYPES.get(spec.type, {"type": "string"}))
    if spec.type == "text" and spec.required:
        schema["pattern"] = NOT_EMPTY
    if spec.enum:
        schema["enum"] = [str(value) for value in spec.enum]
    if spec.description:
        schema["description"] = str(spec.description)
    if spec.default is not msgspec.UNSET:
        schema["default"] = core(spec.default)
    return schema


def _generate(context: TaskContext, options: Mapping[str, Any]) -> BatchTask:
    return prepare(context, make_options(GenerateOptions, options))


def _classify(context: TaskContext, options: Mapping[str, Any]) -> BatchTask:
    from llmtool.tasks.classify.task import prepare_classifier

    labels, rest = _take(options, "labels")
    return prepare_classifier(context, labels, make_options(ClassifyOptions, rest))


def _summarize(context: TaskContext, options: Mapping[str, Any]) -> BatchTask:
    from llmtool.tasks.summarize.task import prepare_summarizer

    return prepare_summarizer(context, make_options(SummarizeOptions, options))


def _translate(context: TaskContext, options: Mapping[str, Any]) -> BatchTask:
    from llmtool.tasks.translate.task import prepare_translator

    to, rest = _take(options, "to")
    return prepare_translator(context, to, make_options(TranslateOptions, rest))


def _take(options: Mapping[str, Any], name: str) -> tuple[Any, dict[str, Any]]:
    rest = dict(options)
    return rest.pop(name), rest


_TASKS = (
    Function(
        name="gen",
        description="Generate text from a prompt, or JSON that matches a schema.",
        arguments=OPTIONS["gen"],
        required=("prompt",),
        inputs=frozenset({"prompt", "input"}),
        result=result_schema(Generation),
        prepare=_generate,
    ),
    Function(
        name="classify",
        description="Choose the label that fits a text, with scores.",
        arguments=OPTIONS["classify"],
        required=("text", "labels"),
        inputs=frozenset({"text"}),
        result=result_schema(Classification),
        prepare=_classify,
        query=_QUERY_OF_LABELS,
    ),
    Function(
        name="sum",
        description="Summarize a text of any length.",
        arguments=OPTIONS["sum"],
        required=("text",),
        inputs=frozenset({"text"}),
        result=result_schema(Summary),
        prepare=_summarize,
    ),
    Function(
        name="translate",
        description="Translate a text or a document, preserving code, links and markup.",
        arguments=OPTIONS["translate"],
        required=("text", "to"),
        inputs=frozenset({"text"}),
        result=result_schema(Translation),
        prepare=_translate,
    ),
)
