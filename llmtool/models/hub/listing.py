"""Decode and validate the Hub's listing of a repository."""

from __future__ import annotations

import msgspec

from llmtool.errors import DownloadError
from llmtool.models.hub import cache
from llmtool.models.hub.errors import not_a_hub


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository. `digest` is its SHA-256, or the SHA-1 of its Git blob."""

    path: str
    size_bytes: int
    digest: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A repository at a commit; `repo` is its current name."""

    repo: str
    commit: str
    files: dict[str, RemoteFile]


class _Lfs(msgspec.Struct):
    sha256: str
    size: int


class _Sibling(msgspec.Struct, rename="camel"):
    rfilename: str
    size: int | None = None
    blob_id: str | None = None
    lfs: _Lfs | None = None


class _Info(msgspec.Struct):
    id: str
    sha: str
    siblings: list[_Sibling] = []


class _Ref(msgspec.Struct):
    name: str


class _Refs(msgspec.Struct):
    branches: list[_Ref] = []
    tags: list[_Ref] = []


def read_listing(body: bytes, repo: str, endpoint: str) -> Listing:
    """Decode a response of `/api/models/{repo}?blobs=true`.

    Raises:
        DownloadError: the response is not a listing, or a file has an unsafe name.
    """
    try:
        info = msgspec.json.decode(body, type=_Info)
    except msgspec.DecodeError as exc:
        raise not_a_hub(endpoint) from exc
    if not cache.COMMIT.fullmatch(info.sha) or cache.CONTROL.search(info.id):
        raise not_a_hub(endpoint)
    files = {}
    for sibling in info.siblings:
        _check_file_name(repo, sibling.rfilename)
        files[sibling.rfilename] = RemoteFile(
            path=sibling.rfilename,
            size_bytes=(sibling.lfs.size if sibling.lfs else sibling.size) or 0,
            digest=(sibling.lfs.sha256 if sibling.lfs else sibling.blob_id) or "",
        )
    return Listing(repo=info.id, commit=info.sha, files=files)


def read_refs(body: bytes) -> list[str]:
    """Decode a response of `/api/models/{repo}/refs`; return branches, then tags."""
    refs = msgspec.json.decode(body, type=_Refs)
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return [name for name in names if not cache.CONTROL.search(name)]


def _check_file_name(repo: str, name: str) -> None:
    parts = name.split("/")
    is_odd = "\\" in name or not name.isprintable() or not all(part.strip(".") for part in parts)
    if cache.CONTROL.search(name) or (is_odd and (name.lower().endswith(".gguf") or ".." in parts)):
        raise DownloadError(
            f"{repo} lists a file with the unsafe name {name!r}; nothing was downloaded"
        )
