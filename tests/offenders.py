"""One test per rule: check it for many cases, and report all that break it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any


def offenders(check: Callable[..., object], *cases: Iterable[Any]) -> str:
    """Return one paragraph for each combination of `cases` that `check` fails for, or "".

    Example:
        def check(name: str, width: int) -> None:
            assert len(show(name, width)) <= width

        assert not offenders(check, NAMES, WIDTHS)
    """
    found = []
    for case in itertools.product(*cases):
        try:
            check(*case)
        except Exception as exc:
            found.append(f"{', '.join(map(str, case))}: {type(exc).__name__}: {exc}")
    return "\n\n".join(found)
