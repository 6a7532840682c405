"""Whether a text is well-formed in a language; it is read and never run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Literal

import msgspec

from llmtool.text import grammars
from llmtool.text.code_languages import CodeLanguage

MAX_CHARACTERS = 1 << 20
_FENCE = re.compile(r"(`{3,}|~{3,})[^\n`]*\n(.*?)\n?\1[ \t]*", re.DOTALL)
_PLACE = re.compile(r"line (\d+)(?:,? column (\d+))?")

Status = Literal["ok", "error", "unchecked"]


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a text, and where: line and column count from 1, in characters."""

    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        column = f", column {self.column}" if self.column is not None else ""
        return f"line {self.line}{column}: {self.message}"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What a check came to; `note` says why a text is unchecked."""

    status: Status
    diagnostics: tuple[Diagnostic, ...] = ()
    note: str = ""


def check(language: CodeLanguage | None, text: str) -> Check:
    """Return whether a text is well-formed, and its errors.

    Parsers of Python, JSON, TOML and YAML tell the first error, grammars of other languages up to
    `grammars.MAX_ERRORS`. A language that nothing here can read is unchecked, which is no error.

    Example:
        >>> found = check(CodeLanguage.python, "x = (1")
        >>> found.status, str(found.diagnostics[0])
        ('error', "line 1, column 5: '(' was never closed")
    """
    if language is None:
        return Check(status="unchecked", note="the language is not known (-l names it)")
    if len(text) > MAX_CHARACTERS:
        return Check(status="unchecked", note=f"longer than {MAX_CHARACTERS} characters")
    if not text.strip():
        return _failed(Diagnostic(message="it is empty"))
    parse = LANGUAGES.get(language.value)
    if parse is not None:
        error = parse(text)
        return _failed(error) if error else Check(status="ok")
    if not grammars.has_grammar(language):
        return Check(status="unchecked", note=f"nothing here checks {language.value}")
    found = grammars.find_errors(language, text)
    if found is None:
        missing = f"{language.value} is checked with the extra: pip install 'llmtool[code]'"
        return Check(status="unchecked", note=missing)
    return _failed(*(Diagnostic(**msgspec.structs.asdict(each)) for each in found))


def _failed(*diagnostics: Diagnostic) -> Check:
    return Check(status="error" if diagnostics else "ok", diagnostics=diagnostics)


def find_error(language: str, text: str) -> str | None:
    """Return what is wrong with the syntax of a text, or None.

    A text that is one fenced block as a whole stands for what is in the block. `language` is one of
    `LANGUAGES`.

    Example:
        >>> find_error("json", '{"a": }') is None, find_error("python", "x = 1")
        (False, None)
    """
    if len(text) > MAX_CHARACTERS:
        return f"longer than {MAX_CHARACTERS} characters"
    error = LANGUAGES[language](unfenced(text))
    return None if error is None else str(error)


def unfenced(text: str) -> str:
    """Return what is in the fenced block that a text is, or the text.

    Example:
        >>> unfenced("```python\\nx = 1\\n```")
        'x = 1'
    """
    block = _FENCE.fullmatch(text.strip())
    return block[2] if block else text


def _python(text: str) -> Diagnostic | None:
    import ast

    try:
        with warnings.catch_warnings():  # of odd escapes in somebody else's code
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as exc:
        return Diagnostic(message=exc.msg, line=exc.lineno or None, column=exc.offset or None)
    except (ValueError, RecursionError, MemoryError) as exc:
        return Diagnostic(message=str(exc) or "nested too deeply")
    return None


def _json(text: str) -> Diagnostic | None:
    import json

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    try:
        # Numbers stay texts: Python reads no integer of more than 4,300 digits.
        json.loads(text.strip(), parse_constant=refuse, parse_int=str, parse_float=str)
    except json.JSONDecodeError as exc:
        before = text[: len(text) - len(text.lstrip())]  # what was stripped counts as well
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
    except (toml.DecodeError, RecursionError) as exc:
        message = str(exc) or "nested too deeply"
        place = _PLACE.search(message)
        return Diagnostic(
            message=re.sub(r"\s*\(at [^)]*\)$", "", message),
            line=int(place[1]) if place else None,
            column=int(place[2]) if place and place[2] else None,
        )
    return None


def _yaml(text: str) -> Diagnostic | None:
    from llmtool import safe_yaml

    message = safe_yaml.find_syntax_error(text)
    if message is None:
        return None
    place = re.match(r"line (\d+)(?:, column (\d+))?: ", message)
    if place is None:
        return Diagnostic(message=message)
    column = int(place[2]) if place[2] else None
    return Diagnostic(message=message[place.end() :], line=int(place[1]), column=column)


LANGUAGES: dict[str, Callable[[str], Diagnostic | None]] = {
    "python": _python,
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
}
