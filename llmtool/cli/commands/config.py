"""`llmtool config`: the settings, and changing them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import HELP, new_app
from llmtool.cli.options import types as o
from llmtool.cli.terminal.console import Console

if TYPE_CHECKING:
    from llmtool.config import Folders

app = new_app(
    "Show the settings and change them.", epilog="Example: llmtool config set model starter"
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="A setting, or aliases.NAME.")]


@app.command("show", context_settings=HELP, epilog="Example: llmtool config show --json")
def show(
    ctx: typer.Context,
    json: o.JsonOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Show every setting as it is in force: variables win over config.toml."""
    import msgspec

    from llmtool.cli import bootstrap
    from llmtool.cli.render import tables

    console: Console = ctx.obj
    folders, settings = bootstrap.start(console, color=color.value, quiet=quiet)
    values = msgspec.to_builtins(settings)
    if json:
        console.stdout.write_json({**values, "path": str(folders.config_file)})
        return
    aliases = values.pop("aliases")
    words = {None: "-", True: "true", False: "false"}
    lines = [
        (name, words[value] if value is None or isinstance(value, bool) else str(value))
        for name, value in values.items()
    ]
    lines += [(f"aliases.{name}", value) for name, value in aliases.items()]
    tables.fields(console, [*lines, ("path", str(folders.config_file))])


@app.command("set", context_settings=HELP, epilog="Example: llmtool config set model starter")
def set_(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="What to set it to.")],
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Set a key of config.toml; comments and other keys stay."""
    from llmtool.cli import bootstrap
    from llmtool.config import set_value
    from llmtool.models.reference import check_name

    console: Console = ctx.obj
    console.configure(quiet=quiet)
    folders = bootstrap.find_folders()
    if key.startswith("aliases."):
        check_name(key.removeprefix("aliases."))
    set_value(folders.config_file, key, value)
    if key == "model" or key.startswith("aliases."):
        _doubt(console, folders, value)


@app.command("unset", context_settings=HELP, epilog="Example: llmtool config unset model")
def unset(
    key: Key,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Take a key out of config.toml, so that its default is in force."""
    from llmtool.cli import bootstrap
    from llmtool.config import set_value

    set_value(bootstrap.find_folders().config_file, key, None)


def _doubt(console: Console, folders: Folders, model: str) -> None:
    """Say so where a name was set that no model has."""
    from llmtool import config
    from llmtool.errors import LlmtoolError, ModelNotFound
    from llmtool.models.store import Store

    with contextlib.suppress(LlmtoolError):  # what else is wrong is told where it is used
        settings = config.load_settings({}, folders.config_file)
        try:
            Store(folders, settings.aliases, offline=True).resolve(model)
        except ModelNotFound as exc:
            console.note(f"set, but {exc}")
