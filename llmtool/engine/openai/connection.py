"""Requests to a server: pooled connections, retries, time limits and concurrency.

They run in an event loop of a thread of its own, so that any thread can make them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import threading
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

import msgspec

from llmtool._version import __version__
from llmtool.engine.openai.endpoint import Endpoint
from llmtool.engine.openai.errors import (
    Fatal,
    Retryable,
    connection_errors,
    invalid_reply,
    quote,
    redirected,
    response_error,
    stalled,
)
from llmtool.engine.openai.limiter import Limiter
from llmtool.engine.openai.sse import EventReader, LineReader, LineTooLong
from llmtool.errors import ServerError, format_json_error, invalid_unicode
from llmtool.web.client import make_timeout, open_async_client
from llmtool.web.environment import check_variables
from llmtool.web.urls import find_host

if TYPE_CHECKING:
    from llmtool.web.client import AsyncClient, Response

T = TypeVar("T")
MAX_DOCUMENT = 64 << 20  # bytes
_MAX_ERROR = 64 << 10
_ATTEMPTS = 6
_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 1.0, 30.0
_MAX_WAIT_SECONDS = 300.0  # that a server may ask for
_STARTING_SECONDS = 1.0  # between requests to a server that starts
_POLL_SECONDS = 0.05
_DOCUMENT_SECONDS = _WRITE_SECONDS = 60.0
_PART_BYTES = 1 << 20  # of a file that is sent
_SLOW_BYTES_PER_SECOND = 50_000
_NOTE_SECONDS = 2.0  # a shorter wait has no note
_NOTE_PERIOD = 10.0  # seconds between notes


class Connection:
    """The connections to an endpoint.

    Args:
        concurrency: the most requests at once.
        backoff_seconds: the wait before the second attempt; it doubles with each further one.

    `notes` gets a line about each longer wait.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int,
        backoff_seconds: float = _BACKOFF_SECONDS,
    ) -> None:
        check_variables()
        self.endpoint, self.concurrency = endpoint, concurrency
        self.notes: SimpleQueue[str] = SimpleQueue()
        self._noted_at = -_NOTE_PERIOD
        self._backoff = backoff_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: AsyncClient | None = None
        self._limiter: Limiter | None = None

    # From any thread:

    def submit(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the loop; cancelling its future stops it, with its request."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="llmtool-http", daemon=True
                )
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(call, self._loop)

    def run(self, call: Coroutine[Any, Any, T], check: Callable[[], object]) -> T:
        """Return the result of a coroutine, unless `check`, polled meanwhile, raises."""
        future = self.submit(call)
        try:
            while True:
                check()
                with contextlib.suppress(FutureTimeout, TimeoutError):
                    return future.result(timeout=_POLL_SECONDS)
        except Fatal as exc:
            raise exc.error from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Stop all requests, and close the connections."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(self._close(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(5)
        if not thread.is_alive():
            loop.close()

    # In the loop:

    async def _close(self) -> None:
        for task in _other_tasks():
            task.cancel()
        await asyncio.gather(*_other_tasks(), return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
        self._client = self._limiter = None
        # Generators of cancelled responses are closed by tasks that start only now.
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.sleep(0)
        await asyncio.gather(*_other_tasks(), return_exceptions=True)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        n_attempts: int = _ATTEMPTS,
        is_limited: bool = True,
    ) -> T:
        """Return the result of `attempt()`, called again with waits while it raises `Retryable`.

        With `is_limited`, it counts as one of the requests that run at once. A server that starts
        has the time until the first token for it.

        Raises:
            Fatal: it failed in a way that other requests will, too.
            LlmtoolError: it failed.
        """
        if self._limiter is None:
            self._limiter = Limiter(self.concurrency)
        limiter, number, begun = self._limiter, 0, time.monotonic()
        while True:
            number += 1
            async with limiter.slot() if is_limited else contextlib.nullcontext():
                started = time.monotonic()
                try:
                    result = await attempt()
                except Retryable as exc:
                    failure = exc
                else:
                    limiter.report_success()
                    return result
                seconds = self._backoff_seconds(failure, number)
                if failure.is_overload:
                    pause = 0.0 if failure.wait is None else min(seconds, _MAX_WAIT_SECONDS)
                    limiter.report_overload(started=started, pause=pause)
            end = begun + self.endpoint.first_token_seconds
            is_starting = failure.is_starting and time.monotonic() + seconds < end
            if is_starting:
                number -= 1  # it answered no request yet
            if number == n_attempts or seconds > _MAX_WAIT_SECONDS:
                raise Fatal(failure.error) if failure.is_fatal else failure.error
            self._note_wait(failure, seconds)
            await asyncio.sleep(seconds)

    def _note_wait(self, failure: Retryable, seconds: float) -> None:
        """Report a wait, once for the requests that wait together."""
        now = time.monotonic()
        if now - self._noted_at < _NOTE_PERIOD:
            return
        if failure.is_starting:
            self._noted_at = now
            problem = str(failure.error).removesuffix("; try again later")
            limit = f"{self.endpoint.first_token_seconds:g}"
            self.notes.put(f"{problem}; waiting at most {limit} s")
        elif seconds >= _NOTE_SECONDS:
            self._noted_at = now
            self.notes.put(f"{failure.error}; retrying in {seconds:.0f} s")

    def _backoff_seconds(self, failure: Retryable, number: int) -> float:
        if failure.is_starting and failure.wait is None:
            return min(_STARTING_SECONDS, self._backoff)
        jitter = random.uniform(0.5, 1.0)
        if failure.wait is not None:  # clients that wait equally long collide again
            return failure.wait + jitter * self._backoff
        return jitter * min(self._backoff * 2.0 ** (number - 1), _MAX_BACKOFF_SECONDS)

    async def events(
        self, path: str, body: object, *, model: str, has_begun: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the data of the events of a streamed reply, or the document of a whole one.

        `has_begun` is whether the reply has a token, after which the time limit is shorter.

        Raises:
            Retryable, Fatal, LlmtoolError: the request failed, or the connection was lost.
        """
        endpoint = self.endpoint
        root = endpoint.root if path.startswith("/api/") else endpoint.base_url
        async with self._response("POST", root + path, body) as response:
            await self._check(response, model=model, path=path)
            media_type = _media_type(response)
            if media_type == "application/json":
                yield await self._read(response, MAX_DOCUMENT)
                return
            if media_type not in ("text/event-stream", "application/x-ndjson"):
                raise self._wrong_type(media_type)
            reader = EventReader() if media_type == "text/event-stream" else LineReader()
            parts = response.aiter_bytes()
            since = time.monotonic()
            while True:
                part = await self._next_part(parts, since, has_begun())
                if part is None:
                    return
                try:
                    found = reader.push(part)
                except LineTooLong:
                    raise invalid_reply(endpoint, "a line of the stream is too long") from None
                for data in found:
                    if data.strip() == b"[DONE]":
                        return
                    yield data
                if found:
                    since = time.monotonic()

    async def fetch(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        model: str = "",
        is_short: bool = True,
    ) -> Any:
        """Return the JSON document at a URL; `is_short` is whether no model runs for it.

        Raises:
            Retryable, Fatal, LlmtoolError: the request failed.
        """
        seconds = _DOCUMENT_SECONDS if is_short else None
        async with self._response(method, url, body, seconds) as response:
            return await self._read_json(response, url, model=model)

    async def _read_json(self, response: Response, url: str, *, model: str = "") -> Any:
        await self._check(response, model=model, path=url.removeprefix(self.endpoint.root))
        media_type = _media_type(response)
        if media_type != "application/json":
            raise self._wrong_type(media_type)
        data = await self._read(response, MAX_DOCUMENT)
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise invalid_reply(self.endpoint, format_json_error(exc)) from None

    async def upload(self, url: str, path: Path, *, purpose: str) -> Any:
        """Send a file as a form, in parts; return the JSON document of the response.

        Raises:
            OSError: the file cannot be read.
            Retryable, Fatal, LlmtoolError: the request failed.
        """
        boundary, size = uuid.uuid4().hex, path.stat().st_size
        name = re.sub(r"[^\w.-]", "_", path.name)
        start = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        end = f"\r\n--{boundary}--\r\n".encode()

        async def content() -> AsyncIterator[bytes]:
            yield start
            with path.open("rb") as file:
                while part := file.read(_PART_BYTES):
                    yield part
            yield end

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(start) + size + len(end)),
        }
        seconds = self.endpoint.first_token_seconds + size / _SLOW_BYTES_PER_SECOND
        async with self._response("POST", url, None, seconds, content(), headers) as response:
            return await self._read_json(response, url)

    async def download(self, url: str, descriptor: int) -> None:
        """Write a response to an open file, of any length.

        Raises:
            OSError: the file cannot be written.
            Retryable, Fatal, LlmtoolError: the request failed, or the connection was lost.
        """
        async with self._response("GET", url, None) as response:
            await self._check(response, model="", path=url.removeprefix(self.endpoint.root))
            parts = response.aiter_bytes()
            while True:
                limit = self.endpoint.token_seconds
                slow = stalled(self.endpoint, limit, "token_timeout")
                part = await self._within(_next(parts), limit, slow)
                if part is None:
                    return
                while part:
                    part = part[os.write(descriptor, part) :]

    @contextlib.asynccontextmanager
    async def _response(
        self,
        method: str,
        url: str,
        body: object,
        seconds: float | None = None,
        content: AsyncIterator[bytes] | bytes | None = None,
        content_headers: Mapping[str, str] = {},
    ) -> AsyncIterator[Response]:
        """Send a request, and close its response at the end of the block.

        Either `body`, a value for JSON, or `content` with its headers is sent, or neither.
        """
        endpoint = self.endpoint
        if self._client is None:
            with connection_errors(endpoint):
                self._client = open_async_client(
                    max_connections=self.concurrency + 4,
                    use_proxies=not endpoint.is_local,
                    is_encrypted=endpoint.is_encrypted,
                )
        headers = {
            "User-Agent": f"llmtool/{__version__}",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            **endpoint.request_headers(),
            **content_headers,
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
            try:
                content = msgspec.json.encode(body)
            except UnicodeEncodeError as exc:
                raise invalid_unicode(exc) from exc
        timeout = make_timeout(_WRITE_SECONDS, connect=endpoint.connect_seconds, read=None)
        request = self._client.build_request(
            method, url, headers=headers, content=content, timeout=timeout
        )
        limit = seconds or endpoint.first_token_seconds
        send = self._client.send(request, stream=True)
        response = await self._within(send, limit, self._slow(limit))
        try:
            yield response
        finally:
            with contextlib.suppress(Exception):
                await response.aclose()

    async def _within(self, call: Awaitable[T], seconds: float, error: Retryable) -> T:
        """Return the result of a step of the HTTP library; raise `error` if it takes longer."""
        task = asyncio.ensure_future(call)
        try:
            await asyncio.wait({task}, timeout=max(0.0, seconds))
            if not task.done():
                raise error
            with connection_errors(self.endpoint):
                return task.result()
        finally:
            task.cancel()

    async def _next_part(
        self, parts: AsyncIterator[bytes], since: float, has_begun: bool
    ) -> bytes | None:
        """Return the next part of a stream whose last event was at `since`, or None at its end."""
        endpoint = self.endpoint
        if has_begun:
            limit, setting = endpoint.token_seconds, "token_timeout"
        else:
            limit, setting = endpoint.first_token_seconds, "first_token_timeout"
        left = since + limit - time.monotonic()
        return await self._within(_next(parts), left, stalled(endpoint, limit, setting))

    async def _check(self, response: Response, *, model: str, path: str) -> None:
        """Raise the error of a response, if it is one."""
        status = response.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            target = urljoin(str(response.request.url), response.headers.get("location", ""))
            raise redirected(self.endpoint, find_host(target))
        body = await self._read(response, _MAX_ERROR, is_cut=True)
        raise response_error(self.endpoint, status, body, response.headers, model=model, path=path)

    async def _read(self, response: Response, limit: int, *, is_cut: bool = False) -> bytes:
        """Return the body; one that is longer than `limit` is cut, or an error."""
        content, parts = bytearray(), response.aiter_bytes()
        limit_seconds = self.endpoint.first_token_seconds
        end = time.monotonic() + limit_seconds
        while True:
            left = end - time.monotonic()
            part = await self._within(_next(parts), left, self._slow(limit_seconds))
            if part is None:
                return bytes(content)
            content += part
            if len(content) > limit:
                if is_cut:
                    return bytes(content[:limit])
                raise invalid_reply(self.endpoint, f"more than {limit >> 20} MB")

    def _slow(self, seconds: float) -> Retryable:
        return stalled(self.endpoint, seconds, "first_token_timeout")

    def _wrong_type(self, media_type: str) -> ServerError:
        found = quote(self.endpoint, media_type or "no content type")
        return ServerError(
            f"{self.endpoint.name}: the server answers with {found}, not JSON; check "
            f"{self.endpoint.url_name}, {self.endpoint.base_url}"
        )


def _other_tasks() -> list[asyncio.Task[Any]]:
    return [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)


def _media_type(response: Response) -> str:
    header = response.headers.get("Content-Type", "")
    return str(header).partition(";")[0].strip().lower()
