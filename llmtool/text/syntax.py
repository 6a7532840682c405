"""Check the syntax of code and data by parsing it, without running it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Literal

import msgspec

from llmtool.errors import missing_extra
from llmtool.option_names import option
from llmtool.suggest import suggest
from llmtool.text import grammars
from llmtool.text.code_blocks import find_blocks
from llmtool.text.code_languages import NAMES
from llmtool.text.grammars import Diagnostic

MAX_CHARACTERS = 1 << 20
_POSITION = re.compile(r"(?:^|\(at )line (\d+)(?:,? column (\d+))?")

Status = Literal["ok", "error", "unchecked"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check; `note` explains why a text is unchecked."""

    status: Status
    diagnostics: tuple[Diagnostic, ...] = ()
    note: str = ""


def check(language: str | None, text: str) -> Check:
    """Check the syntax of a text.

    Python, JSON, TOML and YAML report the first error, languages with a tree-sitter grammar up to
    `grammars.MAX_ERRORS`. A text in another language is unchecked.

    Example:
        >>> found = check("python", "x = (1")
        >>> found.status, str(found.diagnostics[0])
        ('error', "line 1, column 5: '(' was never closed")
    """
    if language is None:
        return Check(status="unchecked", note=f"unknown language; set it with {option('language')}")
    if len(text) > MAX_CHARACTERS:
        return Check(status="unchecked", note=f"longer than {MAX_CHARACTERS:,} characters")
    if not text.strip():
        return _failed(Diagnostic(message="the text is empty"))
    parse = LANGUAGES.get(language)
    if parse is not None:
        error = parse(text)
        return _failed(error) if error else Check(status="ok")
    if not grammars.has_grammar(language):
        hint = "" if language in NAMES else suggest(language, NAMES)
        return Check(status="unchecked", note=f"no syntax checker for {language}{hint}")
    found = grammars.find_errors(language, text)
    if found is None:
        missing = str(missing_extra(f"the {language} grammar", "code"))
        return Check(status="unchecked", note=missing)
    return _failed(*found)


def _failed(*diagnostics: Diagnostic) -> Check:
    return Check(status="error" if diagnostics else "ok", diagnostics=diagnostics)


def find_error(language: str, text: str) -> str | None:
    """Return the first syntax error of a text, or None.

    If the text is a single fenced block, its content is checked. `language` is a key of
    `LANGUAGES`.

    Example:
        >>> find_error("json", '{"a": }') is None, find_error("python", "x = 1")
        (False, None)
    """
    if len(text) > MAX_CHARACTERS:
        return f"longer than {MAX_CHARACTERS:,} characters"
    error = LANGUAGES[language](unfenced(text))
    return None if error is None else str(error)


def unfenced(text: str) -> str:
    """Return the content of a text that is a single fenced block, else the text.

    Example:
        >>> unfenced("```python\\nx = 1\\n```")
        'x = 1'
    """
    blocks = find_blocks(text)
    if len(blocks) != 1 or not blocks[0].is_closed:
        return text
    (block,) = blocks
    around = text[: block.start].strip(), text[block.end :].strip()
    return text if "\n" in around[0] or "\n" in around[1] else block.code.removesuffix("\n")


def _python(text: str) -> Diagnostic | None:
    import ast

    try:
        with warnings.catch_warnings():  # about invalid escape sequences
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as exc:
        return Diagnostic(message=exc.msg, line=exc.lineno or None, column=exc.offset or None)
    except (ValueError, RecursionError, MemoryError) as exc:
        return Diagnostic(message=str(exc) or "nested too deeply")
    return None


def _json(text: str) -> Diagnostic | None:
    import json

    def reject(name: str) -> None:
        raise ValueError(f"{name} is not valid JSON")

    try:
        # Keep numbers as strings: Python does not parse integers of more than 4,300 digits.
        json.loads(text.strip(), parse_constant=reject, parse_int=str, parse_float=str)
    except json.JSONDecodeError as exc:
        before = text[: len(text) - len(text.lstrip())]  # include the stripped white space
        line, column = exc.lineno + before.count("\n"), exc.colno
        if exc.lineno == 1:
            column += len(before.rpartition("\n")[2])
        return Diagnostic(message=exc.msg, line=line, column=column)
    except ValueError as exc:
        return Diagnostic(message=str(exc))
    except RecursionError:
        return Diagnostic(message="nested too deeply")
    return None


def _toml(text: str) -> Diagnostic | None:
    from llmtool import toml

    try:
        toml.loads(text)
    except toml.DecodeError as exc:
        return _at_position(str(exc))
    return None


def _yaml(text: str) -> Diagnostic | None:
    from llmtool import safe_yaml

    message = safe_yaml.find_syntax_error(text)
    return None if message is None else _at_position(message)


def _at_position(message: str) -> Diagnostic:
    """Return a diagnostic for a message that names its position at the start or the end."""
    position = _POSITION.search(message)
    return Diagnostic(
        message=re.sub(r"^line \d+(, column \d+)?: |\s*\(at [^)]*\)$", "", message),
        line=int(position[1]) if position else None,
        column=int(position[2]) if position and position[2] else None,
    )


LANGUAGES: dict[str, Callable[[str], Diagnostic | None]] = {
    "python": _python,
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
}
