"""Shared by the readers of other formats: text with variables, input names, sampling options."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from llmtool.prompts.schema import Params
from llmtool.prompts.template import RESERVED
from llmtool.prompts.writing import to_yaml
from llmtool.safe_yaml import core


class Variable(NamedTuple):
    """A variable in a text, by its name in the other format."""

    name: str


Piece = str | Variable


class Imported:
    """A converted template and its former format, with notes on what was not converted."""

    def __init__(self, name: str, description: str = "") -> None:
        self.name = name
        self.values: dict[str, Any] = {"description": description} if description else {}
        self.notes: list[str] = []
        self.format = ""

    def text(self) -> str:
        return to_yaml(self.values)


class Names:
    """Maps variable names of any spelling to valid input names."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self.by_original: dict[str, str] = {}

    def of(self, original: str) -> str:
        """Return the input name of a variable; add a note if it differs.

        Example:
            >>> Names([]).of("firstName")
            'first_name'
        """
        if original in self.by_original:
            return self.by_original[original]
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", original).lower()
        name = re.sub(r"[^a-z0-9_]+", "_", name).strip("_") or "value"
        if name[0].isdigit() or keyword.iskeyword(name) or name in RESERVED:
            name = f"the_{name}"
        base, n = name, 1
        while name in self.by_original.values():
            n += 1
            name = f"{base}_{n}"
        if name != original:
            self._notes.append(f"variable {original!r} was renamed to {name!r}")
        self.by_original[original] = name
        return name


def joined(pieces: list[Piece]) -> list[Piece]:
    """Join adjacent strings, so that a brace and the text after it are escaped together."""
    whole: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and whole and isinstance(whole[-1], str):
            whole[-1] += piece
        elif piece:
            whole.append(piece)
    return whole


def to_jinja(pieces: Iterable[Piece], names: Names) -> str:
    """Return pieces as Jinja: variables as expressions, text escaped.

    A brace that would begin a tag becomes an expression, which `trim_blocks` does not affect.

    Example:
        >>> to_jinja(["{% a {", Variable("b"), "}"], Names([]))
        "{{ '{' }}% a {{ '{' }}{{ b }}}"
    """
    out = []
    for piece in pieces:
        if isinstance(piece, Variable):
            out.append("{{ " + names.of(piece.name) + " }}")
        else:
            out.append(re.sub(r"\{(?=[{%#]|\Z)", "{{ '{' }}", piece))
    return "".join(out)


def input_type(pieces: Sequence[Piece], name: str) -> str:
    """Return `text` for a variable that fills whole lines, else `string`."""
    joined = "".join(
        piece if isinstance(piece, str) else "\0" if piece.name == name else "x" for piece in pieces
    )
    lines = [line.strip() for line in joined.split("\n") if "\0" in line]
    alone = all(re.fullmatch(r"([^:]{0,40}:)?\s*[\"'`<>]*\0[\"'`<>]*", line) for line in lines)
    return "text" if alone else "string"


_SYNONYMS = {
    "max_output_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "stop_sequences": "stop",
    "repetition_penalty": "repeat_penalty",
}


def read_params(options: Mapping[str, object], notes: list[str]) -> dict[str, Any]:
    """Return the supported sampling options; add a note for each of the others."""
    params: dict[str, Any] = {}
    for key, value in options.items():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()
        name = _SYNONYMS.get(snake, snake)
        if name == "stop" and isinstance(value, str):
            value = [value]
        if name == "logit_bias":
            notes.append(f"option {key!r}: skipped; it is for the tokens of another model")
            continue
        if name not in Params.__struct_fields__:
            notes.append(f"option {key!r}: not supported; skipped")
            continue
        try:
            msgspec.convert({name: value}, Params, strict=False)
        except msgspec.ValidationError:
            notes.append(f"option {key!r}: value out of range; skipped")
            continue
        params[name] = core(value)
    return params


def as_text(value: object) -> str | None:
    """Return a scalar as written in the file, or None for other values."""
    return str(value) if isinstance(value, str) else None
