"""What a caller hands to a template, checked and converted by the types of its inputs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool.errors import InputError
from llmtool.suggest import suggest

if TYPE_CHECKING:
    from llmtool.prompts.schema import Input

MAX_FILE_BYTES = 64 << 20
_SHOWN = 20  # values of an enum in an error

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLEANS |= {"false": False, "no": False, "off": False, "0": False}
_LANGUAGE = re.compile(r"[^\W\d_]+([- ][^\W_]+)*(\s*\([^\W\d_]+([- ][^\W_]+)*\))?")


def convert(spec: Input, value: object) -> object:
    """Return a value as its input takes it; a text from a command line becomes what is asked for.

    Raises:
        ValueError: it cannot be; the text says what was expected.
        InputError: a file cannot be read.

    Example:
        >>> convert(Input(type="list"), "red, green")
        ['red', 'green']
    """
    if spec.type == "int":
        return _integer(value)
    if spec.type == "float":
        return _float(value)
    if spec.type == "bool":
        return _boolean(value)
    if spec.type == "list":
        return _list(value)
    if spec.type == "file":
        return _read(value)
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {type(value).__name__}")
    text = str(value)
    if spec.type == "string" and len(text.splitlines()) > 1:
        raise ValueError("expected one line (an input of type text takes several)")
    if spec.type == "lang" and (len(text) > 64 or not _LANGUAGE.fullmatch(text.strip())):
        raise ValueError("expected the name or code of a language, such as German or pt-BR")
    if spec.type == "enum" and text not in spec.enum:
        known = ", ".join(spec.enum[:_SHOWN]) + (", …" if len(spec.enum) > _SHOWN else "")
        raise ValueError(f"expected one of {known}{suggest(text, spec.enum)}")
    return text


def absent(spec: Input) -> object:
    """Return what an optional input without a default holds when it is not given."""
    if spec.type == "list":
        return []
    return None if spec.type in ("int", "float", "bool") else ""


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
        return int(value)
    raise ValueError("expected a whole number")


def _float(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[-+0-9.eE]{1,40}\s*", value):
        try:
            return float(value)
        except ValueError:
            pass
    raise ValueError("expected a number")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise ValueError("expected true or false")


def _list(value: object) -> list[object]:
    """Return a list of scalars; a text is a JSON list, or items between commas."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            import msgspec

            try:
                value = msgspec.json.decode(value, type=list[str | int | float | bool])
            except msgspec.DecodeError as exc:
                raise ValueError(f"expected a JSON list of texts and numbers ({exc})") from exc
        else:
            value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, got {type(value).__name__}")
    for item in value:
        if not isinstance(item, (str, int, float)):
            raise ValueError(f"expected a list of texts and numbers, got {type(item).__name__}")
    return [str(item) if isinstance(item, str) else item for item in value]


def _read(value: object) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"expected a path, got {type(value).__name__}")
    path = Path(value)
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror or exc})") from exc
    except ValueError as exc:
        raise InputError(f"{str(value)!r} is no path") from exc
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not UTF-8 at byte {exc.start}") from exc
