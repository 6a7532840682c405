"""How every command is made: plain help texts, Python's own tracebacks."""

from __future__ import annotations

from typing import Any

import typer

HELP = {"help_option_names": ["-h", "--help"]}


def new_app(help: str | None = None, *, epilog: str | None = None, cls: Any = None) -> typer.Typer:
    """Return typer's app for a command, or with `help` for one that has subcommands.

    Rich-rendered help costs 100 ms; exceptions become exit codes in `app.main`.
    """
    more: dict[str, Any] = {} if help is None else {"help": help}
    if cls is not None:
        more["cls"] = cls
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=epilog,
        context_settings=HELP,
        **more,
    )
