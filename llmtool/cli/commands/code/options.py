"""Options of `code` that exist only on the command line."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Option

Strict = Annotated[bool, Option("--strict", help="Print nothing if the code has an error.")]


class CheckOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Checks that the code has to pass."""

    strict: Strict = False
    test_command: Annotated[
        str | None,
        Option(
            "--run-tests",
            metavar="CMD",
            help="Run CMD to test the code; {} is replaced by the path of the code.",
        ),
    ] = None
    test_timeout: Annotated[
        float,
        Option(
            "--test-timeout",
            min=0.1,
            metavar="SECONDS",
            help="Time limit for CMD.",
            show_default="60",
        ),
    ] = 60.0
