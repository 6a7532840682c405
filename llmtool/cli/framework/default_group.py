"""A command that does something itself and has subcommands as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from llmtool.cli.framework.app_factory import Group
from llmtool.cli.framework.usage_errors import is_too_many

DEFAULT = "text"
_NEAR_ENOUGH = 0.8  # for a word that can be meant as it is


class DefaultGroup(Group):
    """Runs its command `text` unless the first argument names another one.

    So `llmtool classify "I like it"` classifies, and `llmtool classify eval` is a subcommand. The
    help of both is the group's own: that of the default command, and a list of the others.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self._others():
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        if ctx._protected_args != [DEFAULT]:
            return super().invoke(ctx)
        # In the place of the group, so that usage lines name the group alone.
        command = self.default
        command.format_epilog = self._format_epilog(command)
        args = list(ctx.args)
        with self._misspelt(ctx, args):
            made = command.make_context(ctx.info_name, list(args), parent=ctx.parent)
        with made as inner:
            self._doubt(inner)
            return command.invoke(inner)

    def list_commands(self, ctx: Any) -> list[str]:
        return self._others()

    @property
    def default(self) -> Any:
        """The command that runs without a name."""
        return self.commands[DEFAULT]

    def _others(self) -> list[str]:
        return [name for name in self.commands if name != DEFAULT]

    @contextmanager
    def _misspelt(self, ctx: Any, args: list[str]) -> Iterator[None]:
        """Take too many arguments for those of a subcommand, where the first is near its name."""
        try:
            yield
        except typer.TyperException as exc:
            near = self._nearest(args[0]) if args else None
            if near and is_too_many(exc.format_message()):
                ctx.fail(f"there is no subcommand {args[0]!r} (did you mean {near!r}?)")
            raise

    def _doubt(self, ctx: Any) -> None:
        """Report an argument that may be meant as a subcommand."""
        name = next(each.name for each in self.default.params if each.param_type_name == "argument")
        word = ctx.params[name]
        near = self._nearest(word or "", cutoff=_NEAR_ENOUGH)
        if near and not ctx.params["quiet"]:
            ctx.obj.note(f"{word!r} is taken as the {name}; did you mean the subcommand {near!r}?")

    def _nearest(self, word: str, *, cutoff: float = 0.6) -> str | None:
        """Return the subcommand that is most like a word."""
        import difflib

        near = difflib.get_close_matches(word, self._others(), n=1, cutoff=cutoff)
        return near[0] if near else None

    def _format_epilog(self, command: Any) -> Any:
        """Return the epilog's writer, which lists the subcommands before the examples."""
        original = type(command).format_epilog

        def write(ctx: Any, formatter: Any) -> None:
            with formatter.section("Subcommands"):
                formatter.write_dl(self.summaries(ctx))
            original(command, ctx, formatter)

        return write
