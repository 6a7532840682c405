"""The options of `code` that are for the command line alone."""

from __future__ import annotations

from typing import Annotated

import msgspec
from typer import Option

Strict = Annotated[bool, Option("--strict", help="Print nothing rather than code with an error.")]


class CheckOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which code is good enough to be printed."""

    strict: Strict = False
    test_command: Annotated[
        str | None,
        Option("--run-tests", metavar="CMD", help="Run CMD on the code; {} is its file."),
    ] = None
    test_timeout: Annotated[
        float,
        Option(
            "--test-timeout", min=0.1, metavar="SECONDS", help="Stop CMD after this many seconds."
        ),
    ] = 60.0
