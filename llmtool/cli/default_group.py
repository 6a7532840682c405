"""A command that does something itself and has subcommands as well."""

from __future__ import annotations

from typing import Any

from llmtool.cli.new_app import Group

DEFAULT = "text"


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
        with command.make_context(ctx.info_name, list(ctx.args), parent=ctx.parent) as inner:
            return command.invoke(inner)

    def list_commands(self, ctx: Any) -> list[str]:
        return self._others()

    @property
    def default(self) -> Any:
        """The command that runs without a name."""
        return self.commands[DEFAULT]

    def _others(self) -> list[str]:
        return [name for name in self.commands if name != DEFAULT]

    def _format_epilog(self, command: Any) -> Any:
        """Return the epilog's writer, which lists the subcommands before the examples."""
        original = type(command).format_epilog

        def write(ctx: Any, formatter: Any) -> None:
            with formatter.section("Subcommands"):
                formatter.write_dl(self.summaries(ctx))
            original(command, ctx, formatter)

        return write
