"""Reading URLs: bounds, redirects, errors, and what is sent."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Iterator

import pytest
from web.web_server import WebServer, serving

from llmtool.errors import Cancelled, ContextOverflow, DownloadError, InputError, UsageError
from llmtool.web.page import Limits, fetch

SECRET = "hf_secret"


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", SECRET)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with serving() as server:
        yield server


def test_text_is_returned_with_its_type(web: WebServer) -> None:
    page = fetch(web.add("/a.txt", b"caf\xe9", 'Text/Plain; charset="ISO-8859-1"'))
    assert (page.content, page.media_type, page.charset) == (b"caf\xe9", "text/plain", "ISO-8859-1")


def test_credentials_are_not_sent(web: WebServer) -> None:
    with serving() as other:
        target = other.add("/end", b"text")
        web.pages["/start"] = (302, {"Location": target}, b"")
        fetch(f"{web.url}/start#part")
        assert [path for path, _ in (*web.seen, *other.seen)] == ["/start", "/end"]
        for _, headers in (*web.seen, *other.seen):
            assert not {"authorization", "cookie"} & headers.keys()
            assert SECRET not in str(headers)


def test_redirects_to_other_hosts_are_reported(web: WebServer) -> None:
    with serving() as other:
        web.redirect("/there", other.add("/end", b"text"))
        hosts: list[str] = []
        page = fetch(web.redirect("/start", "/there"), on_redirect=hosts.append)
        assert page.content == b"text"
        assert hosts == [other.url.removeprefix("http://")]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/"]
)
def test_redirect_to_anything_but_a_web_page_is_an_error(web: WebServer, target: str) -> None:
    with pytest.raises(DownloadError, match="redirects to .*which cannot be read"):
        fetch(web.redirect("/start", target))
    assert len(web.seen) == 1


def test_endless_redirects_are_an_error(web: WebServer) -> None:
    with pytest.raises(DownloadError, match="more than 3 redirects"):
        fetch(web.redirect("/loop", "/loop"), limits=Limits(max_redirects=3))
    assert len(web.seen) == 4


@pytest.mark.parametrize("declares", [True, False])
def test_long_content_is_an_error(web: WebServer, declares: bool) -> None:
    url = web.add("/long", b"a" * 50_000)
    if not declares:
        web.pages["/long"] = (200, {"Connection": "close"}, b"a" * 50_000)
    with pytest.raises(ContextOverflow, match="/long is longer than"):
        fetch(url, limits=Limits(max_bytes=20_000))


def test_compressed_content_is_bounded(web: WebServer) -> None:
    body = gzip.compress(bytes(65) * 1_000_000, 1)
    url = web.add("/bomb", body, "text/plain", **{"Content-Encoding": "gzip"})
    with pytest.raises(ContextOverflow):
        fetch(url, limits=Limits(max_bytes=100_000))


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "text/html", "/x is a PNG image, not text"),
        (b"PK\x03\x04" + bytes(40), "", "/x is a ZIP archive, not text; unpack it"),
        (b"unknown", "video/x-new", "/x has the content type video/x-new, not text"),
    ],
)
def test_content_that_is_not_text_is_named(
    web: WebServer, body: bytes, kind: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(web.add("/x", body, kind))


def test_svg_image_is_text(web: WebServer) -> None:
    assert fetch(web.add("/x", b"<svg/>", "image/svg+xml")).content == b"<svg/>"


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "not found"), (403, "access denied"), (500, "server error"), (429, "too many requests")],
)
def test_status_is_reported(web: WebServer, status: int, message: str) -> None:
    web.pages["/x"] = (status, {}, b"")
    with pytest.raises(DownloadError, match=rf"^{web.url}/x: {message} \(HTTP {status}\); "):
        fetch(f"{web.url}/x")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/a", "unsupported scheme 'ftp'"),
        ("file:///etc/passwd", "unsupported scheme 'file'"),
        ("http://", "not a valid URL"),
        ("http://host:99999/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("http://host/a b", "not a valid URL"),
        ("http://user:pass@host/", "user names and passwords"),
    ],
)
def test_other_urls_are_rejected(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        fetch(url)
    assert "pass@" not in str(caught.value)


def test_silent_server_is_abandoned() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(DownloadError, match="stopped responding"):
            fetch(url, limits=Limits(stall_seconds=0.05))
        with pytest.raises(DownloadError, match="not complete after 0 s"):
            fetch(url, limits=Limits(total_seconds=0.1))


def test_waiting_can_be_cancelled() -> None:
    def check() -> None:
        raise Cancelled("stopped")

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(Cancelled):
        fetch(f"http://127.0.0.1:{server.getsockname()[1]}/", check=check)


def test_proxy_of_the_environment_is_used(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web.pages["http://page.invalid/a.txt"] = (200, {}, b"through the proxy")
    monkeypatch.setenv("http_proxy", web.url)
    assert fetch("http://page.invalid/a.txt").content == b"through the proxy"
    monkeypatch.setenv("http_proxy", "ftp://proxy")
    with pytest.raises(UsageError, match="http_proxy 'ftp://proxy': unsupported scheme"):
        fetch("http://page.invalid/a.txt")


def test_missing_server_is_reported() -> None:
    with pytest.raises(DownloadError, match="^http://127.0.0.1:9/: cannot connect to 127.0.0.1:9"):
        fetch("http://127.0.0.1:9/")
