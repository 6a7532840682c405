"""Find the installed model for a reference."""

from __future__ import annotations

import os
from pathlib import Path

from llmtool.encoding import escape_name
from llmtool.errors import ModelNotFound, ModelUnreadable, os_error_reason
from llmtool.models import quants, registry
from llmtool.models.hub import cache
from llmtool.models.installed import (
    Model,
    describe_cached,
    describe_downloaded,
    describe_imported,
    describe_starter,
    list_models,
)
from llmtool.models.layout import Layout
from llmtool.models.reference import Reference
from llmtool.suggest import suggest


def find_model(
    reference: Reference,
    layout: Layout,
    known: registry.Registry,
    *,
    check_sizes: bool,
    offline: bool,
) -> Model:
    """Search files, downloaded and imported models, and the Hub's cache.

    Args:
        check_sizes: whether to compare file sizes with the registry.
        offline: whether the error for a missing model mentions `--offline`.

    Raises:
        ModelNotFound: the model is not installed; the message includes the download command.
        ModelUnreadable: the size of a file changed.
    """
    if reference.kind == "starter":
        return describe_starter()
    if reference.path is not None:
        return _find_path(reference.path, reference, layout, known, check_sizes)
    model = _find_registered(reference, layout, known, check_sizes)
    model = model or _find_cached(reference, layout)
    if model is None:
        raise ModelNotFound(_describe_missing(reference, list_models(layout, known), offline))
    return model


def _find_path(
    path: Path,
    reference: Reference,
    layout: Layout,
    known: registry.Registry,
    check_sizes: bool,
) -> Model:
    for record in known.models:
        if record.source == "imported" and path == layout.imported_folder / record.files[0].path:
            model = describe_imported(layout, record)
            if check_sizes:
                remedy = f"run `llmtool models rm {record.name}` and import it again"
                _check_sizes(record, model.parts, remedy)
            return model
    if os.path.isdir(path):
        path = _choose_in_folder(path, reference)
    path = _match_case(path)
    parts = quants.list_parts(path)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        hint = suggest(path.name, (p.name for p in path.parent.glob("*.gguf")))
        raise ModelNotFound(f"{path}: no such file{hint}") from exc
    except OSError as exc:
        raise ModelUnreadable(f"cannot read {path}: {os_error_reason(exc)}") from exc
    size = sum(part.stat().st_size for part in parts if os.path.exists(part))
    return Model(
        name=escape_name(path.name), path=parts[0], parts=parts, size_bytes=size, source="path",
        quant=quants.find_label(path.name),
    )  # fmt: skip


def _match_case(path: Path) -> Path:
    """Return the path, or if it does not exist, the only one beside it that differs in case."""
    if os.path.lexists(path):
        return path
    found = [p for p in path.parent.glob("*") if p.name.lower() == path.name.lower()]
    return found[0] if len(found) == 1 else path


def _choose_in_folder(folder: Path, reference: Reference) -> Path:
    """Return the model in a folder or its subfolders, or the folder itself if there are none."""
    sizes: dict[str, int | None] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.suffix.lower() == ".gguf" and os.path.isfile(path):
            sizes[path.relative_to(folder).as_posix()] = os.path.getsize(path)
    try:
        return folder / quants.choose(sizes, reference.quant, reference.file).file
    except quants.ChoiceError as exc:
        if exc.reason == "no-gguf":
            return folder
        raise quants.ChoiceError(f"{folder}: {exc}", reason=exc.reason) from exc


def _find_registered(
    reference: Reference, layout: Layout, known: registry.Registry, check_sizes: bool
) -> Model | None:
    record = known.find(reference)
    if record is None or record.commit is None:
        return None
    model = describe_downloaded(layout, record, reference.revision)
    if not all(part.exists() for part in model.parts):
        return None
    if check_sizes:
        _check_sizes(record, model.parts, f"run `llmtool models pull {reference}`")
    return model


def _find_cached(reference: Reference, layout: Layout) -> Model | None:
    repo = reference.repo or ""
    folder = cache.repo_folder(layout.hub_cache, repo)
    commit = cache.find_commit(folder, reference.revision)
    if commit is None:
        return None
    files = cache.list_files(folder, commit)
    try:
        choice = quants.choose(files, reference.quant, reference.file)
    except quants.ChoiceError as exc:
        if exc.reason == "ambiguous" and not reference.file:
            raise ModelNotFound(f"{reference} (cached): {exc}") from exc
        return None
    return describe_cached(layout, repo, commit, reference.revision, choice)


def _describe_missing(reference: Reference, models: list[Model], offline: bool) -> str:
    message = f"{reference} is not installed"
    hint = ""
    if same_repo := [m.name for m in models if m.repo == reference.repo]:
        message += f" (installed: {', '.join(same_repo[:5])})"
    else:
        hint = suggest(reference.repo or "", {m.repo for m in models if m.repo}, cutoff=0.75)
    without = " without --offline" if offline else ""
    return f"{message}; download it with `llmtool models pull {reference}`{without}{hint}"


def _check_sizes(record: registry.Record, parts: tuple[Path, ...], remedy: str) -> None:
    for file, part in zip(record.files, parts, strict=True):
        try:
            size = part.stat().st_size
        except OSError as exc:
            raise ModelNotFound(f"{part} not found; {remedy}") from exc
        if size != file.size_bytes:
            raise ModelUnreadable(
                f"{part} is damaged: {size} bytes, expected {file.size_bytes}; {remedy}"
            )
