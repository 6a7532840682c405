"""Prompty files: front matter in YAML, a body with `system:`, `user:` and `assistant:` lines.

See https://prompty.ai/specification. Both generations are read: `model.parameters`, `sample` and
`inputs` with types of the first; `model.options`, `inputSchema` and `outputs` with kinds of the
second. The body's Jinja stays Jinja. Files that the front matter refers to (`${file:…}`) are not
read, and variables of the environment (`${env:…}`) neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from llmtool.errors import TemplateError
from llmtool.prompts.foreign import prompty_body as body
from llmtool.prompts.foreign.common import Imported, Names, as_text, read_params
from llmtool.safe_yaml import core, load_document

_SPLIT = re.compile(
    r"\s*(?:---|\+\+\+)[ \t]*\n(.*?)^(?:---|\+\+\+)[ \t]*(?:\n|\Z)(.*)", re.S | re.M
)
_KNOWN = (
    *("name", "description", "model", "inputs", "inputSchema", "sample", "template"),
    *("outputs", "outputSchema"),
)
_KNOWN_OF_MODEL = ("parameters", "options", "api", "apiType")
_TYPES = {"string": "", "integer": "int", "int": "int", "number": "float", "float": "float"}
_TYPES |= {"boolean": "bool", "bool": "bool", "array": "list", "list": "list"}


class _Input(NamedTuple):
    kind: str  # "" where it says none
    description: str
    default: object
    sample: object


def read_prompty(text: str, *, source: str) -> Imported:
    """Read a prompty file.

    Raises:
        TemplateError: "file:line: reason"; it is none, or an input of it cannot be one of ours.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    front, template = _split(text, source)
    made = Imported(_name(front, source), as_text(front.get("description")) or "")
    for key in front:
        if key not in _KNOWN:
            made.notes.append(f"{key}: there is no counterpart; left out")
    if _is_mustache(front.get("template")):
        template = body.from_mustache(template, made.notes)
    declared = _inputs(front, source)
    sample = front.get("sample")
    if sample is not None and not isinstance(sample, dict):
        made.notes.append("sample: it names a file, which is not read; left out")
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
            made.notes.append(f"the input {name!r} is never used; left out")
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


def _split(text: str, source: str) -> tuple[dict[str, object], str]:
    match = _SPLIT.match(text)
    if match is None:
        if re.match(r"\s*(---|\+\+\+)", text):
            raise TemplateError(f"{source}:1: the front matter has no end (---)")
        return {}, text
    before = text[: match.start(1)].count("\n")
    front = load_document("\n" * before + match[1], source=source).value
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise TemplateError(f"{source}:1: the front matter is no mapping")
    return front, match[2]


def _name(front: Mapping[str, object], source: str) -> str:
    return as_text(front.get("name")) or Path(source).stem


def _is_mustache(template: object) -> bool:
    """`mustache`, `{type: mustache}`, `{format: mustache}` and `{format: {kind: mustache}}`."""
    while isinstance(template, dict):
        template = template.get("format", template.get("kind", template.get("type")))
    return template == "mustache"


def _inputs(front: Mapping[str, object], source: str) -> dict[str, _Input]:
    """Return the declared inputs, in whichever of four ways they are."""
    value = front.get("inputs") or front.get("inputSchema") or {}
    if isinstance(value, dict) and isinstance(value.get("properties"), (list, dict)):
        value = value["properties"]
    if isinstance(value, list):
        pairs = [(as_text(each.get("name")), each) for each in value if isinstance(each, dict)]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise TemplateError(f"{source}:1: inputs: a mapping or a list is needed")
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
    if is_mapping or given.kind in ("object", "thread", "image", "file", "audio"):
        what = given.kind if not is_mapping else "mapping or holds some"
        raise TemplateError(
            f"{source}:1: the input {original!r} is a {what}; inputs here are texts, numbers and "
            "lists of them"
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
    """Give an example what is required; its prompt has no place for it."""
    inputs: dict[str, dict[str, object]] = made.values["inputs"]
    needed = [name for name, spec in inputs.items() if "required" in spec and name not in example]
    return {**{name: used.get(name, "") for name in needed}, **example}


def _read_model(model: object, made: Imported) -> None:
    if isinstance(model, str):
        made.notes.append("model: it names a hosted model; left out (-m chooses one)")
    if not isinstance(model, dict):
        return
    hosted = [key for key in model if key not in _KNOWN_OF_MODEL]
    if hosted:
        made.notes.append(f"model: {', '.join(hosted)} is of a hosted model; left out")
    api = as_text(model.get("api")) or as_text(model.get("apiType")) or "chat"
    if api == "completion":
        made.values["form"] = "completion"
    elif api != "chat":
        made.notes.append(f"model: an api of {api!r} has no counterpart; left out")
    options = model.get("parameters") or model.get("options") or {}
    if not isinstance(options, dict):
        made.notes.append("model: its parameters are no mapping; left out")
        return
    options = dict(options)
    wanted = options.pop("response_format", None)
    if isinstance(wanted, dict):
        inner = wanted.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, dict) else None
        made.values["output"] = {"json": core(schema or {"type": "object"})}
    elif wanted is not None:
        made.notes.append("response_format: it names a file, which is not read; left out")
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
            made.notes.append(f"outputs: {name!r} is of a kind that we do not know; left out")
            return None
        described = as_text(spec.get("description"))
        properties[name] = {
            "type": _JSON_TYPES[kind],
            **({"description": described} if described else {}),
        }
    return {"type": "object", "properties": properties, "required": list(properties)}
