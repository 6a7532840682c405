"""`llmtool models`: list, inspect, download and remove models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.render import tables
from llmtool.cli.terminal import signals
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.progress import DownloadProgress
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.models.cleanup import Removal
    from llmtool.models.hub.callbacks import Callbacks
    from llmtool.models.store import Store

app = App(
    "List, inspect, download and remove models.",
    epilog="Example: llmtool models recommend",
)
_REF = (
    "Model: a name from `models recommend`, org/name[:QUANT|:FILE][@REV], FILE.gguf, an alias or "
    "starter."
)
Ref = Annotated[str, typer.Argument(metavar="REF", help=_REF)]
OptionalRef = Annotated[str | None, typer.Argument(metavar="[REF]", help=_REF)]


def _open(console: Console, general: g.GeneralOptions, *, offline: bool = False) -> Store:
    from llmtool.cli import bootstrap
    from llmtool.engine.openai.endpoint import OPENAI
    from llmtool.models.store import Store

    folders, settings = bootstrap.start(console, general, g.ModelOptions(offline=offline))
    return Store(
        folders,
        settings.aliases,
        offline=settings.offline,
        endpoint=os.environ.get("HF_ENDPOINT"),
        servers=[*settings.endpoints, OPENAI],
    )


def _callbacks(console: Console, progress: DownloadProgress) -> Callbacks:
    """Return callbacks that show progress; signals cancel the operation."""
    from llmtool.models.hub.callbacks import Callbacks

    cancellation = signals.install(console.interrupts)
    return Callbacks(
        on_progress=progress, on_note=progress.note, cancelled=lambda: cancellation.cancelled
    )


@app.add("ls", epilog="Example: llmtool models ls | cut -f1")
def ls(
    console: Console,
    server: Annotated[
        str | None,
        typer.Argument(metavar="[ENDPOINT:|URL]", help="List the models of this server instead."),
    ] = None,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """List installed models: the starter, the Hub cache and imported files."""
    from llmtool.cli.commands.models import render

    if server is not None:
        _list_served(console, server, as_json=json, general=general)
        return
    models = _open(console, general).list()
    if json:
        console.stdout.write_json([render.to_dict(model) for model in models])
        return
    tables.table(
        console,
        ["name", "quant", "size", "source", "path"],
        [
            (m.name, m.quant or "-", format_bytes(m.size_bytes), m.source, str(m.path))
            for m in models
        ],
        right=["size"],
    )
    if not models:
        console.note("no models; `llmtool models recommend` lists some that fit this machine")


def _list_served(
    console: Console, server: str, *, as_json: bool, general: g.GeneralOptions
) -> None:
    from llmtool.cli import bootstrap
    from llmtool.errors import UsageError
    from llmtool.remote_model import RemoteModel

    folders, settings = bootstrap.start(console, general)
    is_url = "://" in server
    options = g.ModelOptions(base_url=server if is_url else None)
    name = None if is_url else server if ":" in server else f"{server}:"
    model = bootstrap.make_model(console, folders, settings, options, name)
    if not isinstance(model, RemoteModel):
        names = ", ".join([*settings.endpoints, "openai"])
        raise UsageError(
            f"{server!r}: not an endpoint of config.toml; endpoints: {names}; add one with "
            f"`llmtool config set endpoints.{server.partition(':')[0]}.base_url URL`"
        )
    signals.install(console.interrupts, model.cancellation)
    found = [
        {
            "name": f"{model.endpoint.name}:{each.name}" if not is_url else each.name,
            "n_ctx": each.n_ctx,
            "n_params": each.n_params or None,
        }
        for each in model.find_server().models or ()
    ]
    if as_json:
        console.stdout.write_json(found)
        return
    rows = [[str(value or "-") for value in each.values()] for each in found]
    tables.table(console, ["name", "context", "parameters"], rows, right=["context", "parameters"])
    if not found:
        console.note(f"{model.endpoint.name} lists no models")


@app.add("info", epilog="Example: llmtool models info starter")
def info(
    console: Console,
    *,
    model: Ref,
    ctx_size: g.CtxSize = None,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Show a model's architecture, size, context length, chat template and memory use."""
    from llmtool.cli.commands.models import render
    from llmtool.models.gguf import check

    found = _open(console, general).find(model)
    facts = render.facts(found, check.check(found.path), ctx_size)
    if json:
        console.stdout.write_json(facts)
    else:
        tables.fields(console, render.describe(facts))


@app.add(
    "pull",
    epilog="Example: llmtool models pull unsloth/Qwen3.5-2B-GGUF:Q4_K_M",
)
def pull(
    console: Console,
    *,
    model: Ref,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be downloaded, then exit.")
    ] = False,
    json: g.Json = False,
    offline: g.Offline = False,
    general: g.GeneralOptions,
) -> None:
    """Download a model from the Hugging Face Hub.

    Interrupted downloads are resumed. Files are verified and saved in the Hub cache.
    """
    from llmtool.cli.commands.models import render

    store = _open(console, general, offline=offline)
    reference = store.resolve(model)
    if reference.kind == "hub":
        progress = DownloadProgress(console, model)
        callbacks = _callbacks(console, progress)
        plan = store.plan(reference, callbacks)
        if dry_run:
            if json:
                console.stdout.write_json(render.plan_to_dict(plan))
            else:
                tables.fields(console, render.describe_plan(plan))
            return
        render.warn_of_memory(console, plan)
        with progress:
            found = store.download(plan, callbacks)
    else:
        found = store.find(reference)
        console.note(f"{model} is a local model; nothing to download")
    if json:
        console.stdout.write_json(render.to_dict(found))
    else:
        console.stdout.write(f"{found.path}\n")


@app.add("rm", epilog="Example: llmtool models rm big --dry-run")
def rm(
    console: Console,
    *,
    model: Ref,
    dry_run: g.DryRemoval = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Remove a model's files, in all revisions unless @REV selects one."""
    removed = _open(console, general).remove(model, dry_run=dry_run)
    _show_removals(console, removed, dry_run=dry_run, as_json=json)


@app.add("prune", epilog="Example: llmtool models prune --dry-run")
def prune(
    console: Console,
    *,
    dry_run: g.DryRemoval = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Remove partial downloads, unused blobs and dangling links."""
    removed = _open(console, general).prune(dry_run=dry_run)
    _show_removals(console, removed, dry_run=dry_run, as_json=json)


def _show_removals(
    console: Console, removed: list[Removal], *, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        console.stdout.write_json(
            [{"path": str(r.path), "size_bytes": r.size_bytes, "reason": r.reason} for r in removed]
        )
        return
    tables.table(
        console,
        ["size", "path", "reason"],
        [(format_bytes(r.size_bytes), str(r.path), r.reason) for r in removed],
        right=["size"],
    )
    if not removed:
        console.note("nothing to remove")
        return
    total = format_bytes(sum(r.size_bytes for r in removed))
    console.note(f"{'would free' if dry_run else 'freed'} {total}")


@app.add("verify", epilog="Example: llmtool models verify")
def verify(
    console: Console,
    *,
    model: OptionalRef = None,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Verify the file hashes of one model or all; exit 16 on a mismatch."""
    from llmtool.errors import DownloadError

    store = _open(console, general)
    words = {True: "ok", False: "damaged", None: "unknown"}
    with DownloadProgress(console, model or "all models", verb="verifying") as progress:
        results = list(store.verify(model, _callbacks(console, progress)))
    if json:
        console.stdout.write_json(
            [
                {"name": r.name, "path": str(r.path), "valid": r.is_valid, "reason": r.reason}
                for r in results
            ]
        )
    else:
        tables.table(
            console,
            ["result", "name", "reason", "path"],
            [(words[r.is_valid], r.name, r.reason, str(r.path)) for r in results],
        )
    bad = [r for r in results if r.is_valid is False]
    if bad:
        reason = bad[0].reason.removeprefix(f"{bad[0].path}: ")
        raise DownloadError(
            f"{len(bad)} of {len(results)} files are damaged; first: {bad[0].path}: {reason}"
        )


@app.add("import", epilog="Example: llmtool models import big.gguf --name big")
def import_file(
    console: Console,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE.gguf", help="Model file to import.")],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Model name.", show_default="the file name without .gguf"
        ),
    ] = None,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Copy a model file into the data folder."""
    from llmtool.cli.commands.models import render

    store = _open(console, general)
    with DownloadProgress(console, file, verb="copying") as progress:
        found = store.import_file(Path(file), _callbacks(console, progress), name=name)
    if json:
        console.stdout.write_json(render.to_dict(found))
    else:
        console.stdout.write(f"{found.name}\n")


@app.add("alias", epilog="Example: llmtool models alias small org/name:Q4_K_M")
def alias(
    console: Console,
    *,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of the alias.")] = None,
    model: OptionalRef = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias.")] = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Set or remove a model alias; without arguments, list aliases."""
    from llmtool.errors import UsageError

    store = _open(console, general)
    if name is not None:
        if remove == (model is not None):
            raise UsageError(f"alias {name!r}: pass either REF or --remove")
        store.set_alias(name, model)
        path = None if model is None else store.resolve(name).path
        if path is not None and not path.exists():
            console.note(f"saved, but {path}: no such file")
        return
    if remove:
        raise UsageError("--remove needs the name of an alias; add NAME")
    aliases = store.aliases()
    if json:
        console.stdout.write_json(aliases)
    else:
        tables.table(console, ["alias", "model"], sorted(aliases.items()))
    if not aliases:
        console.note("no aliases; `llmtool models alias NAME REF` sets one")


@app.add("recommend", epilog="Example: llmtool models recommend")
def recommend(
    console: Console,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Recommend models that fit this machine, best first; those below 8 tok/s come last.

    The speed is estimated from the memory bandwidth of the CPU or GPU, and the size of the weights
    that each token reads. `llmtool bench` measures it.
    """
    from llmtool.cli import bootstrap
    from llmtool.doctor import recommend_models

    bootstrap.start(console, general)
    choices = recommend_models()
    if json:
        console.stdout.write_json(
            [
                {
                    "name": c.entry.name,
                    "repo": c.entry.repo,
                    "size_bytes": c.entry.size_bytes,
                    "runs_on": c.runs_on,
                    "tokens_per_second": c.tokens_per_second,
                    "licence": c.entry.licence,
                    "reason": c.reason,
                }
                for c in choices
            ]
        )
        return
    tables.table(
        console,
        ["name", "runs on", "expected tok/s", "reason"],
        [(c.entry.name, c.runs_on, str(c.tokens_per_second), c.reason) for c in choices],
    )
    if choices:
        console.note(f"download one with `llmtool models pull {choices[0].entry.name}`")
    else:
        console.note("no model of the catalogue fits this machine; use the starter model")
