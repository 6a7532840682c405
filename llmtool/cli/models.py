"""`llmtool models`: the models there are, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtool.cli import options as o

if TYPE_CHECKING:
    from llmtool.models.header import Header
    from llmtool.models.store import Model

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="List models and look into them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_HELP = {"help_option_names": ["-h", "--help"]}
ReferenceArgument = Annotated[
    str, typer.Argument(metavar="REF", help="starter, FILE.gguf, org/name[:QUANT], an alias.")
]


@app.command(
    "ls", context_settings=_HELP, epilog="Example: llmtool models ls --json | jq '.[].name'"
)
def ls(
    json: o.JsonOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """List the models that are here: the starter model, the Hub's cache, imported files."""
    from llmtool.cli import output, session
    from llmtool.models.store import Store

    folders, settings = session.start(color=color.value, quiet=quiet)
    models = Store(folders, settings.aliases, offline=True).list()
    if json:
        output.write_json([to_dict(model) for model in models])
        return
    output.table(
        ["name", "quant", "size", "source", "path"],
        [
            (m.name, m.quant or "-", output.format_bytes(m.size_bytes), m.source, str(m.path))
            for m in models
        ],
        right=["size"],
    )
    if not models:
        output.note("no models here (`pip install 'llmtool[starter]'` brings a small one)")


@app.command("info", context_settings=_HELP, epilog="Example: llmtool models info starter")
def info(
    model: ReferenceArgument,
    json: o.JsonOption = False,
    ctx_size: o.CtxSizeOption = None,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Say what a model is: architecture, size, context, template, and whether it fits in memory."""
    from llmtool.cli import output, session
    from llmtool.engine.machine import memory_bytes
    from llmtool.models import gguf, memory
    from llmtool.models.store import Store

    folders, settings = session.start(color=color.value, quiet=quiet)
    found = Store(folders, settings.aliases, offline=settings.offline).find(model)
    header = gguf.check(found.path)
    n_ctx = ctx_size or min(header.context_length or 4096, 4096)
    need = memory.estimate(header, n_ctx=n_ctx)
    _, available = memory_bytes()
    facts = {
        **to_dict(found),
        "architecture": header.architecture,
        "title": header.name,
        "parameters": header.n_params,
        "quant": found.quant or header.quant,
        "context_length": header.context_length,
        "layers": header.block_count,
        "vocabulary": header.n_vocab,
        "licence": header.licence,
        "special_tokens": header.special_tokens,
        "chat_template": header.chat_template,
        "memory_bytes": {
            "n_ctx": n_ctx,
            "weights": need.weights,
            "kv": need.kv,
            "compute": need.compute,
            "total": need.total,
            "available": available,
        },
        "fits": None if available is None else need.total <= available,
    }
    if json:
        output.write_json(facts)
    else:
        output.fields(_describe(facts, found, header))


def to_dict(model: Model) -> dict[str, Any]:
    """Return a model as `models ls --json` prints it."""
    import msgspec

    value = msgspec.structs.asdict(model)
    return {**value, "path": str(model.path), "parts": [str(part) for part in model.parts]}


def _describe(facts: dict[str, Any], found: Model, header: Header) -> list[tuple[str, str]]:
    from llmtool.cli.output import format_bytes

    need = facts["memory_bytes"]
    fits = {None: "unknown", True: "fits", False: "does not fit"}[facts["fits"]]
    available = "" if need["available"] is None else f" of {format_bytes(need['available'])} free"
    template = header.chat_template
    return [
        ("name", found.name),
        ("title", header.name or "-"),
        ("path", str(found.path)),
        ("size", format_bytes(found.size_bytes)),
        ("architecture", header.architecture),
        ("parameters", f"{header.n_params / 1e6:,.0f} million"),
        ("quant", facts["quant"] or "-"),
        ("context", f"{header.context_length or 0:,} tokens"),
        ("layers", str(header.block_count or "-")),
        ("vocabulary", f"{header.n_vocab or 0:,} tokens"),
        ("special tokens", ", ".join(f"{k} {v}" for k, v in header.special_tokens.items()) or "-"),
        ("chat template", f"{len(template):,} characters" if template else "none (a base model)"),
        ("licence", header.licence or "-"),
        (
            "memory",
            f"{format_bytes(need['total'])}{available}, {fits}: weights "
            f"{format_bytes(need['weights'])}, KV {format_bytes(need['kv'])} for "
            f"{need['n_ctx']:,} tokens, compute {format_bytes(need['compute'])}",
        ),
    ]
