"""Read prompty files: YAML front matter, and a body with `system:`, `user:`, `assistant:` lines.

See https://prompty.ai/specification. Both versions are supported: the first has `model.parameters`,
`sample` and `inputs` with types; the second has `model.options`, `inputSchema` and `outputs` with
kinds. Jinja in the body is preserved. Files (`${file:…}`) and environment variables (`${env:…}`) in
the front matter are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from llmtool.errors import TemplateError
from llmtool.option_names import option
from llmtool.prompts.foreign import prompty_body as body
from llmtool.prompts.foreign.common import Imported, Names, as_text, read_params
from llmtool.safe_yaml import core, load_document

_SPLIT = re.compile(
    r"\s*(?:---|\+\+\+)[ \t]*\n(.*?)^(?:---|\+\+\+)[ \t]*(?:\n|\Z)(.*)", re.S | re.M
)
# A top-level key with the lines that continue it.
_SAMPLE = re.compile(r"^sample[ \t]*:.*(?:\n(?:[ \t#-].*)?$)*", re.MULTILINE)
_KNOWN = (
    *("name", "description", "model", "inputs", "inputSchema", "sample", "template"),
    *("outputs", "outputSchema"),
)
_KNOWN_OF_MODEL = ("parameters", "options", "api", "apiType")
_TYPES = {"string": "", "integer": "int", "int": "int", "number": "float", "float": "float"}
_TYPES |= {"boolean": "bool", "bool": "bool", "array": "list", "list": "list"}


class _Input(NamedTuple):
    kind: str  # "" if not given
    description: str
    default: object
    sample: object


def read_prompty(text: str, *, source: str) -> Imported:
    """Convert a prompty file.

    Raises:
        TemplateError: the file is not valid, or an input cannot be converted ("file:line: reason").
    """
    notes: list[str] = []
    front, template = _split(text, notes, source)
    made = Imported(_name(front, source), as_text(front.get("description")) or "")
    made.notes += notes
    for key in front:
        if key not in _KNOWN:
            made.notes.append(f"{key}: not supported; skipped")
    if _is_mustache(front.get("template")):
        template = body.from_mustache(template, made.notes)
    declared = _inputs(front, source)
    sample = front.get("sample")
    if sample is not None and not isinstance(sample, dict):
        is_file = isinstance(sample, str)
        reason = "refers to a file, which is not read" if is_file else "must be a mapping"
        made.notes.append(f"sample: {reason}; skipped")
    samples = {key: each.sample for key, each in declared.items() if each.sample is not None}
    samples |= sample if isinstance(sample, dict) else {}
    names = Names(made.notes)
    parts = body.read_body(template, {*declared, *samples}, names, made.notes, source=source)
    made.values["inputs"] = {
        name: _spec(original, name, declared, samples, parts, source)
        for original, name in names.by_original.items()
    }
    for name in declared:
        if name not in names.by_original:
            made.notes.append(f"input {name!r}: never used; skipped")
    made.values |= parts.values()
    _read_model(front.get("model"), made)
    schema = _output_schema(front.get("outputs") or front.get("outputSchema"), made)
    if schema is not None:
        made.values["output"] = {"json": schema}
    used = {
        names.by_original[key]: core(samples[key]) for key in samples if key in names.by_original
    }
    if used:
        made.values["tests"] = [{"vars": used}]
    if parts.examples:
        made.values["examples"] = [_complete(each, made, used) for each in parts.examples]
    return made


def _split(text: str, notes: list[str], source: str) -> tuple[dict[str, object], str]:
    """Return the front matter and the body; a sample that is not valid YAML is skipped."""
    match = _SPLIT.match(text)
    if match is None:
        if re.match(r"\s*(---|\+\+\+)", text):
            raise TemplateError(f"{source}:1: the front matter is not closed (---)")
        return {}, text
    before = text[: match.start(1)].count("\n")
    yaml = "\n" * before + match[1]
    try:
        front = load_document(yaml, source=source).value
    except TemplateError as exc:
        without_sample = _SAMPLE.sub(lambda found: "\n" * found[0].count("\n"), yaml)
        if without_sample == yaml:
            raise
        front = load_document(without_sample, source=source).value
        notes.append(f"sample: {str(exc).partition(': ')[2]}; skipped")
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise TemplateError(f"{source}:1: the front matter must be a mapping")
    return front, match[2]


def _name(front: Mapping[str, object], source: str) -> str:
    return as_text(front.get("name")) or Path(source).stem


def _is_mustache(template: object) -> bool:
    """`mustache`, `{type: mustache}`, `{format: mustache}` and `{format: {kind: mustache}}`."""
    while isinstance(template, dict):
        template = template.get("format", template.get("kind", template.get("type")))
    return template == "mustache"


def _inputs(front: Mapping[str, object], source: str) -> dict[str, _Input]:
    """Return the declared inputs, which can be written in four ways."""
    value = front.get("inputs") or front.get("inputSchema") or {}
    if isinstance(value, dict) and isinstance(value.get("properties"), (list, dict)):
        value = value["properties"]
    if isinstance(value, list):
        pairs = [(as_text(each.get("name")), each) for each in value if isinstance(each, dict)]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise TemplateError(f"{source}:1: inputs: must be a mapping or a list")
    found = {}
    for name, spec in pairs:
        if not name:
            raise TemplateError(f"{source}:1: inputs: an input has no name")
        if not isinstance(spec, dict):
            spec = {"default": spec}
        elif not {"type", "kind", "default", "sample", "description", "required"} & spec.keys():
            spec = {"default": spec}
        kind = as_text(spec.get("kind")) or as_text(spec.get("type")) or ""
        default = spec.get("default")
        found[name] = _Input(
            kind, as_text(spec.get("description")) or "", default, spec.get("sample")
        )
    return found


def _spec(
    original: str,
    name: str,
    declared: Mapping[str, _Input],
    samples: Mapping[str, object],
    parts: body.Parts,
    source: str,
) -> dict[str, object]:
    given = declared.get(original, _Input("", "", None, None))
    value = given.default if given.default is not None else samples.get(original)
    kind = _TYPES.get(given.kind, "") or ("list" if isinstance(value, list) else "")
    is_mapping = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)
    )
    if given.default is None and not parts.uses_parts_of(name):
        is_mapping = False  # the sample is invalid, and reported later
    if is_mapping or given.kind in ("object", "thread", "image", "file", "audio"):
        kind = "mapping" if is_mapping else given.kind
        raise TemplateError(
            f"{source}:1: input {original!r} has the unsupported type {kind}; inputs are strings, "
            "numbers and lists of them"
        )
    spec: dict[str, object] = {"type": kind or parts.type_of(name)}
    if given.description:
        spec["description"] = given.description
    if given.default is None:
        spec["required"] = True
    else:
        default = core(given.default)
        spec["default"] = default if kind else str(given.default)
        if spec["type"] == "string" and "\n" in str(default):
            spec["type"] = "text"
    return spec


def _complete(
    example: Mapping[str, str], made: Imported, used: Mapping[str, object]
) -> dict[str, object]:
    """Add the required inputs that the prompt of an example does not use."""
    inputs: dict[str, dict[str, object]] = made.values["inputs"]
    needed = [name for name, spec in inputs.items() if "required" in spec and name not in example]
    return {**{name: used.get(name, "") for name in needed}, **example}


def _read_model(model: object, made: Imported) -> None:
    if isinstance(model, str):
        made.notes.append(f"model: skipped; choose a model with {option('model')}")
    if not isinstance(model, dict):
        return
    hosted = [key for key in model if key not in _KNOWN_OF_MODEL]
    if hosted:
        made.notes.append(f"model: {', '.join(hosted)}: for hosted models only; skipped")
    api = as_text(model.get("api")) or as_text(model.get("apiType")) or "chat"
    if api == "completion":
        made.values["form"] = "completion"
    elif api != "chat":
        made.notes.append(f"model: unsupported api {api!r}; skipped")
    options = model.get("parameters") or model.get("options") or {}
    if not isinstance(options, dict):
        made.notes.append("model: its parameters are not a mapping; skipped")
        return
    options = dict(options)
    response_format = options.pop("response_format", None)
    if isinstance(response_format, dict):
        inner = response_format.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, dict) else None
        made.values["output"] = {"json": core(schema or {"type": "object"})}
    elif response_format is not None:
        made.notes.append("response_format: refers to a file, which is not read; skipped")
    params = read_params(options, made.notes)
    if params:
        made.values["model"] = {"params": params}


_JSON_TYPES = {"string": "string", "integer": "integer", "number": "number", "float": "number"}
_JSON_TYPES |= {"boolean": "boolean", "array": "array", "object": "object"}


def _output_schema(outputs: object, made: Imported) -> dict[str, object] | None:
    """Return the JSON Schema of declared outputs."""
    if isinstance(outputs, dict) and isinstance(outputs.get("properties"), (list, dict)):
        outputs = outputs["properties"]
    if isinstance(outputs, list):
        outputs = {str(each.get("name")): each for each in outputs if isinstance(each, dict)}
    if not isinstance(outputs, dict) or not outputs:
        return None
    properties: dict[str, object] = {}
    for name, spec in outputs.items():
        spec = spec if isinstance(spec, dict) else {}
        kind = as_text(spec.get("kind")) or as_text(spec.get("type")) or ""
        if kind not in _JSON_TYPES:
            made.notes.append(f"outputs: {name!r} has an unknown kind; skipped")
            return None
        described = as_text(spec.get("description"))
        properties[name] = {
            "type": _JSON_TYPES[kind],
            **({"description": described} if described else {}),
        }
    return {"type": "object", "properties": properties, "required": list(properties)}
