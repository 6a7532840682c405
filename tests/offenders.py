"""One test per rule: check it for many cases, and report all that break it."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


@functools.cache
def syntax_nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return the nodes of a parsed file, its module first, for the tests of rules for source."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def every(**cases: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for every combination of `cases`, and report all that fail in one error.

    It costs less than `parametrize` for thousands of cases. Fixtures are shared by all of them.

    Example:
        @every(name=COMMANDS, width=(80, 40))
        def test_help_fits_the_terminal(show: Show, name: str, width: int) -> None:
            assert max(map(len, show(name, width).splitlines())) <= width
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            offenders = []
            for values in itertools.product(*cases.values()):
                case = dict(zip(cases, values, strict=True))
                try:
                    test(**fixtures, **case)
                except Exception as exc:
                    offenders.append(f"{case}: {type(exc).__name__}: {exc}")
            assert not offenders, f"{len(offenders)} cases fail:\n\n" + "\n\n".join(offenders)

        signature = inspect.signature(test)
        parameters = [each for name, each in signature.parameters.items() if name not in cases]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        del run.__wrapped__  # type: ignore[attr-defined]
        return run

    return decorate
