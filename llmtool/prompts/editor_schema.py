"""The JSON Schema of template files for editors, with a description of each key.

It uses draft 7, which every YAML language server supports. Our reader preserves scalars as written,
so a string may be `017` or `true`. An editor parses these as a number or a boolean, so the schema
allows all three types for a string.
"""

from __future__ import annotations

from typing import Any

DRAFT = "http://json-schema.org/draft-07/schema#"

_TEXT = ["string", "number", "boolean"]  # how an editor may parse a string

# Struct, then key: the description that an editor shows.
DESCRIPTIONS: dict[str, dict[str, str]] = {
    "TemplateFile": {
        "llmtool": "Format version of this file: 1.",
        "name": "Name of the template: the file name without its suffix.",
        "description": "Purpose in one sentence, shown by `llmtool prompts ls`.",
        "task": "Task that uses the template.",
        "extends": "Template to inherit from: mappings are merged, strings and lists are "
        "replaced, `examples+` and `tests+` are appended. A template that names itself extends the "
        "built-in template that it overrides. A file in the same folder is `./NAME.yaml`.",
        "inputs": "Variables of the prompt and the system message, by name.",
        "system": "System message (Jinja).",
        "prompt": "User message: Jinja with the inputs as variables. Values are never evaluated.",
        "prefill": "Text that every reply begins with, in the examples too.",
        "form": "chat: send messages; completion: send plain text to continue.",
        "examples": "Examples shown to the model: values of the inputs, and `output`.",
        "examples+": "Examples to append to those of the extended template.",
        "output": "Format that the reply must have.",
        "abstain": "Fixed reply if inputs do not support the reply of the model.",
        "model": "Preferred models and sampling options.",
        "variants": "Changes for models whose names match a pattern such as `qwen*`. The first "
        "match applies.",
        "tests": "Tests that `llmtool prompts test` runs.",
        "tests+": "Tests to append to those of the extended template.",
        "tuned": "How `llmtool prompts tune` made the template; not inherited.",
    },
    "Input": {
        "type": "text: any text; string: one line; file: path of a text file to read; lang: name "
        "or code of a language; list: strings and numbers; enum: one of the listed values.",
        "description": "Description of the value.",
        "required": "Whether a value is required.",
        "default": "Value if none is given.",
        "enum": "Allowed values of an input of type enum.",
        "max_tokens": "Maximum length of a text in tokens.",
    },
    "OutputFile": {
        "labels": "One of these labels: a list, or a mapping of labels to descriptions.",
        "json": "JSON that is valid under this JSON Schema, or its short form: `name, age int`.",
        "grammar": "Text that this GBNF grammar accepts.",
        "regex": "Text that this regular expression matches in full.",
        "code": "Code in this language.",
    },
    "Abstain": {
        "reply": "Text that replaces a reply which is not supported.",
        "without": "Inputs that must support the reply, each with another value to compare with.",
        "threshold": "Score below which a reply is replaced [default: 0.05].",
        "numbers": "Replace a reply with a number that the prompt lacks [default: false].",
    },
    "Params": {
        "repeat_penalty": "Penalty for repeated tokens; 1: off.",
        "repeat_last_n": "Number of recent tokens that the penalty considers; 0: off, -1: all.",
        "logit_bias": "Numbers from -100 to 100 to add to the logits of tokens, by text or id.",
        "frequency_penalty": "Penalty for each time that the reply has a token, -2 to 2; 0: off.",
        "presence_penalty": "Penalty for tokens that the reply has, -2 to 2; 0: off.",
        "dry_multiplier": "Penalty for tokens that extend a repeated sequence (DRY); 0: off.",
        "dry_base": "Factor by which the DRY penalty grows with each repeated token.",
        "dry_allowed_length": "Length in tokens up to which the DRY penalty does not apply.",
        "top_k": "Sample from the K most likely tokens; 0: off.",
        "top_p": "Sample from the most likely tokens whose probabilities add up to this value.",
        "typical_p": "Sample from the most typical tokens whose probabilities add up to this "
        "value; 1: off.",
        "xtc_probability": "Probability with which top choices are excluded (XTC); 0: off.",
        "xtc_threshold": "Probability from which a token is a top choice.",
        "min_p": "Drop tokens less likely than this fraction of the most likely one.",
        "temperature": "Randomness; 0: always the most likely token.",
        "seed": "Random seed.",
        "max_tokens": "Maximum reply tokens.",
        "think_tokens": "Maximum reasoning tokens, in addition to max_tokens.",
        "stop": "Strings that end the reply; they are not part of it.",
        "logprobs": "Number of alternatives to report for each token.",
        "thinking": "Enable reasoning if the model supports it; a word sets the effort.",
    },
    "ModelFile": {
        "prefer": "Preferred models, best first.",
        "lora": "LoRA adapters: FILE.gguf or FILE.gguf:SCALE, in the folder of the template.",
        "params": "Sampling options.",
    },
    "Assertion": {
        "type": "Kind of check; the prefix `not-` negates it.",
        "value": "Value to compare with.",
        "label": "Label whose score is checked.",
        "min": "Minimum.",
        "max": "Maximum.",
    },
    "TunedFile": {
        "original_sha256": "SHA-256 of the content of the original template.",
        "data": "Name of the data file.",
        "data_sha256": "SHA-256 of the data file.",
        "model": "Model that it was tuned for.",
        "metric": "Metric of the scores.",
        "budget": "Number of records that could be run.",
        "n_final": "Number of records, not used for tuning, that the scores are means of.",
        "score": "Mean score of this template.",
        "interval": "95 % interval of the score.",
        "original_score": "Mean score of the original template.",
        "date": "Date of the run.",
        "version": "Version of llmtool.",
    },
    "TestCase": {
        "vars": "Values of the inputs for one case.",
        "dataset": "File of cases, in the template's folder or below it.",
        "invariant": "Lists of values that should all get the same reply.",
        "params": "Sampling options of this test [default: greedy].",
        "assert": "Assertions about the reply.",
    },
}
DESCRIPTIONS["VariantFile"] = DESCRIPTIONS["TemplateFile"]


# Keys that a template must have unless it extends another.
_ALONE = {
    "if": {"not": {"required": ["extends"]}},
    "then": {
        "required": ["prompt"],
        "properties": {"inputs": {"additionalProperties": {"required": ["type"]}}},
    },
}


def fit_for_editors(schema: dict[str, Any]) -> dict[str, Any]:
    """Return msgspec's schema of the template file with descriptions and YAML's string types."""
    parts = {name: _struct(name, part) for name, part in schema["$defs"].items()}
    root = parts.pop(schema["$ref"].rpartition("/")[2])
    del parts["Input"]["required"]
    parts["OutputFile"] |= {"minProperties": 1, "maxProperties": 1}
    title = {"$schema": DRAFT, "title": "Prompt template of llmtool"}
    return {**title, **root, **_ALONE, "definitions": parts}


def _struct(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    descriptions = DESCRIPTIONS.get(name, {})
    properties = {}
    for key, part in schema["properties"].items():
        made = _part(part)
        if key in descriptions:
            # Draft 7 ignores everything beside `$ref`, even a description.
            made = {
                "description": descriptions[key],
                **({"allOf": [made]} if "$ref" in made else made),
            }
        properties[key] = made
    required = {"required": schema["required"]} if schema.get("required") else {}
    return {"type": "object", "properties": properties, **required, "additionalProperties": False}


def _part(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value other than a struct."""
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
