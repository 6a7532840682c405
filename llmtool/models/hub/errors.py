"""What it means, in words, when the Hub or its storage refuses a request."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from llmtool.errors import DownloadError, ModelNotFound
from llmtool.models.hub.source import Interrupted
from llmtool.models.hub.urls import find_host, find_origin
from llmtool.suggest import name_nearest


def no_names() -> Collection[str]:
    return ()


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, of which endpoint, and what else there is.

    `files` are those of the listing; `list_refs` names the revisions of the repository and
    `list_repos` the repositories that are known here, each called only when it is needed.
    """

    endpoint: str
    repo: str
    file: str | None = None
    revision: str | None = None
    with_token: bool = False
    files: Collection[str] = ()
    list_refs: Callable[[], Collection[str]] = no_names
    list_repos: Callable[[], Collection[str]] = no_names


def explain(status: int, url: str, headers: Mapping[str, str], asked: Asked) -> Exception | None:
    """Return the error that an answer stands for, or None when it is none.

    Args:
        url: where the answer came from in the end, after redirects.
    """
    if status < 400:
        return None
    host, is_foreign = find_host(url), find_origin(url) != find_origin(asked.endpoint)
    if status == 429 or status == 408 or status >= 500:
        reason = "too many requests" if status == 429 else f"HTTP {status}"
        return Interrupted(
            f"{reason} from {host}",
            retry_after=find_retry_after(headers),
            is_server_error=status != 429,
        )
    if is_foreign and status in (401, 403, 404, 410):
        return Interrupted(f"{host} refused a signed URL (HTTP {status})")
    if is_foreign:
        return DownloadError(f"{asked.repo}: HTTP {status} from {host}; try again later")
    return _explain_refusal(status, headers, asked)


def _explain_refusal(status: int, headers: Mapping[str, str], asked: Asked) -> Exception:
    """Say what a 4xx of the Hub means, by the codes that huggingface_hub maps, too."""
    repo, host, page = asked.repo, find_host(asked.endpoint), f"{asked.endpoint}/{asked.repo}"
    code = headers.get("X-Error-Code", "")
    message = headers.get("X-Error-Message", "")
    if asked.with_token and status == 401 and message.startswith("Invalid"):
        return DownloadError(
            f"{host} rejected the token (HF_TOKEN or the saved token); make a new one or unset it"
        )
    if code == "GatedRepo" and not asked.with_token:
        return DownloadError(f"{repo} is gated: accept its licence at {page} and set HF_TOKEN")
    if code == "GatedRepo":
        return DownloadError(f"{repo} is gated, also for this token: ask for access at {page}")
    if code == "RevisionNotFound":
        names = list(asked.list_refs())
        there = f"; there are {', '.join(names[:10])}" if names else ""
        return ModelNotFound(f"{repo} has no revision {asked.revision!r}{there}")
    if code == "EntryNotFound":
        others = [name for name in asked.files if name != asked.file]
        near = name_nearest(asked.file or "", others)
        return ModelNotFound(f"{repo} has no file {asked.file}; {near or f'see {page}/tree/main'}")
    if code == "RepoNotFound" or status in (401, 404):
        hint = "check the token's rights" if asked.with_token else "a private one needs HF_TOKEN"
        others = [name for name in asked.list_repos() if name != repo]
        near = name_nearest(repo, others, cutoff=0.75)
        return ModelNotFound(f"{repo} is not on {host}, or private; {near and f'{near}; '}{hint}")
    if status == 403:
        return DownloadError(f"{repo}: not allowed (HTTP 403); check the token's rights")
    return DownloadError(f"{repo}: HTTP {status} from {host}; see {page}")


def no_hub(endpoint: str) -> DownloadError:
    """Return the error for an endpoint that answers with something else than the Hub does."""
    return DownloadError(
        f"{endpoint} is not a Hub endpoint: it answered with another page; "
        f"log in to the network, or check HF_ENDPOINT and the proxy"
    )


def find_retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        from email.utils import parsedate_to_datetime

        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    match = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(match[1]) if match else None
