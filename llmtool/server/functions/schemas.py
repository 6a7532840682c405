"""JSON Schemas of what functions accept and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec

from llmtool.file_kinds import Dialect, Format
from llmtool.tasks.options import Strategy, Style
from llmtool.tasks.results import Result

Schema = dict[str, Any]
NOT_EMPTY = r"\S"  # a pattern
_STRING: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "pattern": NOT_EMPTY}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _input(description: str) -> Schema:
    return {"type": "string", "pattern": NOT_EMPTY, "description": description}


def _enum(values: Sequence[str], description: str) -> Schema:
    return {"type": "string", "enum": list(values), "description": description}


_STRATEGIES = ("auto", *get_args(Strategy))
# The arguments of the tasks, by name.
OPTIONS: dict[str, dict[str, Schema]] = {
    "gen": {
        "prompt": _input("Prompt or instruction."),
        "input": _text("Text that the instruction is about."),
        "system": _text("System prompt."),
        "prefill": _text("Start of the reply."),
        "schema": {
            "type": ["object", "string"],
            "description": "JSON Schema of the reply, or its short form, such as name, age int.",
        },
        "regex": _text("Regular expression that the reply must match."),
        "grammar": _text("GBNF grammar that the reply must match."),
    },
    "classify": {
        "text": _input("Text to classify."),
        "labels": {
            "description": "Names of labels, or an object from names to descriptions.",
            "anyOf": [
                {"type": "array", "items": _NAME, "minItems": 2, "uniqueItems": True},
                {"type": "object", "additionalProperties": _STRING, "minProperties": 2},
            ],
        },
        "multi": {"type": "boolean", "description": "Whether any number of labels may fit."},
        "examples": {
            "type": "array",
            "description": "Labelled texts.",
            "items": {
                "type": "object",
                "properties": {"text": _STRING, "label": _STRING},
                "required": ["text", "label"],
                "additionalProperties": False,
            },
        },
        "min_confidence": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "Score below which no label is chosen.",
        },
    },
    "sum": {
        "text": _input("Text to summarize."),
        "length": _text("Length, such as short, 3 sentences or 200 words."),
        "style": _enum(get_args(Style), "Form of the summary."),
        "focus": _text("What the summary is about."),
        "strategy": _enum(_STRATEGIES, "Whether the model writes, or sentences are quoted."),
    },
    "translate": {
        "text": _input("Text or document to translate."),
        "to": _text("Language, such as German or pt-BR."),
        "source": _text("Language of the text; detected by default."),
        "format": _enum(("auto", *get_args(Format)), "Format of the text."),
        "dialect": _enum(get_args(Dialect), "Dialect of Markdown."),
        "glossary": {
            "type": "object",
            "additionalProperties": _STRING,
            "description": "Terms and their translations.",
        },
    },
}


def result_schema(
    kind: type[Result], *, labels: Sequence[str] = (), value: Schema | None = None
) -> Schema:
    """Return the JSON Schema of a result, which is what `--json` prints.

    `labels` are the possible labels, and `value` is the schema of a parsed reply.

    Example:
        >>> from llmtool.tasks.results import Classification
        >>> result_schema(Classification, labels=["a", "b"])["properties"]["label"]
        {'enum': ['a', 'b', None]}
    """
    (root,), definitions = msgspec.json.schema_components(
        [kind], schema_hook=lambda _: {}, ref_template="#/$defs/{name}"
    )
    # msgspec names a generic type with its parameter.
    encoded = msgspec.json.encode(definitions).replace(b"__T_", b"").replace(b"__L_", b"")
    definitions = msgspec.json.decode(encoded)
    name = root["$ref"].rpartition("/")[2].partition("__")[0]
    schema = definitions.pop(name)
    properties = schema["properties"]
    if labels and "label" in properties:
        properties["label"] = {"enum": [*labels, None]}
    if value is not None and "value" in properties:
        properties["value"] = value
    return {**schema, "$defs": definitions} if definitions else schema
