"""`llmtool config`: show and change settings."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console

if TYPE_CHECKING:
    from llmtool.config import Folders

app = App("Show and change settings.", epilog="Example: llmtool config set model starter")
Key = Annotated[
    str,
    typer.Argument(metavar="KEY", help="Setting, aliases.NAME, models.NAME.… or endpoints.NAME.…"),
]


@app.add("show", epilog="Example: llmtool config show --json")
def show(
    console: Console,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="Show only the value of this setting.")
    ] = None,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Show all settings, or one; environment variables override config.toml."""
    import msgspec

    from llmtool.cli import bootstrap
    from llmtool.cli.render import tables
    from llmtool.errors import UsageError
    from llmtool.suggest import suggest

    folders, settings = bootstrap.start(console, general)
    values = msgspec.to_builtins(settings)
    for each in values["endpoints"].values():
        each["headers"] = dict.fromkeys(each["headers"], "…")  # they may be keys
    values["path"] = str(folders.config_file)
    if json and key is None:
        console.stdout.write_json(values)
        return
    aliases, models = values.pop("aliases"), values.pop("models")
    endpoints = values.pop("endpoints")
    path = values.pop("path")
    values |= {f"aliases.{name}": value for name, value in aliases.items()}
    for name, model in models.items():
        arguments = {f"template_args.{each}": v for each, v in model["template_args"].items()}
        lora = ", ".join(model["lora"]) or None
        fields = {"lora": lora, "chat_template": model["chat_template"], **arguments}
        values |= {f"models.{name}.{each}": value for each, value in fields.items()}
    for name, endpoint in endpoints.items():
        values |= {f"endpoints.{name}.{each}": value for each, value in endpoint.items()}
    values["path"] = path
    if key is None:
        tables.fields(console, [(name, _format(value)) for name, value in values.items()])
    elif key not in values:
        hint = suggest(key, values) or "; `llmtool config show` lists all"
        raise UsageError(f"unknown key {key!r}{hint}")
    elif json:
        console.stdout.write_json(values[key])
    else:
        console.stdout.write(f"{_format(values[key])}\n")


def _format(value: object) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@app.add("set", epilog="Example: llmtool config set model starter")
def set_(
    console: Console,
    *,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="New value.")],
    general: g.GeneralOptions,
) -> None:
    """Set a key in config.toml, preserving comments and other keys."""
    from llmtool.cli import bootstrap
    from llmtool.config import set_value
    from llmtool.models.reference import check_name, portable

    console.configure(quiet=general.quiet)
    folders = bootstrap.find_folders()
    is_alias = key.startswith("aliases.")
    if is_alias:
        check_name(key.removeprefix("aliases."))
    elif key.startswith("models."):
        value = _check_model_setting(key, value)
    elif key.startswith("endpoints."):
        from llmtool.engine.openai.endpoint import check_setting

        check_setting(key, value)
    if is_alias or key == "model":
        value = portable(value)
    set_value(folders.config_file, key, value)
    if is_alias or key == "model":
        _warn_if_not_found(console, folders, value)


@app.add("unset", epilog="Example: llmtool config unset model")
def unset(
    key: Key,
    general: g.GeneralOptions,
) -> None:
    """Remove a key from config.toml to restore its default."""
    from llmtool.cli import bootstrap
    from llmtool.config import set_value

    set_value(bootstrap.find_folders().config_file, key, None)


def _check_model_setting(key: str, value: str) -> str:
    """Check the setting of a model; return it, with the full path of a file."""
    from llmtool.engine.chat_template_options import parse_arguments, read_options

    if key.endswith(".chat_template"):
        read_options(value, {})
        return os.path.abspath(value)
    if key.endswith(".lora"):
        from llmtool.engine.types import Adapter
        from llmtool.models.gguf.reader import read_header

        adapter = Adapter.parse(value)
        read_header(Path(adapter.path))
        return str(Adapter(os.path.abspath(adapter.path), adapter.scale))
    if ".template_args." in key:
        parse_arguments([f"{key.rpartition('.template_args.')[2]}={value}"])
    return value


def _warn_if_not_found(console: Console, folders: Folders, model: str) -> None:
    from llmtool import config
    from llmtool.engine.openai.endpoint import find_endpoint
    from llmtool.errors import LlmtoolError, ModelNotFound
    from llmtool.models.store import Store

    with contextlib.suppress(LlmtoolError):  # other errors are reported on use
        settings = config.load_settings({}, folders.config_file)
        if find_endpoint(model, settings=settings, environ=os.environ, folder=folders.config):
            return
        try:
            path = Store(folders, settings.aliases, offline=True).resolve(model).path
            if path is not None and not path.exists():
                console.note(f"saved, but {path}: no such file")
        except ModelNotFound as exc:
            console.note(f"saved, but the model was not found: {exc}")
