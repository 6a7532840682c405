"""A command that runs on its own and also has subcommands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from llmtool.cli.framework.app_factory import Group
from llmtool.cli.framework.usage_errors import is_too_many

DEFAULT = "text"
_NOTE_SIMILARITY = 0.8  # of an argument to a subcommand's name, above which a note is printed


class DefaultGroup(Group):
    """A group that runs its command `text` unless the first argument names a subcommand.

    `llmtool classify "I like it"` classifies; `llmtool classify eval` is a subcommand. The group's
    help is that of the default command, followed by a list of the subcommands. Without arguments on
    a terminal, it prints its help.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and ctx.obj is not None and ctx.obj.stdin_is_terminal:
            args = ["--help"]  # there is nothing to read
        if not args or args[0] not in self._subcommands():
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        if ctx._protected_args != [DEFAULT]:
            return super().invoke(ctx)
        # Replaces the group in the chain of contexts, so that usage lines name only the group.
        command = self.default
        command.format_epilog = self._format_epilog(command)
        args = list(ctx.args)
        with self._suggest_subcommand(ctx, args):
            default_context = command.make_context(ctx.info_name, list(args), parent=ctx.parent)
        with default_context as inner:
            self._note_similar_subcommand(inner)
            return command.invoke(inner)

    def list_commands(self, ctx: Any) -> list[str]:
        return self._subcommands()

    @property
    def default(self) -> Any:
        """The command that runs if no subcommand is named."""
        return self.commands[DEFAULT]

    def _subcommands(self) -> list[str]:
        return [name for name in self.commands if name != DEFAULT]

    @contextmanager
    def _suggest_subcommand(self, ctx: Any, args: list[str]) -> Iterator[None]:
        """Reword "too many arguments" if the first one resembles a subcommand."""
        try:
            yield
        except typer.TyperException as exc:
            similar = self._similar_subcommand(args[0]) if args else None
            if similar and is_too_many(exc.format_message()):
                ctx.fail(f"unknown subcommand {args[0]!r}; did you mean {similar!r}?")
            raise

    def _note_similar_subcommand(self, ctx: Any) -> None:
        """Print a note if the argument resembles a subcommand; with further arguments, fail."""
        name = next(each.name for each in self.default.params if each.param_type_name == "argument")
        word = ctx.params[name]
        similar = self._similar_subcommand(word or "", cutoff=_NOTE_SIMILARITY)
        if similar and ctx.params.get("paths"):
            ctx.fail(f"unknown subcommand {word!r}; did you mean {similar!r}?")
        if similar and not ctx.params["quiet"]:
            ctx.obj.note(
                f"reading {word!r} as the {name}; did you mean the subcommand {similar!r}?"
            )

    def _similar_subcommand(self, word: str, *, cutoff: float = 0.6) -> str | None:
        """Return the subcommand whose name is most similar to a word, if any."""
        import difflib

        similar = difflib.get_close_matches(word, self._subcommands(), n=1, cutoff=cutoff)
        return similar[0] if similar else None

    def _format_epilog(self, command: Any) -> Any:
        """Return a function that writes the subcommands, then the command's epilog."""
        original = type(command).format_epilog

        def write(ctx: Any, formatter: Any) -> None:
            with formatter.section("Subcommands"):
                formatter.write_dl(self.summaries(ctx))
            original(command, ctx, formatter)

        return write
