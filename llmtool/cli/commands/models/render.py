"""Format models and download plans, for terminals and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.cli.terminal.console import Console
from llmtool.machine import memory_bytes
from llmtool.models.gguf import memory
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.models.download import DownloadPlan
    from llmtool.models.gguf.header import Header
    from llmtool.models.installed import Model

_SHOWN_CTX = 4096


def to_dict(model: Model) -> dict[str, Any]:
    """Return a model for `models ls --json`."""
    value = msgspec.structs.asdict(model)
    return {**value, "path": str(model.path), "parts": [str(part) for part in model.parts]}


def facts(found: Model, header: Header, n_ctx: int | None) -> dict[str, Any]:
    """Return the facts for `models info --json`."""
    n_ctx = n_ctx or min(header.integer("context_length") or _SHOWN_CTX, _SHOWN_CTX)
    need = memory.estimate(header, n_ctx=n_ctx, weights_bytes=found.size_bytes)
    _, available = memory_bytes()
    return {
        **to_dict(found),
        "architecture": header.architecture,
        "title": header.text("general.name"),
        "n_params": header.n_params,
        "quant": found.quant or header.quant,
        "context_length": header.integer("context_length"),
        "n_layers": header.block_count,
        "n_vocab": header.n_vocab,
        "licence": header.text("general.license"),
        "special_tokens": header.special_tokens,
        "chat_template": header.text("tokenizer.chat_template"),
        "memory_bytes": {
            "n_ctx": n_ctx,
            "weights": need.weights,
            "kv": need.kv + need.state,
            "compute": need.compute,
            "total": need.total,
            "available": available,
        },
        "fits": None if available is None else need.total <= available,
    }


def describe(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts as (name, value) rows for a terminal."""
    need = facts["memory_bytes"]
    fits = {None: "unknown", True: "fits", False: "does not fit"}[facts["fits"]]
    available = "" if need["available"] is None else f" of {format_bytes(need['available'])} free"
    template = facts["chat_template"]
    return [
        ("name", facts["name"]),
        ("title", facts["title"] or "-"),
        ("path", facts["path"]),
        ("size", format_bytes(facts["size_bytes"])),
        ("architecture", facts["architecture"]),
        ("parameters", f"{facts['n_params'] / 1e6:,.0f} million"),
        ("quant", facts["quant"] or "-"),
        ("context", f"{facts['context_length'] or 0:,} tokens"),
        ("layers", str(facts["n_layers"] or "-")),
        ("vocabulary", f"{facts['n_vocab'] or 0:,} tokens"),
        (
            "special tokens",
            ", ".join(f"{k} {v}" for k, v in facts["special_tokens"].items()) or "-",
        ),
        ("chat template", f"{len(template):,} characters" if template else "none (a base model)"),
        ("licence", facts["licence"] or "-"),
        (
            "memory",
            f"{format_bytes(need['total'])}{available}, {fits}: weights "
            f"{format_bytes(need['weights'])}, KV {format_bytes(need['kv'])} for "
            f"{need['n_ctx']:,} tokens, compute {format_bytes(need['compute'])}",
        ),
    ]


def plan_to_dict(plan: DownloadPlan) -> dict[str, Any]:
    """Return a plan for `models pull --dry-run --json`."""
    _, available = memory_bytes()
    return {
        "name": plan.name,
        "repo": plan.repo,
        "commit": plan.commit,
        "quant": plan.quant,
        "files": [msgspec.structs.asdict(file) for file in plan.files],
        "size_bytes": plan.size_bytes,
        "missing_bytes": plan.missing_bytes,
        "free_bytes": plan.free_bytes,
        "fits_disk": plan.fits_disk,
        "memory_bytes": plan.memory_bytes,
        "fits_memory": None if available is None else plan.memory_bytes <= available,
    }


def describe_plan(plan: DownloadPlan) -> list[tuple[str, str]]:
    """Return the plan as (name, value) rows for a terminal."""
    _, available = memory_bytes()
    disk = "fits" if plan.fits_disk else "does not fit"
    lines = [
        ("model", plan.name),
        ("commit", plan.commit),
        ("quant", plan.quant or "-"),
    ]
    for file in plan.files:
        cached = f", {format_bytes(file.cached_bytes)} cached" if file.cached_bytes else ""
        lines.append(("file", f"{file.path} ({format_bytes(file.size_bytes)}{cached})"))
    lines += [
        ("download", format_bytes(plan.missing_bytes)),
        ("disk", f"{format_bytes(plan.free_bytes)} free, {disk}"),
        ("memory", f"about {format_bytes(plan.memory_bytes)}{_memory_fit(plan, available)}"),
    ]
    return lines


def warn_of_memory(console: Console, plan: DownloadPlan) -> None:
    """Warn if a model needs more memory than is free."""
    _, available = memory_bytes()
    if available is not None and plan.memory_bytes > available:
        console.note(
            f"{plan.name} needs about {format_bytes(plan.memory_bytes)} of memory, "
            f"but {format_bytes(available)} are free"
        )


def _memory_fit(plan: DownloadPlan, available: int | None) -> str:
    if available is None:
        return ""
    fits = "fits" if plan.memory_bytes <= available else "does not fit"
    return f" of {format_bytes(available)} free, {fits}"
