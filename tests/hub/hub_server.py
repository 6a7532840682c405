"""A Hub-compatible server on loopback with programmable faults, for download tests.

It implements the part of the Hub's protocol that huggingface_hub 2.4 and llmtool use: the model API
with file sizes and digests, `resolve` with its `X-` headers and error codes, redirects of large
files to another origin (a second port) with expiring signed URLs, byte ranges, and renamed
repositories.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LFS_THRESHOLD = 1024  # smaller files are Git blobs, served by the Hub itself
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Welcome to Airport WiFi, please log in</body></html>"


@dataclass
class Blob:
    """The content of a file, or the path of a large file on disk."""

    content: bytes = b""
    path: Path | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path else len(self.content)

    @property
    def is_lfs(self) -> bool:
        return self.size >= LFS_THRESHOLD

    @property
    def sha256(self) -> str:
        if not hasattr(self, "_sha256"):
            body = self.path.read_bytes() if self.path else self.content
            self._sha256 = hashlib.sha256(body).hexdigest()
        return self._sha256

    @property
    def git_id(self) -> str:
        return hashlib.sha1(b"blob %d\0" % self.size + self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_id


@dataclass
class Repo:
    files: dict[str, Blob]
    revisions: dict[str, str] = field(default_factory=lambda: {"main": "a" * 40})
    gated: bool = False
    private: bool = False
    allowed: tuple[str, ...] = ()  # tokens that may read a gated or private repository
    listed: tuple[str, ...] = ()  # names listed in addition to the files
    lists_digests: bool = True  # some mirrors list only names


@dataclass
class Fault:
    """A fault in the first `times` requests that match `where` and `method`.

    where: "api", "resolve" or "cdn".
    kind: "status", "cut", "reset", "stall", "slow", "silent", "ignore-range", "corrupt", "short",
        "long", "html", "close".
    after: number of body bytes sent before the fault.
    """

    where: str
    kind: str
    times: int = 1
    after: int = 0
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str | None = None


@dataclass
class Seen:
    where: str
    method: str
    path: str
    headers: dict[str, str]
    status: int = 0


class FakeHub:
    """Two servers, the Hub (`url`) and a CDN (`cdn_url`). Use as a context manager."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.bad_tokens: set[str] = set()
        self.signature = 0
        self.signature_uses = 1_000_000
        self.bytes_sent = 0
        self._lock = threading.Lock()
        self._uses: dict[str, int] = {}
        self._stop = threading.Event()
        self._hub = _Server(("127.0.0.1", 0), _Hub)
        self._cdn = _Server(("127.0.0.1", 0), _Cdn)
        self._hub.hub = self._cdn.hub = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._hub.server_address[1]}"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self._cdn.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes | Path], **fields: object) -> Repo:
        blobs = {
            path: Blob(path=value) if isinstance(value, Path) else Blob(value)
            for path, value in files.items()
        }
        self.repos[name] = Repo(blobs, **fields)  # type: ignore[arg-type]
        return self.repos[name]

    def fail(self, where: str, kind: str, **fields: object) -> None:
        self.faults.append(Fault(where, kind, **fields))  # type: ignore[arg-type]

    def take_fault(self, where: str, method: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.where == where and fault.method in (None, method) and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def sign(self) -> str:
        with self._lock:
            self.signature += 1
            return str(self.signature)

    def use(self, signature: str) -> bool:
        """Count one use of a signed URL; return whether it is still valid."""
        with self._lock:
            self._uses[signature] = self._uses.get(signature, 0) + 1
            return self._uses[signature] <= self.signature_uses

    def count(self, where: str, method: str = "GET") -> int:
        return sum(1 for seen in self.seen if (seen.where, seen.method) == (where, method))

    def wait(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def __enter__(self) -> FakeHub:
        for server in (self._hub, self._cdn):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    hub: FakeHub

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients close connections on purpose


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it delays what follows the head of a response by 40 ms
    where = ""
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.handle_one()

    def do_GET(self) -> None:
        self.handle_one()

    def handle_one(self) -> None:
        self.url = urlsplit(self.path)
        self.query = parse_qs(self.url.query)
        self.where = self.classify()
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.entry = Seen(self.where, self.command, self.path, headers)
        self.server.hub.seen.append(self.entry)
        self.fault = self.server.hub.take_fault(self.where, self.command)
        if self.fault and self.fault.kind == "silent":
            self.server.hub.wait(120)
            self.close_connection = True
        elif self.fault and self.fault.kind == "close":
            self.close_connection = True
        elif self.fault and self.fault.kind == "status":
            self.respond(self.fault.status, self.fault.body, self.fault.headers)
        elif self.fault and self.fault.kind == "html":
            self.respond(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
        else:
            self.serve()

    def classify(self) -> str:
        raise NotImplementedError

    def serve(self) -> None:
        raise NotImplementedError

    def respond(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.entry.status = status
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str = "", message: str = "") -> None:
        headers = {"Content-Type": "application/json"}
        if code:
            headers["X-Error-Code"] = code
        if message:
            headers["X-Error-Message"] = message
        self.respond(status, json.dumps({"error": message or code}).encode(), headers)

    def send_blob(self, blob: Blob, headers: dict[str, str]) -> None:
        """Send a file or a range of it, with the fault of this request, if any."""
        fault, size = self.fault, blob.size
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and not (fault and fault.kind == "ignore-range"):
            start = int(wanted[1])
            if start >= size:
                self.respond(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        declared = size - start
        if fault and fault.kind == "short":
            declared -= 10
        if fault and fault.kind == "long":
            declared += 10
        self.entry.status = 206 if "Content-Range" in headers else 200
        self.send_response(self.entry.status)
        for key, value in {**headers, "Content-Length": str(declared)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.send_body(blob, start, declared)

    def send_body(self, blob: Blob, start: int, declared: int) -> None:
        fault = self.fault
        if blob.path and not fault:
            self.wfile.flush()
            with blob.path.open("rb") as file:
                left, offset = declared, start
                while left:
                    sent = os.sendfile(self.connection.fileno(), file.fileno(), offset, left)
                    left, offset = left - sent, offset + sent
            return
        body = (blob.path.read_bytes() if blob.path else blob.content)[start:]
        if fault and fault.kind == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if fault and fault.kind == "long":
            body += b"x" * 10
        body = body[:declared]
        if fault and fault.kind in ("cut", "reset", "stall", "slow"):
            self.write(body[: fault.after])
            if fault.kind == "stall":
                self.server.hub.wait(120)
            if fault.kind == "reset":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            if fault.kind == "slow":
                for i in range(fault.after, len(body), 65536):
                    self.write(body[i : i + 65536])
                    self.server.hub.wait(0.02)
                return
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.close() if fault.kind == "reset" else self.connection.shutdown(2)
            return
        self.write(body)

    def write(self, body: bytes) -> None:
        self.wfile.write(body)
        self.wfile.flush()
        self.server.hub.bytes_sent += len(body)


class _Hub(_Handler):
    def classify(self) -> str:
        return "api" if self.path.startswith("/api/") else "resolve"

    def serve(self) -> None:
        if self.where == "api":
            match = re.fullmatch(
                r"/api/models/([^/]+/[^/]+)(?:/(refs)|/revision/([^/]+))?", self.url.path
            )
            if not match:
                return self.error(404, "", "page not found")
            name, wants_refs = match[1], bool(match[2])
            if not self.can_read(name, f"/api/models/{{}}{self.url.path[len(match[1]) + 12 :]}"):
                return None
            if wants_refs:
                return self.serve_refs(self.server.hub.repos[name])
            return self.serve_info(name, unquote(match[3] or "main"))
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.url.path)
        if not match:
            return self.error(404, "", "page not found")
        rest = f"/resolve/{match[2]}/{match[3]}"
        if not self.can_read(match[1], f"/{{}}{rest}"):
            return None
        return self.serve_file(match[1], unquote(match[2]), unquote(match[3]))

    def token(self) -> str | None:
        value = self.headers.get("Authorization", "")
        return value.removeprefix("Bearer ") or None

    def can_read(self, name: str, template: str) -> bool:
        hub, token = self.server.hub, self.token()
        if name in hub.renamed:
            query = f"?{self.url.query}" if self.url.query else ""
            self.respond(307, b"", {"Location": template.format(hub.renamed[name]) + query})
            return False
        if token in hub.bad_tokens:
            self.error(401, "", "Invalid credentials in Authorization header")
            return False
        repo = hub.repos.get(name)
        if repo is None or (repo.private and token not in repo.allowed):
            if token is None:
                self.error(401, "RepoNotFound", "Repository not found")
            else:
                self.error(404, "RepoNotFound", "Repository not found")
            return False
        return True

    def find_commit(self, repo: Repo, revision: str) -> str | None:
        if revision in repo.revisions.values():
            return revision
        return repo.revisions.get(revision)

    def serve_info(self, name: str, revision: str) -> None:
        repo = self.server.hub.repos[name]
        commit = self.find_commit(repo, revision)
        if commit is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = [{"rfilename": path} for path in repo.listed]
        for path, blob in repo.files.items():
            entry: dict[str, object] = {"rfilename": path}
            if "blobs" in self.query and repo.lists_digests:
                entry |= {"size": blob.size, "blobId": blob.git_id}
                if blob.is_lfs:
                    entry["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": 134}
            siblings.append(entry)
        info = {
            "_id": "1", "id": name, "modelId": name, "private": repo.private, "tags": [],
            "gated": "manual" if repo.gated else False, "sha": commit, "siblings": siblings,
        }  # fmt: skip
        body = json.dumps(info).encode()
        return self.respond(200, body, {"Content-Type": "application/json; charset=utf-8"})

    def serve_refs(self, repo: Repo) -> None:
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in repo.revisions.items()
        ]
        body = json.dumps({"branches": branches, "tags": [], "converts": []}).encode()
        self.respond(200, body, {"Content-Type": "application/json"})

    def serve_file(self, name: str, revision: str, path: str) -> None:
        hub = self.server.hub
        repo = hub.repos[name]
        if repo.gated and self.token() not in repo.allowed:
            status = 401 if self.token() is None else 403
            return self.error(status, "GatedRepo", f"Access to model {name} is restricted.")
        commit = self.find_commit(repo, revision)
        if commit is None:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        blob = repo.files.get(path)
        headers = {"X-Repo-Commit": commit}
        if blob is None:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self.respond(404, b"Entry not found", headers)
        if not blob.is_lfs:
            return self.send_blob(blob, {**headers, "ETag": f'"{blob.etag}"'})
        headers |= {
            "X-Linked-Etag": f'"{blob.etag}"',
            "X-Linked-Size": str(blob.size),
            "Location": f"{hub.cdn_url}/{name}/{blob.sha256}?signature={hub.sign()}",
        }
        return self.respond(302, b"", headers)


class _Cdn(_Handler):
    def classify(self) -> str:
        return "cdn"

    def serve(self) -> None:
        hub = self.server.hub
        if not hub.use(self.query.get("signature", ["none"])[0]):
            return self.respond(403, b"<Error>Request has expired</Error>")
        digest = self.url.path.rpartition("/")[2]
        for repo in hub.repos.values():
            for blob in repo.files.values():
                if blob.is_lfs and blob.sha256 == digest:
                    return self.send_blob(blob, {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"})
        return self.respond(404, b"object not found")


def wait_until(condition: object, seconds: float = 10) -> None:
    """Wait until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"condition not true after {seconds:.0f} s")
        time.sleep(0.01)
