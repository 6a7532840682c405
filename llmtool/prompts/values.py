"""Validate and convert the values of a template's inputs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool.errors import InputError
from llmtool.option_names import show_value
from llmtool.suggest import suggest
from llmtool.text.separators import split_list

if TYPE_CHECKING:
    from llmtool.prompts.schema import Input

MAX_FILE_BYTES = 64 << 20
_SHOWN = 20  # values of an enum that an error lists

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True}
_BOOLEANS |= {"false": False, "no": False, "off": False, "0": False}
_LANGUAGE = re.compile(r"[^\W\d_]+([- ][^\W_]+)*(\s*\([^\W\d_]+([- ][^\W_]+)*\))?")


def convert(spec: Input, value: object) -> object:
    """Convert a value to the type of its input; strings from a command line are parsed.

    Raises:
        ValueError: the value does not fit; the message gives the expected type.
        InputError: a file cannot be read.

    Example:
        >>> from llmtool.prompts.schema import Input
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
        raise _wrong("a string", value)
    text = str(value)
    if spec.type == "string" and len(text.splitlines()) > 1:
        raise ValueError("must be one line; use type text for several lines")
    if spec.type == "lang" and (len(text) > 64 or not _LANGUAGE.fullmatch(text.strip())):
        raise ValueError("must be the name or code of a language, such as German or pt-BR")
    if spec.type == "enum" and text not in spec.enum:
        known = ", ".join(spec.enum[:_SHOWN]) + (", …" if len(spec.enum) > _SHOWN else "")
        raise ValueError(f"must be one of {known}{suggest(text, spec.enum)}")
    return text


def _wrong(accepted: str, value: object) -> ValueError:
    return ValueError(f"must be {accepted}, not {show_value(value)}")


def absent(spec: Input) -> object:
    """Return the value of an optional input that has neither a value nor a default."""
    if spec.type == "list":
        return []
    return None if spec.type in ("int", "float", "bool") else ""


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
        return int(value)
    raise _wrong("an integer", value)


def _float(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[-+0-9.eE]{1,40}\s*", value):
        try:
            return float(value)
        except ValueError:
            pass
    raise _wrong("a number", value)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    raise _wrong("true or false", value)


def _list(value: object) -> list[object]:
    """Return a list of scalars; a string is a JSON list or comma-separated items."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            import msgspec

            try:
                value = msgspec.json.decode(value, type=list[str | int | float | bool])
            except msgspec.DecodeError:
                raise _wrong("a JSON list of strings and numbers", value) from None
        else:
            value = [part for part in split_list(value) if part]
    if not isinstance(value, (list, tuple)):
        raise _wrong("a list", value)
    for item in value:
        if not isinstance(item, (str, int, float)):
            raise _wrong("a list of strings and numbers", value)
    return [str(item) if isinstance(item, str) else item for item in value]


def _read(value: object) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise _wrong("a path", value)
    path = Path(value)
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        content = path.read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise InputError(f"{str(value)!r} is not a valid path") from exc
    try:
        return content.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: not UTF-8 at byte {exc.start}") from exc
