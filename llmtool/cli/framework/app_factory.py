"""Typer classes for our commands: plain-text help, Python's own tracebacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from llmtool.cli.framework.help import format_options
from llmtool.errors import UsageError

# Subcommands by the names that other programs give them.
SYNONYMS = {
    "add": ("new",),
    "create": ("new",),
    "del": ("rm",),
    "delete": ("rm",),
    "download": ("pull",),
    "find": ("search",),
    "get": ("show",),
    "info": ("show",),
    "list": ("ls", "show"),
    "ls": ("show",),
    "remove": ("rm",),
    "show": ("info",),
}
_LOADED = "use `llmtool serve --detach`"
_STOP = "use `llmtool stop`"
_CONFIG_FILE = "`llmtool config show path` prints the path of the file"
_TEMPLATE_FILE = "`llmtool prompts show NAME --json` prints the path of its file"
_CLEAR = "use `llmtool cache clear`"
_SESSION = "use `llmtool chat --session NAME`"
# What to use instead of subcommands of other programs.
INSTEAD = {
    "cache clean": _CLEAR,
    "cache empty": _CLEAR,
    "cache info": "use `llmtool cache ls`",
    "cache path": "use `llmtool cache ls`",
    "cache prune": _CLEAR,
    "cache purge": _CLEAR,
    "cache rm": _CLEAR,
    "cache size": "use `llmtool cache ls`",
    "cache stats": "use `llmtool cache ls`",
    "config add": "use `llmtool config set`",
    "config delete": "use `llmtool config unset`",
    "config edit": _CONFIG_FILE,
    "config file": _CONFIG_FILE,
    "config init": "use `llmtool config set`",
    "config open": _CONFIG_FILE,
    "config path": _CONFIG_FILE,
    "config remove": "use `llmtool config unset`",
    "config reset": "use `llmtool config unset`",
    "config rm": "use `llmtool config unset`",
    "models aliases": "use `llmtool models alias`",
    "models available": "use `llmtool models recommend`",
    "models check": "use `llmtool models verify`",
    "models clean": "use `llmtool models prune`",
    "models convert": "import a GGUF file with `llmtool models import`",
    "models cp": "use `llmtool models alias` to give a model a name",
    "models create": "import a GGUF file with `llmtool models import`",
    "models default": "use `llmtool config set model NAME`",
    "models install": "use `llmtool models pull`",
    "models load": _LOADED,
    "models path": "use `llmtool models info`",
    "models ps": "use `llmtool ps`",
    "models push": "llmtool does not upload models",
    "models rename": "use `llmtool models alias` to give a model a name",
    "models run": "use `llmtool gen -m NAME` or `llmtool chat -m NAME`",
    "models search": "use `llmtool models recommend`, or any GGUF repository of huggingface.co",
    "models set": "use `llmtool config set model NAME`",
    "models stop": _STOP,
    "models unload": _STOP,
    "models update": "use `llmtool models pull`",
    "models upgrade": "use `llmtool models pull`",
    "models use": "use `llmtool config set model NAME`",
    "prompts check": "use `llmtool prompts lint`",
    "prompts copy": "use `llmtool prompts new --from NAME`",
    "prompts cp": "use `llmtool prompts new --from NAME`",
    "prompts delete": _TEMPLATE_FILE,
    "prompts edit": _TEMPLATE_FILE,
    "prompts eval": "use `llmtool prompts test`",
    "prompts path": _TEMPLATE_FILE,
    "prompts remove": _TEMPLATE_FILE,
    "prompts rm": _TEMPLATE_FILE,
    "prompts run": "use `llmtool run`",
    "prompts save": "use `llmtool prompts new`",
    "prompts validate": "use `llmtool prompts lint`",
    "sessions clear": "use `llmtool sessions rm`",
    "sessions continue": _SESSION,
    "sessions create": _SESSION,
    "sessions load": _SESSION,
    "sessions new": _SESSION,
    "sessions open": _SESSION,
    "sessions prune": "use `llmtool sessions rm`",
    "sessions resume": _SESSION,
    "sessions start": _SESSION,
}
_HELP = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command whose help groups the options in sections."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        format_options(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept `--think=LEVEL` beside the flags `--think` and `--no-think`; the last counts.

        Also accept `-o=FILE`, as some other programs do, instead of a file named `=FILE`.
        """
        end = args.index("--") if "--" in args else len(args)
        args = [*_without_equals_sign(args[:end], self.params), *args[end:]]
        if option := _find_without_value(args[:end], self.params):
            ctx.fail(f"Option '{option}' requires an argument")
        joined = [arg for arg in args[:end] if arg[:1] == "-" and arg[1:2].isalpha() and arg[2:]]
        if joined:
            from llmtool.cli.framework.usage_errors import find_single_dash

            if option := find_single_dash(joined, self):
                ctx.fail(f"No such option: {option}")
        for option, level in zip(args[:end], args[1:end], strict=False):
            if option == "--think" and level in ("low", "medium", "high"):
                raise UsageError(f"--think {level}: write --think={level}")
        levels = [arg.partition("=")[2] for arg in args[:end] if arg.startswith("--think=")]
        given = [arg for arg in args[:end] if arg.split("=")[0] in ("--think", "--no-think")]
        options = ["--think" if arg.startswith("--think=") else arg for arg in args[:end]]
        rest = super().parse_args(ctx, options + args[end:])
        for level in levels:
            from llmtool.engine.types import EFFORTS

            if level not in EFFORTS:
                raise UsageError(f"--think {level!r}: must be low, medium or high")
            if given[-1] == f"--think={level}":
                ctx.params["thinking"] = level
        return rest


def _without_equals_sign(args: list[str], params: list[Any]) -> list[str]:
    """Return arguments with `-oVALUE` instead of `-o=VALUE`.

    Example:
        >>> import typer
        >>> option = typer.core.TyperOption(param_decls=["-o", "--output"])
        >>> _without_equals_sign(["-o=a.txt", "-o", "-o=b"], [option])
        ['-oa.txt', '-o', '-o=b']
    """
    takes_value = _names(params, takes_value=True)
    found = []
    is_value = False
    for arg in args:
        if not is_value and arg[:2] in takes_value and arg[2:3] == "=" and arg[3:]:
            arg = arg[:2] + arg[3:]
        last = arg if arg.startswith("--") or arg in takes_value else f"-{arg[-1:]}"
        is_short = arg.startswith("-") and not any(f"-{c}" in takes_value for c in arg[1:-1])
        is_value = not is_value and last in takes_value and (last == arg or is_short)
        found.append(arg)
    return found


def _find_without_value(args: list[str], params: list[Any]) -> str | None:
    """Return an option that is followed by another option instead of its value.

    Example:
        >>> import typer
        >>> options = [typer.core.TyperOption(param_decls=[each]) for each in ("--model", "--seed")]
        >>> _find_without_value(["--model", "--seed", "3"], options)
        '--model'
    """
    takes_value, known = _names(params, takes_value=True), _names(params)
    is_value = False
    for arg, following in zip(args, args[1:], strict=False):
        if is_value or arg not in takes_value:
            is_value = False
        elif (following.partition("=")[0] if following[:2] == "--" else following) in known:
            return arg
        else:
            is_value = True
    return None


def _names(params: list[Any], *, takes_value: bool = False) -> set[str]:
    """Return the names of all options, or of those that take a value."""
    return {
        name
        for param in params
        if param.param_type_name == "option" and not (takes_value and param.is_flag)
        for name in (*param.opts, *param.secondary_opts)
    }


class Group(TyperGroup):
    """A command with subcommands; its help shows their summaries in full."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a subcommand by its name, or by its name in other programs."""
        names = (cmd_name, *SYNONYMS.get(cmd_name, ()))
        found = map(partial(super().get_command, ctx), names)
        return next(filter(None, found), None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        hint = INSTEAD.get(f"{ctx.info_name} {args[0]}")
        if hint and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"unknown command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def summaries(self, ctx: Any) -> list[tuple[str, str]]:
        """Return the subcommands, each with the first sentence of its help."""
        names = self.list_commands(ctx)
        return [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries(ctx))


class App(typer.Typer):
    """A Typer app whose commands accept option groups.

    Help is not rendered with Rich, which takes 100 ms. `app.main` turns exceptions into exit codes.
    """

    def __init__(
        self, help: str | None = None, *, epilog: str | None = None, cls: Any = Group
    ) -> None:
        super().__init__(
            help=help,
            cls=cls,
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            epilog=epilog,
            context_settings=_HELP,
        )

    def add(
        self, name: str, *, epilog: str
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Return a decorator that registers a function as a command; see `expand_groups`."""
        from llmtool.cli.framework.option_groups import expand_groups

        add = self.command(name, cls=Command, context_settings=_HELP, epilog=epilog)

        def decorate(function: Callable[..., None]) -> Callable[..., None]:
            add(expand_groups(function))
            return function

        return decorate
