"""Read templates of simonw/llm: YAML with `$variables`.

See https://llm.datasette.io/en/stable/templates.html. A prompt without `$input` is followed by the
input; if there is only a system prompt, the input is the prompt. Not supported: tools, functions,
fragments, attachments.
"""

from __future__ import annotations

import re
from pathlib import Path

from llmtool.errors import TemplateError
from llmtool.option_names import option
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

_VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_KNOWN = (
    *("name", "prompt", "system", "defaults", "options", "schema_object", "extract"),
    *("extract_last", "model"),
)
_UNSUPPORTED = (
    *("fragments", "system_fragments", "attachments", "attachment_types"),
    *("tools", "functions"),
)


def read_llm(text: str, *, source: str) -> Imported:
    """Convert a template of llm.

    Raises:
        TemplateError: the text is not a template of llm ("file:line: reason").
    """
    document = load_document(text, source=source)
    value = document.value
    if isinstance(value, str):  # llm takes a file that is one text as its prompt
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise TemplateError(
            f"{source}:1: not a template of llm: must be a mapping with prompt or system"
        )
    if "llmtool" in value:
        name = option("template")
        raise TemplateError(f"{source}:1: already a template of llmtool; use it with {name}")
    prompt, system = as_text(value.get("prompt")), as_text(value.get("system"))
    if not (prompt or "").strip() and not (system or "").strip():
        raise TemplateError(f"{source}:1: needs a prompt or a system text")
    made = Imported(as_text(value.get("name")) or Path(source).stem)
    for key in value:
        if key in _UNSUPPORTED:
            made.notes.append(f"{key}: not supported; skipped")
        elif key not in _KNOWN:
            made.notes.append(f"{key}: unknown key; skipped")
    if value.get("model") is not None:
        made.notes.append(f"model: skipped; choose a model with {option('model')}")
    _fill(made, prompt or "", system or "", value.get("defaults"))
    schema = value.get("schema_object")
    if isinstance(schema, dict):
        made.values["output"] = {"json": core(schema)}
    elif core(value.get("extract")) is True or core(value.get("extract_last")) is True:
        made.values["output"] = "code"
        made.notes.append(
            "extract: converted to `output: code`, which prints only the code of a reply"
        )
    options = value.get("options")
    params = read_params(options, made.notes) if isinstance(options, dict) else {}
    if params:
        made.values["model"] = {"params": params}
    return made


def _fill(made: Imported, prompt: str, system: str, defaults: object) -> None:
    names = Names(made.notes)
    prompt_pieces = _pieces(prompt, made.notes)
    system_pieces = _pieces(system, made.notes)
    variables = dict.fromkeys(
        p.name for p in (*system_pieces, *prompt_pieces) if isinstance(p, Variable)
    )
    has_input = "input" in variables
    is_appended = bool(prompt.strip()) and not has_input
    if not prompt.strip():
        prompt_pieces = [Variable("input")]
    elif is_appended:
        prompt_pieces = [*prompt_pieces, "\n\n", Variable("input")]
    variables |= {"input": None}
    given = defaults if isinstance(defaults, dict) else {}
    inputs: dict[str, dict[str, object]] = {}
    for name in variables:
        spec: dict[str, object] = {
            "type": "text" if name == "input" else _type(name, system_pieces, prompt_pieces)
        }
        default = as_text(given.get(name))
        if default is not None:
            spec["default"] = default
            spec["type"] = "text" if "\n" in default else spec["type"]
        elif not (name == "input" and is_appended):
            spec["required"] = True
        inputs[names.of(name)] = spec
    for name in given:
        if name not in variables or as_text(given[name]) is None:
            made.notes.append(f"default of {name!r}: unknown variable or not a string; skipped")
    made.values["inputs"] = inputs
    if system.strip():
        made.values["system"] = to_jinja(system_pieces, names)
    made.values["prompt"] = to_jinja(prompt_pieces, names)


def _type(name: str, *texts: list[Piece]) -> str:
    return "text" if all(input_type(text, name) == "text" for text in texts) else "string"


def _pieces(text: str, notes: list[str]) -> list[Piece]:
    """Split a text into strings and variables, as Python's string.Template does."""
    text = text.strip("\n")
    pieces: list[Piece] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        pieces.append(text[end : match.start()] + ("$" if match[1] else ""))
        name = match[2] or match[3]
        if name:
            pieces.append(Variable(name))
        end = match.end()
    pieces.append(text[end:])
    if "$" in _VARIABLE.sub("", text):
        notes.append("a $ without a name is an error in llm; left as text")
    return joined(pieces)
