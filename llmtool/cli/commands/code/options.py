"""The options of `code` and its verbs, each declared once."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from llmtool.cli.options import types as o

LanguageOption = Annotated[
    str | None,
    typer.Option("--language", "-l", metavar="LANG", help="python, js, ts, sh, rs, sql, … "),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Print nothing rather than code with an error.")
]


class CodeGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with written code before it is printed."""

    language: LanguageOption = None
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look at the syntax of what was written.")
    ] = True
    repair: Annotated[
        int, typer.Option("--repair", min=0, max=10, metavar="N", help="Rounds of repair at most.")
    ] = 2
    format: Annotated[
        bool, typer.Option("--tidy/--no-tidy", help="Lay it out with a formatter on PATH.")
    ] = True
    strict: StrictOption = False
    run_tests: Annotated[
        str | None,
        typer.Option(
            "--run-tests",
            metavar="CMD",
            help="Run CMD on the code; {} is its file. Nothing else is ever run.",
        ),
    ] = None
    test_timeout: Annotated[
        float,
        typer.Option("--test-timeout", min=0.1, metavar="SECONDS", help="Stop CMD after so long."),
    ] = 60.0


class TellGroup(msgspec.Struct, frozen=True, kw_only=True):
    """How a template is told more."""

    system: o.SystemOption = None
    param: o.ParamOption = None
    think: o.ThinkOption = None


class ReportGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Where a result goes that is made from several replies."""

    output: o.OutputOption = None
    json: o.JsonOption = False
    stats: o.StatsOption = False
