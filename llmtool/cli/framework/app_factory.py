"""How every command is made: plain help texts, Python's own tracebacks."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

HELP = {"help_option_names": ["-h", "--help"]}


class Group(TyperGroup):
    """A command with subcommands, whose help has their summaries whole."""

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        """Return the subcommands, each with the first sentence of its help."""
        names = self.list_commands(ctx)
        return [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))


def new_app(help: str | None = None, *, epilog: str | None = None, cls: Any = Group) -> typer.Typer:
    """Return typer's app for a command, or with `help` for one that has subcommands, a `cls`.

    Rich-rendered help costs 100 ms; exceptions become exit codes in `app.main`.
    """
    return typer.Typer(
        help=help,
        cls=cls,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=epilog,
        context_settings=HELP,
    )
