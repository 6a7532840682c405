"""The environment variables that the Hub client and its libraries read: check them, name them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from llmtool.errors import UsageError
from llmtool.web.environment import check_variables, find_problem, find_url_problem
from llmtool.web.urls import mask_url

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_FOLDER = "a folder that you can write to"
_PATHS: Final = {
    "HF_TOKEN_PATH": "a file that you can read",
    "HF_HUB_CACHE": _FOLDER,
    "HUGGINGFACE_HUB_CACHE": _FOLDER,
    "HF_HOME": _FOLDER,
    "XDG_CACHE_HOME": _FOLDER,
}
_READ = re.compile(
    r"HF_(?!HUB_DISABLE_).*|HUGGING.*|SSL.*|(http|https|all|no)_proxy", re.IGNORECASE
)


def check() -> None:
    """Check the variables for which no connection could be made.

    Raises:
        UsageError: names the first bad variable, its value and what to do.
    """
    check_variables(_find_problem)


def check_for_import() -> None:
    """Check the variables that huggingface_hub reads when it is imported.

    Raises:
        UsageError: as `check`.
    """
    for name, value in sorted(os.environ.items()):
        if re.fullmatch(r"HF_HUB_\w+_TIMEOUT", name) and not re.fullmatch(r"\s*\d+\s*", value):
            raise UsageError(f"{name} {value!r}: must be a whole number of seconds")
        if name == "HF_HUB_VERBOSITY" and value.lower() not in _LEVELS:
            raise UsageError(
                f"{name} {value!r}: must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}"
            )


def _find_problem(name: str, value: str) -> str | None:
    if name == "HF_ENDPOINT":
        return find_url_problem(value, ("http", "https"), "https://huggingface.co")
    if name == "HF_HUB_USER_AGENT_ORIGIN" and not re.fullmatch(r"[ -~]+", value):
        return "must be printable ASCII"
    return find_problem(name, value)


@contextlib.contextmanager
def setup_errors() -> Iterator[None]:
    """Convert any error of a library that reads its settings to a `UsageError`.

    Raises:
        UsageError: names the variables in the error, or else all that are set.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as exc:  # noqa: BLE001 - the libraries raise anything for a bad value
        reason = " ".join(str(exc).split()).partition(". ")[0] or type(exc).__name__
        given = {name: v for name, v in sorted(os.environ.items()) if v and _READ.fullmatch(name)}
        named = [name for name, value in given.items() if name in reason or value in reason]
        check = ", ".join(named or given)
        for name in named:
            reason = reason.replace(
                given[name], "***" if "TOKEN" in name else mask_url(given[name])
            )
        raise UsageError(
            f"cannot prepare a connection to the Hub: {reason}; check {check}"
        ) from exc


def name_path(path: Path, problem: str) -> str:
    """Return a problem with a path, after the variable that the path comes from, if any."""
    for name, remedy in _PATHS.items():
        value = os.environ.get(name)
        if value and path.absolute().is_relative_to(Path(os.path.expanduser(value)).absolute()):
            return f"{name} {value!r}: {problem}; set it to {remedy}"
    return problem
