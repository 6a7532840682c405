"""Whether a text is well-formed in a language; it is read and never run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

MAX_CHARACTERS = 1 << 20
_FENCE = re.compile(r"(`{3,}|~{3,})[^\n`]*\n(.*?)\n?\1[ \t]*", re.DOTALL)


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
    return LANGUAGES[language](unfenced(text))


def unfenced(text: str) -> str:
    """Return what is in the fenced block that a text is, or the text.

    Example:
        >>> unfenced("```python\\nx = 1\\n```")
        'x = 1'
    """
    block = _FENCE.fullmatch(text.strip())
    return block[2] if block else text


def _python(text: str) -> str | None:
    import ast

    try:
        with warnings.catch_warnings():  # of odd escapes in somebody else's code
            warnings.simplefilter("ignore")
            ast.parse(text)
    except SyntaxError as exc:
        return f"line {exc.lineno}: {exc.msg}" if exc.lineno else exc.msg
    except (ValueError, RecursionError, MemoryError) as exc:
        return str(exc) or "nested too deeply"
    return None


def _json(text: str) -> str | None:
    import msgspec

    try:
        msgspec.json.decode(text.strip())
    except (msgspec.DecodeError, RecursionError) as exc:
        return str(exc)
    return None


def _toml(text: str) -> str | None:
    from llmtool import toml

    try:
        toml.loads(text)
    except (toml.DecodeError, RecursionError) as exc:
        return str(exc)
    return None


def _yaml(text: str) -> str | None:
    from llmtool import safe_yaml

    return safe_yaml.find_syntax_error(text)


LANGUAGES: dict[str, Callable[[str], str | None]] = {
    "python": _python,
    "json": _json,
    "toml": _toml,
    "yaml": _yaml,
}
