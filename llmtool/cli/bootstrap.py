"""Prepare what commands need: folders, settings, the template library and the model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from llmtool import config
from llmtool.cancellation import Cancellation
from llmtool.cli.options.flags import format_flag
from llmtool.cli.options.groups import GeneralOptions, ModelOptions, ResourceOptions
from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check_not_read
from llmtool.cli.terminal.progress import DownloadProgress, ModelStatus
from llmtool.errors import UsageError
from llmtool.local_model import LocalModel
from llmtool.model_choice import choose_model
from llmtool.models.hub.callbacks import no_note, no_progress
from llmtool.models.reference import STARTER
from llmtool.option_names import option
from llmtool.sizes import format_count
from llmtool.tasks.pipeline.context import NamedModel, TaskContext

if TYPE_CHECKING:
    from llmtool.batch_jobs import JobReader, JobWriter
    from llmtool.model_choice import AnyModel
    from llmtool.prompts.library import Library
    from llmtool.prompts.template import Template
    from llmtool.ray.batch import RayBatch

    # What answers the records of a batch, if not a model of this process.
    Backend = JobWriter | JobReader | RayBatch

T = TypeVar("T")


def find_folders() -> config.Folders:
    """Return the user's folders, without reading settings, which may be invalid."""
    return config.find_folders(os.environ)


def start(
    console: Console, general: GeneralOptions, model: ModelOptions = ModelOptions()
) -> tuple[config.Folders, config.Settings]:
    """Configure the console, and start the time limit.

    Return the user's folders, and the settings with the flags applied.
    """
    if model.timeout is not None:
        console.interrupts.start_timer(model.timeout)
    folders = find_folders()
    settings = config.load_settings(os.environ, folders.config_file)
    if model.offline:
        settings = msgspec.structs.replace(settings, offline=True)
    color = settings.color if general.color == "auto" else general.color
    console.configure(color=color, quiet=general.quiet, progress=general.progress)
    return folders, settings


def start_lenient(
    console: Console, general: GeneralOptions
) -> tuple[config.Folders, config.Settings, list[str]]:
    """Do the same even if settings are invalid, and also return their errors.

    If config.toml is invalid, only environment variables count; if one of those is invalid too,
    the defaults.
    """
    folders, settings = find_folders(), config.Settings()
    errors: list[str] = []
    for file in (folders.config_file, Path(os.devnull)):
        try:
            settings = config.load_settings(os.environ, file)
            break
        except UsageError as exc:
            errors.append(str(exc))
    color = settings.color if general.color == "auto" else general.color
    console.configure(color=color, quiet=general.quiet, progress=general.progress)
    return folders, settings, list(dict.fromkeys(errors))


def open_library(folders: config.Folders) -> Library:
    """Return the library of user and built-in templates."""
    from llmtool.prompts.library import Library

    return Library(user_folders=folders.prompt_folders)


def input_files(template: Template | str, *others: str | None) -> list[str]:
    """Return the files that a command reads: its template's, and others.

    The model's files are not included; `open_model` checks them.
    """
    return [*filter(None, others), *(() if isinstance(template, str) else template.files)]


def start_loading(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
    *,
    warm_up: bool = True,
) -> AnyModel | None:
    """Start loading the chosen model in the background, unless `warm_up` is off, and return it.

    Return None if it is not installed, or if the user has to choose one.
    """
    model = make_model(console, folders, settings, options, options.reference)
    if not isinstance(model, LocalModel):
        return model
    if model.installed_file is None or (model.is_default and console.can_ask):
        return None
    if warm_up:
        model.warm_up()
    return model


class _NeedsEngine(Exception):
    """Preparing a task needs a model that is not installed."""


class _UninstalledModel(NamedModel, frozen=True):
    """A model that is not installed; tasks can be prepared, but not run."""

    loaded_engine: None = None

    @property
    def engine(self) -> NoReturn:
        raise _NeedsEngine


def open_task(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
    prepare: Callable[[TaskContext], T],
    *writes: str | None,
    loading: AnyModel | None = None,
    check: Callable[[T], object] = lambda task: None,
    needs_model: bool = True,
    warm_up: bool = True,
    backend: Backend | None = None,
) -> tuple[TaskContext, T]:
    """Open the chosen model with `open_context`, and prepare a task for it.

    If the task does not need one, none is opened; without `warm_up`, its first use loads it. If the
    model is not installed, not chosen or on a server, the task is first prepared without it and
    passed to `check`, so that invalid options are reported before an unknown model, a download or
    a request. The model of a `backend` is that of its batch file, or opened by its workers as well.
    """
    workers = None
    if backend is not None:
        from llmtool.ray.batch import RayBatch

        if not isinstance(backend, RayBatch):
            context = _open_job(console, backend, folders, settings, options)
            return context, prepare(context)
        workers, warm_up = backend, False
        if not needs_model:
            raise UsageError("--ray: this command needs no model; omit it")
        if options.server not in (None, "never"):
            raise UsageError(
                f"--server {options.server} and --ray cannot be combined; omit one of them"
            )
    name = options.reference or settings.model or STARTER
    unopened = TaskContext(
        _UninstalledModel(name=name),
        settings=settings,
        folders=folders,
        cancellation=Cancellation(),
    )
    if not needs_model:
        return unopened, prepare(unopened)
    loading = loading or start_loading(console, folders, settings, options, warm_up=warm_up)
    if not isinstance(loading, LocalModel) or loading.is_default:
        with contextlib.suppress(_NeedsEngine):
            check(prepare(unopened))
    context = open_context(
        console, folders, settings, options, *writes, loading=loading, warm_up=warm_up
    )
    if workers is not None:
        _set_recipe(workers, context, options, prepare)
    return context, prepare(context)


def _set_recipe(
    workers: RayBatch,
    context: TaskContext,
    options: ModelOptions,
    prepare: Callable[[TaskContext], Any],
) -> None:
    """Tell the workers of a batch which model to open and which task to prepare."""
    from llmtool.machine import default_threads
    from llmtool.ray.worker import Recipe
    from llmtool.remote_model import RemoteModel

    model, resources = context.model, options.resources
    arguments = model_arguments(resources)
    n_parallel = resources.parallel or 4
    if isinstance(model, LocalModel):
        arguments["file"] = model.file
        # The CPUs of this machine are for all workers; those of a node of a cluster, for one.
        if workers.address == "local":
            share = max(1, default_threads() // (workers.n_workers or 1))
            arguments["n_threads"] = resources.threads or context.settings.threads or share
        workers.n_threads = arguments["n_threads"] or 1
        workers.n_gpus = int(resources.n_gpu_layers not in (None, 0, "0"))
    elif isinstance(model, RemoteModel):
        n_parallel = resources.parallel or model.endpoint.concurrency
    workers.group_size = 16 if resources.reproducible else 4 * n_parallel
    workers.recipe = Recipe(
        model={
            "reference": options.reference,
            "base_url": options.base_url,
            "settings": context.settings,
            **arguments,
        },
        prepare=prepare,
        format_option=format_flag,
        cached=not resources.no_cache,
    )


# The options that a batch file can have.
_JOB_OPTIONS = ("no_cache", "lora")


def _open_job(
    console: Console,
    job: JobWriter | JobReader,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
) -> TaskContext:
    """Return a context whose model is that of a batch file.

    Raises:
        UsageError: an option is for a model of this machine.
    """
    from llmtool.batch_jobs import JobReader

    given = {**changed_options(options.resources), "server": options.server}
    for name, value in given.items():
        if value is not None and name not in _JOB_OPTIONS:
            raise UsageError(
                f"{option(name)} is for a model on this machine; omit it in a batch file, or pass "
                "it to `batch run`"
            )
    if isinstance(job, JobReader):
        model, n_invalid = job.open_model()
        if n_invalid:
            console.note(f"{format_count(n_invalid, 'line')} of the results cannot be read")
    else:
        model = job.open_model(
            options.reference,
            base_url=options.base_url,
            settings=settings,
            environ=os.environ,
            folder=folders.config,
        )
    cancellation = signals.install(console.interrupts)
    return TaskContext(
        model, settings=settings, folders=folders, cancellation=cancellation, cached=False
    )


def open_context(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
    *writes: str | None,
    loading: AnyModel | None = None,
    warm_up: bool = True,
) -> TaskContext:
    """Open the chosen model with `open_model`, and return a task context for it."""
    model = open_model(
        console, folders, settings, options, *writes, loading=loading, warm_up=warm_up
    )
    return make_context(model, cached=not options.resources.no_cache)


def make_context(model: AnyModel, *, cached: bool = True) -> TaskContext:
    """Return a task context for a model that `open_model` returned."""
    return TaskContext(
        model,
        settings=model.settings,
        folders=model.folders,
        cancellation=model.cancellation,
        cached=cached,
    )


def open_model(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
    *writes: str | None,
    loading: AnyModel | None = None,
    warm_up: bool = True,
) -> AnyModel:
    """Return the chosen model, downloaded if needed and loading in the background.

    Signals cancel it.

    Args:
        writes: output files of the command.
        loading: the result of `start_loading`.
        warm_up: start loading now; otherwise the first use loads the model.

    Raises:
        UsageError: an output file is one of the model's files.
        LlmtoolError: the model cannot be found or downloaded.
    """
    if loading is None:
        model = _find_model(console, folders, settings, options)
    else:
        model = loading
        signals.install(console.interrupts, model.cancellation)
    if not isinstance(model, LocalModel):
        return model
    for path in filter(None, writes):
        check_not_read(path, map(str, model.file.parts))
    if model.is_default:
        console.note(
            "no model chosen; using the starter model, which is small and weak "
            "(choose another with -m or `llmtool config set model`)"
        )
    if warm_up:
        model.warm_up()
    return model


def _find_model(
    console: Console, folders: config.Folders, settings: config.Settings, options: ModelOptions
) -> AnyModel:
    """Let the user choose a model if none is set, and download it if needed."""
    from llmtool.cli import first_run

    reference, chosen = options.reference, None
    is_unknown = reference is None and settings.model is None and options.base_url is None
    if is_unknown and console.can_ask:
        reference = chosen = first_run.ask(console, settings)
    with DownloadProgress(console, reference or settings.model or "starter") as progress:
        model = make_model(console, folders, settings, options, reference, progress)
        signals.install(console.interrupts, model.cancellation)
        if isinstance(model, LocalModel):
            _ = model.file  # downloads it
    if chosen is not None:
        first_run.save_choice(console, folders, chosen)
    return model


def make_model(
    console: Console,
    folders: config.Folders,
    settings: config.Settings,
    options: ModelOptions,
    reference: str | None,
    progress: DownloadProgress | None = None,
) -> AnyModel:
    """Return the model of a reference, which is neither downloaded nor loaded."""
    resources = options.resources
    if resources.reproducible and (resources.parallel or 1) > 1:
        raise UsageError("--parallel and --reproducible cannot be combined; use one of them")
    status = ModelStatus(console, lambda: model.progress)
    model: AnyModel = choose_model(
        reference,
        base_url=options.base_url,
        settings=settings,
        folders=folders,
        environ=os.environ,
        server=_choose_server(settings, options),
        cancellation=Cancellation(),
        on_fault=lambda: signals.end_by_fault(console, model.name),
        on_load_progress=status.on_load,
        on_download_progress=progress or no_progress,
        on_note=progress.note if progress else no_note,
        on_warning=console.note,
        on_remote_note=console.note,
        **model_arguments(resources),
    )
    if not isinstance(model, LocalModel) and options.server not in (None, "never"):
        raise UsageError(
            f"--server {options.server} and a model on the server {model.endpoint.name} cannot be "
            "combined; omit one of them"
        )
    console.resources.callback(model.close)
    console.resources.enter_context(console.live_status(status))
    return model


def model_arguments(options: ResourceOptions) -> dict[str, Any]:
    """Return the arguments of `choose_model` and `Toolbox` that options set."""
    return {
        "n_ctx": options.ctx_size,
        "n_threads": options.threads,
        "n_gpu_layers": options.n_gpu_layers,
        "n_parallel": options.parallel,
        "reproducible": options.reproducible,
        "kv_type": options.kv_type,
        "draft": options.draft,
        "prefix_cache": not options.no_cache,
        "chat_template": options.chat_template,
        "template_args": parse_template_args(options.template_args),
        "lora": options.lora or None,
    }


def changed_options(options: msgspec.Struct) -> dict[str, Any]:
    """Return the options of a group that are not the defaults."""
    defaults = type(options)()
    return {
        name: getattr(options, name)
        for name in options.__struct_fields__
        if getattr(options, name) != getattr(defaults, name)
    }


def _choose_server(settings: config.Settings, options: ModelOptions) -> str:
    """Return `auto`, `never` or the path of a socket; servers are not used in CI by default."""
    is_ci = os.environ.get("CI", "").lower() in ("1", "true")
    return options.server or settings.server or ("never" if is_ci else "auto")


def parse_template_args(pairs: list[str] | None) -> dict[str, object]:
    """Return the variables of `--template-arg KEY=VALUE`."""
    if not pairs:
        return {}
    from llmtool.engine.chat_template_options import parse_arguments

    return parse_arguments(pairs)
