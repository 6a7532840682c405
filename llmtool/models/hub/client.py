"""The Hub client: listings and file transfers. The only importer of huggingface_hub.

It uses the library's session, authentication and locks, but follows redirects itself: the token may
be sent only to the endpoint's origin (scheme, host and port).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, urljoin

from llmtool._version import __version__
from llmtool.errors import DownloadError, ModelNotFound, UsageError, os_error_reason
from llmtool.models.hub import cache, environment
from llmtool.models.hub.callbacks import Callbacks
from llmtool.models.hub.connection import Body
from llmtool.models.hub.errors import RangeNotSatisfiable, error_for_response, not_a_hub
from llmtool.models.hub.listing import Listing, RemoteFile, read_listing, read_refs
from llmtool.models.hub.retry import RetryPolicy, with_retries
from llmtool.web.client import make_timeout
from llmtool.web.environment import find_proxy
from llmtool.web.errors import TransientError, proxy_error, request_errors
from llmtool.web.urls import find_host, find_origin, is_web_url

if TYPE_CHECKING:
    from llmtool.web.client import Client, Response

T = TypeVar("T")
_MAX_REDIRECTS: Final = 10
_MAX_LISTING_BYTES: Final = 64 * 1024 * 1024
_READ_BYTES: Final = 2 * 1024 * 1024


def load_library() -> ModuleType:
    """Set the environment variables that huggingface_hub reads on import, and import its utils.

    Raises:
        UsageError: a variable has a value that the library cannot read.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in [name for name, value in os.environ.items() if not value and name[:3] == "HF_"]:
        del os.environ[name]  # the library takes "" as a folder, a number or a URL
    environment.check_for_import()
    with environment.setup_errors(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about variables that do nothing
        return importlib.import_module("huggingface_hub.utils")


class Hub:
    """A client of the configured endpoint (`HF_ENDPOINT`), with the user's token, if any."""

    def __init__(
        self,
        *,
        retry: RetryPolicy,
        callbacks: Callbacks,
        known_repos: Callable[[], Collection[str]],
    ) -> None:
        library = load_library()
        self.known_repos = known_repos
        self.retry, self.callbacks = retry, callbacks
        environment.check()
        self.endpoint: str = importlib.import_module("huggingface_hub.constants").ENDPOINT
        with environment.setup_errors():
            self.session: Client = library.get_session()
            self.headers: dict[str, str] = library.build_hf_headers(
                library_name="llmtool", library_version=__version__, token=False
            )
            self.token = _read_token(library)

    def list_repo(self, repo: str, revision: str | None = None) -> Listing:
        """Return the files of a repository with sizes and digests, in one request.

        Raises:
            ModelNotFound: the repository or revision does not exist, or is private.
            DownloadError: the endpoint is unreachable, or not a Hub.
        """
        url = f"{self.endpoint}/api/models/{repo}"
        if revision:
            url += f"/revision/{quote(revision, safe='')}"
        body = self._retry(repo, lambda: self._get_json(f"{url}?blobs=true", repo, revision))
        return read_listing(body, repo, self.endpoint)

    def complete(self, listing: Listing, file: RemoteFile) -> RemoteFile:
        """Return the file with its size and digest, requesting them if the listing has none.

        Raises:
            As `list_repo`.
        """
        if not cache.DIGEST.fullmatch(file.digest):
            found = self._retry(listing.repo, lambda: self._get_headers(listing, file.path))
            tag = found.get("X-Linked-Etag") or found.get("ETag") or ""
            size = found.get("X-Linked-Size") or found.get("Content-Length") or ""
            digest = tag.removeprefix("W/").strip('"').lower()
            if not cache.DIGEST.fullmatch(digest) or not size.isdigit():
                raise not_a_hub(self.endpoint)
            file = RemoteFile(path=file.path, size_bytes=int(size), digest=digest)
        return file

    @contextlib.contextmanager
    def open_file(self, listing: Listing, path: str, offset: int) -> Iterator[Body]:
        """Open a file of a repository at a byte offset, through a new signed URL.

        Raises:
            TransientError: a retry may succeed.
            RangeNotSatisfiable: the file is shorter than the offset.
            ModelNotFound, DownloadError: the Hub rejected the request.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        url = self._file_url(listing, path)
        with self._follow("GET", url, listing.repo, headers, stall=True) as response:
            if response.status_code == 416:
                raise RangeNotSatisfiable
            self._raise_for_status(response, listing.repo, path, files=listing.files)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise not_a_hub(self.endpoint)
            start = 0
            if response.status_code == 206:
                match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
                start = int(match[1]) if match else offset
            length = _content_length(response.headers)
            yield Body(start, length, self._chunks(response, length))

    def _chunks(self, response: Response, length: int | None = None) -> Iterator[bytes]:
        """Yield a body; if its length is known, read large chunks directly from the connection.

        The HTTP library copies 64 KiB chunks several times, which is slower than hashing. After the
        first chunk, its buffers contain nothing more of the body.
        """
        host = find_host(str(response.url))
        with self._mapped(str(response.url)):
            stream = response.extensions.get("network_stream")
            if length is None or stream is None or response.http_version != "HTTP/1.1":
                yield from response.iter_bytes()
                return
            beginning = response.iter_raw()  # keep a reference: deleting it closes the response
            first = next(beginning, b"")
            yield first
        left = length - len(first) if first else 0
        while left > 0:
            try:
                data = stream.read(min(left, _READ_BYTES), timeout=self.retry.stall_seconds)
            except Exception as exc:  # noqa: BLE001 - the transport's own exception types
                timed_out = "Timeout" in type(exc).__name__
                raise TransientError(
                    f"{host} stopped responding" if timed_out else f"lost the connection to {host}"
                ) from None
            if not data:
                raise TransientError(f"lost the connection to {host}")
            left -= len(data)
            yield data

    def _file_url(self, listing: Listing, path: str) -> str:
        return f"{self.endpoint}/{listing.repo}/resolve/{listing.commit}/{quote(path)}"

    def _retry(self, repo: str, call: Callable[[], T]) -> T:
        return with_retries(call, repo, retry=self.retry, callbacks=self.callbacks)

    def _get_json(self, url: str, repo: str, revision: str | None) -> bytes:
        with self._follow("GET", url, repo) as response:
            self._raise_for_status(response, repo, None, revision)
            return self._read_json(response)

    def _get_headers(self, listing: Listing, path: str) -> Mapping[str, str]:
        with self._follow("HEAD", self._file_url(listing, path), listing.repo) as response:
            self._raise_for_status(response, listing.repo, path, files=listing.files)
            return response.headers

    def _read_json(self, response: Response) -> bytes:
        body = bytearray()
        for chunk in self._chunks(response):
            body += chunk
            if len(body) > _MAX_LISTING_BYTES or bytes(body.lstrip()[:1]) not in (b"", b"{"):
                raise not_a_hub(self.endpoint)
        if not body:
            raise not_a_hub(self.endpoint)
        return bytes(body)

    @contextlib.contextmanager
    def _follow(
        self,
        method: str,
        url: str,
        repo: str,
        headers: Mapping[str, str] | None = None,
        *,
        stall: bool = False,
    ) -> Iterator[Response]:
        """Send a request and follow redirects; send the token only to the endpoint's origin."""
        retry = self.retry
        timeout = make_timeout(
            retry.response_seconds,
            connect=retry.connect_seconds,
            read=retry.stall_seconds if stall else retry.response_seconds,
        )
        for _ in range(_MAX_REDIRECTS):
            sent = {**self.headers, **(headers or {})}
            if self.token and find_origin(url) == find_origin(self.endpoint):
                sent["Authorization"] = f"Bearer {self.token}"
            with ExitStack() as stack:
                with self._mapped(url):
                    response = stack.enter_context(
                        self.session.stream(
                            method, url, headers=sent, timeout=timeout, follow_redirects=False
                        )
                    )
                location = response.headers.get("Location")
                if not response.is_redirect or location is None or _is_final(method, url, location):
                    yield response
                    return
            url = urljoin(url, location)
            if not is_web_url(url):
                raise not_a_hub(self.endpoint)
        raise DownloadError(
            f"{repo}: too many redirects from {find_host(self.endpoint)}; check HF_ENDPOINT"
        )

    @contextlib.contextmanager
    def _mapped(self, url: str) -> Iterator[None]:
        """Map the exceptions of the HTTP library; the messages contain no URLs or headers."""
        from huggingface_hub.errors import OfflineModeIsEnabled

        is_own_hub = os.environ.get("HF_ENDPOINT") and find_host(url) == find_host(self.endpoint)
        with request_errors(url, variable="HF_ENDPOINT" if is_own_hub else None):
            try:
                yield
            except OfflineModeIsEnabled:
                raise ModelNotFound(
                    "cannot download in offline mode; unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE"
                ) from None

    def _raise_for_status(
        self,
        response: Response,
        repo: str,
        file: str | None,
        revision: str | None = None,
        files: Collection[str] = (),
    ) -> None:
        if response.status_code < 400:
            return
        proxy = find_proxy(str(response.url))
        if response.status_code == 407 and proxy is not None:
            raise proxy_error(str(proxy), "407", None)
        raise error_for_response(
            response.status_code,
            str(response.url),
            response.headers,
            endpoint=self.endpoint,
            repo=repo,
            file=file,
            revision=revision,
            with_token=self.token is not None,
            files=files,
            list_refs=lambda: self._list_refs(repo),
            list_repos=self.known_repos,
        )

    def _list_refs(self, repo: str) -> list[str]:
        with contextlib.suppress(Exception):
            url = f"{self.endpoint}/api/models/{repo}/refs"
            with self._follow("GET", url, repo) as response:
                return read_refs(self._read_json(response))
        return []


def _read_token(library: ModuleType) -> str | None:
    try:
        token: str | None = library.get_token()
    except OSError as exc:
        path = Path(exc.filename or "the saved token")
        problem = f"cannot read {path}: {os_error_reason(exc)}"
        raise UsageError(environment.name_path(path, problem)) from exc
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        names = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
        name = names[0] if names else "the saved Hub token"
        raise UsageError(
            f"{name}: contains a space or a character that is not ASCII; copy it again"
        )
    return token


def _is_final(method: str, url: str, location: str) -> bool:
    """Whether a HEAD request need not follow: a cross-origin redirect already has the size."""
    return method == "HEAD" and find_origin(urljoin(url, location)) != find_origin(url)


def _content_length(headers: Mapping[str, str]) -> int | None:
    """Return the length of the body in bytes, or None if it is compressed."""
    text = headers.get("Content-Length", "")
    is_plain = headers.get("Content-Encoding", "identity") == "identity"
    return int(text) if text.isdigit() and is_plain else None
