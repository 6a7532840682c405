"""Set-up of the commands: folders, settings, the template library and the toolbox."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool import config
from llmtool.cli import first_run
from llmtool.cli.options.groups import EngineGroup
from llmtool.cli.terminal import inputs, signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import refuse_read
from llmtool.cli.terminal.progress import DownloadProgress
from llmtool.errors import UsageError
from llmtool.toolbox import Toolbox

if TYPE_CHECKING:
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template

_SLOW_LOAD_SECONDS = 0.7


def find_folders() -> config.Folders:
    """Return the user's folders without reading the settings, which may be broken."""
    return config.find_folders(os.environ)


def start(
    console: Console, *, color: str = "auto", quiet: bool = False, offline: bool = False
) -> tuple[config.Folders, config.Settings]:
    """Configure the console, and return the user's folders and settings with the flags applied."""
    folders = find_folders()
    settings = config.load_settings(os.environ, folders.config_file)
    if offline:
        settings = msgspec.structs.replace(settings, offline=True)
    console.configure(color=settings.color if color == "auto" else color, quiet=quiet)
    return folders, settings


def start_lenient(
    console: Console, *, color: str, quiet: bool
) -> tuple[config.Folders, config.Settings, list[str]]:
    """Do the same with broken settings, and also return the errors found in them.

    Settings then come from environment variables alone, or are the defaults if one is wrong too.
    """
    folders, settings = find_folders(), config.Settings()
    errors: list[str] = []
    for file in (folders.config_file, Path(os.devnull)):
        try:
            settings = config.load_settings(os.environ, file)
            break
        except UsageError as exc:
            errors.append(str(exc))
    console.configure(color=settings.color if color == "auto" else color, quiet=quiet)
    return folders, settings, list(dict.fromkeys(errors))


def open_library(folders: config.Folders) -> Library:
    """Return the library of the user's templates and the built-in ones."""
    from llmtool.prompts.library import Library

    return Library(user_folders=folders.prompt_folders)


def input_files(template: Template | None, *others: str | None) -> list[str]:
    """Return the files that a command reads: those of its template, and others.

    Files of the model are not among them: `open_toolbox` checks those.
    """
    return [*filter(None, others), *(template.files if template else ())]


def open_toolbox(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    engine: EngineGroup,
    *writes: str | None,
) -> Toolbox:
    """Return a toolbox that signals can stop, on the chosen model, which is downloaded if needed.

    Raises:
        UsageError: a file that the command `writes` is one of the model's.
        LlmtoolError: the model cannot be found or downloaded.
    """
    model = engine.model
    asked = None
    if model is None and settings.model is None and first_run.can_ask(console):
        model = asked = first_run.ask(console, settings)
    with DownloadProgress(console, model or settings.model or "starter") as progress:
        box = Toolbox(
            model,
            n_ctx=engine.ctx_size,
            n_threads=engine.threads,
            n_gpu_layers=engine.n_gpu_layers,
            n_parallel=engine.parallel,
            kv_type=engine.kv_type.value,
            prefix_cache=not engine.no_cache,
            settings=settings,
            folders=folders,
            cancellation=signals.install(console.interrupts),
            on_fault=lambda: signals.end_by_fault(console, box.model_name),
            on_load_progress=_LoadStatus(console),
            on_download_progress=progress,
            on_note=progress.note,
        )
        found = box.find_model()
    for path in filter(None, writes):
        refuse_read(path, map(str, found.parts))
    if asked is not None:
        first_run.remember(console, folders, asked)
    if box.uses_starter_unasked:
        console.note(
            "no model chosen: using the starter model, which is small and weak "
            "(choose one with -m or `llmtool config set model`)"
        )
    box.warm_up()
    return box


def parse_params(pairs: list[str]) -> dict[str, Any]:
    """Return the values of `-p KEY=VALUE`; a value is always text."""
    values = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark or not key:
            raise UsageError(f"-p {pair}: write it as KEY=VALUE")
        values[key] = inputs.read_argument(value, name=f"-p {key}")
    return values


class _LoadStatus:
    """Shows the progress of a slow load on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.perf_counter()
        self._shown = False

    def __call__(self, done: float, total: float) -> None:
        if time.perf_counter() - self._started < _SLOW_LOAD_SECONDS:
            return
        if done < total:
            self._console.status(f"loading the model {done / total:4.0%}")
            self._shown = True
        elif self._shown:
            self._console.status("")
