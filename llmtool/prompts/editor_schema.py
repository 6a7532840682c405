"""The JSON Schema of template files made fit for editors: what each key means, what YAML gives.

Draft 7, which every YAML language server reads. Our reader keeps scalars as they are written, so
that a text may be `017` or `true`; an editor sees a number or a boolean there, and is told that
this is fine.
"""

from __future__ import annotations

from typing import Any

DRAFT = "http://json-schema.org/draft-07/schema#"

_TEXT = ["string", "number", "boolean"]  # what a text looks like to an editor

# Struct, then key: what an editor shows beside it.
WORDS: dict[str, dict[str, str]] = {
    "TemplateFile": {
        "llmtool": "The format of this file: 1.",
        "name": "The template's name, which is the file's without its ending.",
        "description": "What it is for, in one sentence; `llmtool prompts ls` shows it.",
        "task": "The task that it is for.",
        "extends": "A template to start from: mappings merge, texts and lists replace, and "
        "`examples+` and `tests+` append. Its own name means the built-in one that it hides.",
        "inputs": "The variables of prompt and system text, by name.",
        "system": "The system message; Jinja.",
        "prompt": "The user's message: Jinja with the inputs as variables. Values are data.",
        "prefill": "How the reply begins, in the examples, too.",
        "form": "Whether the model is asked in a conversation, or given text to go on with.",
        "examples": "Cases with their answers, shown to the model: inputs, and `output`.",
        "examples+": "More examples, behind those of the template that it extends.",
        "output": "What a reply must be.",
        "model": "Models that suit it, and how to sample from them.",
        "variants": "What is different for models whose names match a pattern such as `qwen*`; "
        "the first match counts.",
        "tests": "What must hold; `llmtool prompts test` tries it.",
        "tests+": "More tests, behind those of the template that it extends.",
    },
    "Input": {
        "type": "text: a passage; string: one line; file: a path whose text is read; lang: a "
        "language by name or code; list: texts and numbers; enum: one of the given values.",
        "description": "What to give.",
        "required": "Whether it must be given.",
        "default": "What it is when it is not given.",
        "enum": "The values of an input of type enum.",
        "max_tokens": "How much of a passage the prompt has room for.",
    },
    "OutputFile": {
        "labels": "One of these labels: a list, or names with their descriptions.",
        "json": "JSON that follows this JSON Schema.",
        "grammar": "What this GBNF grammar allows.",
        "regex": "What this regular expression matches as a whole.",
        "code": "Code in this language.",
    },
    "Params": {
        "repeat_penalty": "Above 1 discourages repetition.",
        "repeat_last_n": "How many tokens back the penalty looks; 0: none, -1: all.",
        "dry_multiplier": "A penalty for going on with a run that the reply has already; 0: none.",
        "dry_base": "By how much that penalty grows with each token of the run.",
        "dry_allowed_length": "The length of a run in tokens that is free of it.",
        "top_k": "Only the K likeliest tokens; 0 is off.",
        "top_p": "Only the likeliest tokens that together have this probability.",
        "min_p": "Drop tokens rarer than this part of the likeliest.",
        "temperature": "Randomness; 0 always takes the likeliest.",
        "seed": "Makes a run repeatable.",
        "max_tokens": "Tokens of the reply at the most.",
        "stop": "End the reply before the first of these texts.",
        "logprobs": "Report each token with this many alternatives.",
        "thinking": "Let a thinking model think.",
    },
    "ModelFile": {
        "prefer": "Models that suit it, best first.",
        "params": "How to sample.",
    },
    "Assertion": {
        "type": "What is checked; `not-` before it turns it round.",
        "value": "What it is compared with.",
        "label": "The label whose score is meant.",
        "min": "The least that is allowed.",
        "max": "The most that is allowed.",
    },
    "TestCase": {
        "vars": "Values for the inputs of one case.",
        "dataset": "A file of cases, beside the template.",
        "invariant": "Lists of values, all of which should get the same answer.",
        "params": "How to sample in this test; greedy if left out.",
        "assert": "What must hold for the reply.",
    },
}
WORDS["VariantFile"] = WORDS["TemplateFile"]


# What is needed unless another template gives it.
_ALONE = {
    "if": {"not": {"required": ["extends"]}},
    "then": {
        "required": ["prompt"],
        "properties": {"inputs": {"additionalProperties": {"required": ["type"]}}},
    },
}


def fit_for_editors(schema: dict[str, Any]) -> dict[str, Any]:
    """Return msgspec's schema of the template file with words, and with texts as YAML has them."""
    parts = {name: _struct(name, part) for name, part in schema["$defs"].items()}
    root = parts.pop(schema["$ref"].rpartition("/")[2])
    del parts["Input"]["required"]
    parts["OutputFile"] |= {"minProperties": 1, "maxProperties": 1}
    title = {"$schema": DRAFT, "title": "Prompt template of llmtool"}
    return {**title, **root, **_ALONE, "definitions": parts}


def _struct(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    words = WORDS.get(name, {})
    properties = {}
    for key, part in schema["properties"].items():
        made = _part(part)
        if key in words:
            # Beside `$ref`, draft 7 reads nothing: not even a description.
            made = {"description": words[key], **({"allOf": [made]} if "$ref" in made else made)}
        properties[key] = made
    required = {"required": schema["required"]} if schema.get("required") else {}
    return {"type": "object", "properties": properties, **required, "additionalProperties": False}


def _part(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value: of a place in the file, not of a struct."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("$defs", "definitions")}
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and value == "string":
            made[key] = _TEXT
        elif key == "default" and not value and value is not False:
            continue
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            made[key] = _part(value)
        elif key == "anyOf":
            made[key] = [_part(each) for each in value]
        else:
            made[key] = value
    return made
