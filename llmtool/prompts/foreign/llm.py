"""Templates of simonw/llm: YAML with `$variables`.

See https://llm.datasette.io/en/stable/templates.html. Without `$input`, its input follows the
prompt; with a system prompt alone, it is the prompt. Left out: tools, functions, fragments,
attachments.
"""

from __future__ import annotations

import re
from pathlib import Path

from llmtool.errors import TemplateError
from llmtool.prompts.foreign.common import (
    Imported,
    Names,
    Piece,
    Variable,
    as_text,
    input_type,
    joined,
    read_params,
    to_jinja,
)
from llmtool.safe_yaml import core, load_document

_PLACE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_KNOWN = (
    *("name", "prompt", "system", "defaults", "options", "schema_object", "extract"),
    *("extract_last", "model"),
)
_LEFT_OUT = (
    *("fragments", "system_fragments", "attachments", "attachment_types"),
    *("tools", "functions"),
)


def read_llm(text: str, *, source: str) -> Imported:
    """Read a template of llm.

    Raises:
        TemplateError: "file:line: reason"; it is no such template.
    """
    document = load_document(text, source=source)
    value = document.value
    if isinstance(value, str):  # llm takes a file that is one text as its prompt
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise TemplateError(f"{source}:1: a template of llm is a mapping with prompt or system")
    if "llmtool" in value:
        raise TemplateError(f"{source}:1: this is a template of llmtool; -t takes it as it is")
    prompt, system = as_text(value.get("prompt")), as_text(value.get("system"))
    if not (prompt or "").strip() and not (system or "").strip():
        raise TemplateError(f"{source}:1: there is neither a prompt nor a system text in it")
    made = Imported(as_text(value.get("name")) or Path(source).stem)
    for key in value:
        if key in _LEFT_OUT:
            made.notes.append(f"{key}: there is no counterpart; left out")
        elif key not in _KNOWN:
            made.notes.append(f"{key}: not a key of llm that we know; left out")
    if value.get("model") is not None:
        made.notes.append("model: it names a model of llm's; left out (-m chooses one)")
    _fill(made, prompt or "", system or "", value.get("defaults"))
    schema = value.get("schema_object")
    if isinstance(schema, dict):
        made.values["output"] = {"json": core(schema)}
    elif core(value.get("extract")) is True or core(value.get("extract_last")) is True:
        made.values["output"] = "code"
        made.notes.append("extract: became `output: code`, which keeps the code of a reply")
    options = value.get("options")
    params = read_params(options, made.notes) if isinstance(options, dict) else {}
    if params:
        made.values["model"] = {"params": params}
    return made


def _fill(made: Imported, prompt: str, system: str, defaults: object) -> None:
    names = Names(made.notes)
    asked, said = _pieces(prompt, made.notes), _pieces(system, made.notes)
    variables = dict.fromkeys(p.name for p in (*said, *asked) if isinstance(p, Variable))
    has_input = "input" in variables
    is_appended = bool(prompt.strip()) and not has_input
    if not prompt.strip():
        asked = [Variable("input")]
    elif is_appended:
        asked = [*asked, "\n\n", Variable("input")]
    variables |= {"input": None}
    given = defaults if isinstance(defaults, dict) else {}
    inputs: dict[str, dict[str, object]] = {}
    for name in variables:
        spec: dict[str, object] = {"type": "text" if name == "input" else _type(name, said, asked)}
        default = as_text(given.get(name))
        if default is not None:
            spec["default"] = default
            spec["type"] = "text" if "\n" in default else spec["type"]
        elif not (name == "input" and is_appended):
            spec["required"] = True
        inputs[names.of(name)] = spec
    for name in given:
        if name not in variables or as_text(given[name]) is None:
            made.notes.append(f"the default of {name!r} is not of a variable, or no text; left out")
    made.values["inputs"] = inputs
    if system.strip():
        made.values["system"] = to_jinja(said, names)
    made.values["prompt"] = to_jinja(asked, names)


def _type(name: str, *texts: list[Piece]) -> str:
    return "text" if all(input_type(text, name) == "text" for text in texts) else "string"


def _pieces(text: str, notes: list[str]) -> list[Piece]:
    """Return text and variables apart, as Python's string.Template reads them."""
    text = text.replace("\r\n", "\n").strip("\n")
    pieces: list[Piece] = []
    end = 0
    for match in _PLACE.finditer(text):
        pieces.append(text[end : match.start()] + ("$" if match[1] else ""))
        name = match[2] or match[3]
        if name:
            pieces.append(Variable(name))
        end = match.end()
    pieces.append(text[end:])
    if "$" in _PLACE.sub("", text):
        notes.append("a single $ before no name is an error to llm; it is kept as a $")
    return joined(pieces)
