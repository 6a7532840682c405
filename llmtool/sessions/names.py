"""Names of sessions and of their files; imports no msgspec, for shell completion."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from llmtool.files import order_of_use

SUFFIX = ".jsonl"
_NAME = re.compile(r"\w[\w.-]*")
_GENERATED_NAME = re.compile(r"\d{4}-\d\d-\d\d-\d{4}(-\d+)?")
_MAX_LENGTH = 100
_MAX_BYTES = 200  # file systems allow 255; suffixes need some


def is_name(text: str) -> bool:
    """Return whether a text is a valid name."""
    is_short = len(text) <= _MAX_LENGTH and len(text.encode("utf-8", "replace")) <= _MAX_BYTES
    return is_short and _NAME.fullmatch(text) is not None


def list_names(folder: Path) -> list[str]:
    """Return the names of the sessions in a folder, most recently saved first."""
    found, now = [], time.time_ns()
    with contextlib.suppress(OSError):
        for path in folder.glob(f"*{SUFFIX}"):
            name = path.name.removesuffix(SUFFIX)
            with contextlib.suppress(OSError):
                if is_name(name) and path.is_file():
                    found.append((-order_of_use(path.stat().st_mtime_ns, now), name))
    return [name for _, name in sorted(found)]


def truncate(name: str, *, reserve: int = 0) -> str:
    """Truncate a name to the maximum length minus `reserve`."""
    prefix = name[: _MAX_LENGTH - reserve].encode()[: _MAX_BYTES - reserve]
    return prefix.decode("utf-8", "ignore")


def new_name(now: float | None = None) -> str:
    """Return a name for a session started at `now`, by default the current time.

    The form is `2026-11-26-1040`, in local time.
    """
    return time.strftime("%Y-%m-%d-%H%M", time.localtime(now))


def is_generated_name(name: str) -> bool:
    """Return whether `new_name` made the name, with or without an appended number."""
    return _GENERATED_NAME.fullmatch(name) is not None
