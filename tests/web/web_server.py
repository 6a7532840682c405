"""A web server on loopback whose pages a test sets."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PageOf = tuple[int, dict[str, str], bytes]  # status, headers, body


class WebServer:
    """Serves `pages` by path, and records the headers of each request in `seen`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, PageOf] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []

    def add(self, path: str, body: bytes, kind: str = "", **headers: str) -> str:
        """Add a page and return its URL."""
        if kind:
            headers["Content-Type"] = kind
        self.pages[path] = (200, headers, body)
        return self.url + path

    def redirect(self, path: str, target: str) -> str:
        """Add a redirect and return its URL."""
        self.pages[path] = (302, {"Location": target}, b"")
        return self.url + path


@contextmanager
def serving() -> Iterator[WebServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.seen.append((self.path, {name.lower(): v for name, v in self.headers.items()}))
            status, headers, body = web.pages.get(self.path, (404, {}, b"none"))
            self.send_response(status)
            length = {} if "Connection" in headers else {"Content-Length": str(len(body))}
            for name, value in {**length, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    web = WebServer(server.server_address[1])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
