"""Read the Hub cache, shared with llama.cpp and transformers, without importing huggingface_hub.

models--org--name/refs/<revision>            commit of a branch or tag
models--org--name/snapshots/<commit>/<file>  symbolic link into blobs/
models--org--name/blobs/<sha256>             file content
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # rejected in names
DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # blob name: SHA-256, or Git SHA-1


def repo_folder(hub_cache: Path, repo: str) -> Path:
    return hub_cache / f"models--{repo.replace('/', '--')}"


def find_commit(folder: Path, revision: str | None) -> str | None:
    """Return the cached commit of a revision (None: main), or None if it is not cached."""
    if revision and COMMIT.fullmatch(revision):
        return revision if (folder / "snapshots" / revision).is_dir() else None
    try:
        text = (folder / "refs" / (revision or "main")).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return text if COMMIT.fullmatch(text) else None


def list_files(folder: Path, commit: str) -> dict[str, int]:
    """Return the files of a snapshot with their sizes in bytes.

    Dangling links and names with control characters are omitted.
    """
    root = folder / "snapshots" / commit
    found: dict[str, int] = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            inside = os.path.relpath(path, root).replace(os.sep, "/")
            if CONTROL.search(inside):
                continue
            try:
                found[inside] = os.stat(path).st_size
            except OSError:
                continue
    return dict(sorted(found.items()))


def list_repos(hub_cache: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names and folders of the cached model repositories, sorted by name."""
    try:
        names = sorted(os.listdir(hub_cache))
    except OSError:
        return
    for name in names:
        kind, _, rest = name.partition("--")
        is_repo = kind == "models" and rest and not CONTROL.search(rest)
        if is_repo and (hub_cache / name).is_dir():
            yield rest.replace("--", "/", 1), hub_cache / name


def list_commits(folder: Path) -> dict[str, list[str]]:
    """Return the commits with a snapshot, each with the revisions that point to it."""
    try:
        found: dict[str, list[str]] = {
            name: []
            for name in sorted(os.listdir(folder / "snapshots"))
            if not CONTROL.search(name)
        }
    except OSError:
        return {}
    refs = folder / "refs"
    for directory, _, names in os.walk(refs):
        for name in sorted(names):
            revision = os.path.relpath(os.path.join(directory, name), refs).replace(os.sep, "/")
            commit = find_commit(folder, revision)
            if commit in found and not CONTROL.search(revision):
                found[commit].append(revision)
    return found
