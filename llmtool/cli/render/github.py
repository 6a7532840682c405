"""Write GitHub annotations, the workflow commands that GitHub Actions shows next to a line.

Source: GitHub, "Workflow commands for GitHub Actions". A command ends at the end of the line, so
escaped text cannot contain another one.
"""

from __future__ import annotations

import os
from typing import Literal

Level = Literal["error", "warning", "notice"]
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def annotation(
    level: Level, message: str, *, title: str, file: str | None = None, line: int | None = None
) -> str:
    """Return one line with an annotation; a file below the current folder gets its relative path.

    Example:
        >>> annotation("error", "50% of\\n::set-output", title="a,b", file="x.py", line=3)
        '::error file=x.py,line=3,title=a%2Cb::50%25 of%0A::set-output\\n'
    """
    properties: dict[str, object] = {"file": file and _relative(file), "line": line, "title": title}
    shown = ",".join(
        f"{name}={str(value).translate(_PROPERTY)}"
        for name, value in properties.items()
        if value is not None
    )
    return f"::{level} {shown}::{message.translate(_DATA)}\n"


def _relative(file: str) -> str:
    if not os.path.isabs(file):
        return file
    found = os.path.relpath(file)
    return file if found.startswith(os.pardir) else found
