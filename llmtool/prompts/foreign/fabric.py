"""Read fabric patterns: a folder named after the pattern with `system.md` and optionally `user.md`.

See https://github.com/danielmiessler/fabric. `{{input}}` is the input text, which follows the
pattern if it is not mentioned; `{{name}}` is a variable. Not supported: `{{plugin:…}}` and
`{{ext:…}}`, which run programs.
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
    input_type,
    joined,
    to_jinja,
)

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")
_PROGRAM = re.compile(r"\{\{\s*(?:plugin|ext):[^{}]*\}\}")
_INPUT_SECTION = re.compile(
    r"(?:\n|\A)(?=#|INPUT|\Z)(#+[ \t]*INPUT:?[ \t]*\n{1,20})?(INPUT:?)?\s*\Z", re.IGNORECASE
)
_MAX_DESCRIPTION = 100
MAX_CHARACTERS = 1 << 17


def read_fabric(text: str, user: str, *, source: str) -> Imported:
    """Convert a fabric pattern; `user` is the text of its `user.md`.

    Raises:
        TemplateError: the pattern is empty or too long.
    """
    text, user = text.strip(), user.replace("\r\n", "\n").strip()
    if not text and not user:
        raise TemplateError(f"{source}: the file is empty")
    if len(text) + len(user) > MAX_CHARACTERS:
        raise TemplateError(f"{source}: longer than {MAX_CHARACTERS:,} characters")
    path = Path(source)
    made = Imported(path.parent.name if path.stem in ("system", "user") else path.stem)
    description = _describe(text)
    if description:
        made.values["description"] = description
    for program in dict.fromkeys(_PROGRAM.findall(f"{text}\n{user}")):
        made.notes.append(f"{program} runs a fabric program: not supported; left as text")
    names = Names(made.notes)
    system, prompt = _parts(text, user, made.notes)
    variables = dict.fromkeys(p.name for p in (*system, *prompt) if isinstance(p, Variable))
    made.values["inputs"] = {
        names.of(name): {
            "type": "text"
            if name == "input" or input_type([*system, *prompt], name) == "text"
            else "string",
            "required": True,
        }
        for name in variables
    }
    if system:
        made.values["system"] = to_jinja(system, names)
    made.values["prompt"] = to_jinja(prompt, names)
    return made


def _parts(text: str, user: str, notes: list[str]) -> tuple[list[Piece], list[Piece]]:
    """Split a pattern into the system text and the prompt, which contains the input."""
    if Variable("input") in _pieces(text):
        notes.append("the pattern contains {{input}}, so all of it became the prompt")
        return [], _pieces(f"{text}\n\n{user}".strip())
    label = ""
    section = _INPUT_SECTION.search(text)
    if section and (section[1] or section[2]):
        text = text[: section.start()].rstrip()
        label = "INPUT:\n"
    prompt = _pieces(user)
    if Variable("input") not in prompt:
        prompt = [*prompt, "\n\n" if user else label, Variable("input")]
    return (_pieces(text) if text else []), joined(prompt)


def _pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        pieces += [text[end : match.start()], Variable(match[1])]
        end = match.end()
    return joined([*pieces, text[end:]])


def _describe(text: str) -> str:
    """Return the first sentence under the first heading."""
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith(("#", "-", "*", "{")):
            sentence = re.split(r"(?<=[.!?])\s", line)[0]
            is_long = len(sentence) > _MAX_DESCRIPTION
            return sentence[: _MAX_DESCRIPTION - 1].rstrip() + "…" if is_long else sentence
    return ""
