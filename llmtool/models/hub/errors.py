"""Errors of requests to the Hub: map responses to exceptions that say what to do."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Mapping

from llmtool.errors import DownloadError, ModelNotFound
from llmtool.suggest import suggest
from llmtool.web.errors import TransientError
from llmtool.web.urls import find_host, find_origin, mask_url


class RangeNotSatisfiable(Exception):
    """The offset is beyond the end of the file, so the partial download belongs to another file."""


def error_for_response(
    status: int,
    url: str,
    headers: Mapping[str, str],
    *,
    endpoint: str,
    repo: str,
    file: str | None,
    revision: str | None,
    with_token: bool,
    files: Collection[str],
    list_refs: Callable[[], Collection[str]],
    list_repos: Callable[[], Collection[str]],
) -> Exception:
    """Return the exception for a response with a status of 400 or more.

    4xx statuses of the Hub are mapped by the error codes that huggingface_hub maps.

    Args:
        url: the URL of the response, after redirects.
        files: the listed files, to suggest one.
        list_refs: returns the revisions of the repository, to suggest them.
        list_repos: returns the repositories known on this machine, to suggest one.
    """
    host, is_foreign = find_host(url), find_origin(url) != find_origin(endpoint)
    if status == 511:  # a network that requires a login
        return not_a_hub(endpoint)
    if status == 429 or status == 408 or status >= 500:
        reason = "too many requests" if status == 429 else f"HTTP {status}"
        return TransientError(
            f"{reason} from {host}",
            retry_after=find_retry_after(headers),
            is_server_error=status != 429,
        )
    if is_foreign and status in (401, 403, 404, 410):
        return TransientError(f"{host} rejected a signed URL (HTTP {status})")
    if is_foreign:
        return DownloadError(f"{repo}: HTTP {status} from {host}; try again later")
    page = f"{mask_url(endpoint)}/{repo}"
    code = headers.get("X-Error-Code", "")
    message = headers.get("X-Error-Message", "")
    if with_token and status == 401 and message.startswith("Invalid"):
        return DownloadError(
            f"{host} rejected the token (HF_TOKEN or the saved token); replace it or unset it"
        )
    if code == "GatedRepo" and not with_token:
        return DownloadError(f"{repo} is gated; accept its licence at {page} and set HF_TOKEN")
    if code == "GatedRepo":
        return DownloadError(
            f"{repo} is gated and the token has no access; request access at {page}"
        )
    if code == "RevisionNotFound":
        names = list(list_refs())
        available = f"; available: {', '.join(names[:10])}" if names else ""
        return ModelNotFound(f"{repo}: revision {revision!r} not found{available}")
    if code == "EntryNotFound":
        others = [name for name in files if name != file]
        hint = suggest(file or "", others) or f"; see {page}/tree/main"
        return ModelNotFound(f"{repo}: file {file} not found{hint}")
    if code == "RepoNotFound" or status in (401, 404):
        hint = "check the token's permissions" if with_token else "if private, set HF_TOKEN"
        others = [name for name in list_repos() if name != repo]
        near = suggest(repo, others, cutoff=0.75)
        return ModelNotFound(f"{repo} not found on {host}; {hint}{near}")
    if status == 403:
        return DownloadError(f"{repo}: access denied (HTTP 403); check the token's permissions")
    return DownloadError(f"{repo}: HTTP {status} from {host}; see {page}")


def not_a_hub(endpoint: str) -> DownloadError:
    """Return the error for a response that does not follow the Hub's API."""
    return DownloadError(
        f"the response from {mask_url(endpoint)} is not that of a Hub; log in to the network, or "
        f"check HF_ENDPOINT and the proxy"
    )


def find_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, from the Retry-After or RateLimit header."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        from email.utils import parsedate_to_datetime

        with contextlib.suppress(ValueError, TypeError):
            # The clock of the server, if it tells: this one may be wrong.
            date = headers.get("Date")
            now = parsedate_to_datetime(date).timestamp() if date else time.time()
            return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    match = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(match[1]) if match else None
