"""Every value of a variable that the Hub client or its libraries read works, or is named."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from hub.conftest import BIG, REPO
from hub.hub_server import LOGIN_PAGE, FakeHub
from in_process import hub_unloaded

from llmtool.config import find_folders
from llmtool.errors import DownloadError, ModelNotFound
from llmtool.models.hub.retry import RetryPolicy
from llmtool.models.store import Store
from llmtool.web.urls import mask_url

Run = Callable[..., Any]
RETRY = RetryPolicy(connect_seconds=2, response_seconds=0.1, backoff_seconds=0.01)
DEAD = "127.0.0.1:9"
NO_URL = "not a valid URL; use a URL such as http://host:port or socks5://host:port"
NO_PEM = "set it to a PEM file, or unset it"

BAD = [
    ("ALL_PROXY", "socks://h:1", "unsupported scheme 'socks'; use http, https, socks5 or socks5h"),
    ("https_proxy", "ftp://h:1", "unsupported scheme 'ftp'; use http, https, socks5 or socks5h"),
    ("HTTPS_PROXY", "http://", NO_URL),
    ("HTTPS_PROXY", "http://h:abc", NO_URL),
    ("HTTP_PROXY", "http://h:99999", NO_URL),
    ("ALL_PROXY", "http://[::1", NO_URL),
    ("ALL_PROXY", "/tmp/x", NO_URL),
    ("ALL_PROXY", "h h", NO_URL),
    ("ALL_PROXY", "http://\udcff:1", NO_URL),
    ("SSL_CERT_FILE", "/dev/null/x", f"not a directory; {NO_PEM}"),
    ("SSL_CERT_FILE", "/", f"is a directory; {NO_PEM}"),
    ("SSL_CERT_FILE", "/dev/null", f"no certificate in the file; {NO_PEM}"),
    (
        "SSL_CERT_DIR",
        "/dev/null",
        "no such folder; set it to a folder with certificates, or unset it",
    ),
    ("HF_ENDPOINT", "huggingface.co", "no scheme; use a URL such as https://huggingface.co"),
    ("HF_ENDPOINT", "ftp://h", "unsupported scheme 'ftp'; use http or https"),
    ("HF_ENDPOINT", "https://h:abc", "not a valid URL; use a URL such as https://huggingface.co"),
    ("HF_ENDPOINT", "http://[", "not a valid URL; use a URL such as https://huggingface.co"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "abc", "must be a whole number of seconds"),
    ("HF_HUB_ETAG_TIMEOUT", "1.5", "must be a whole number of seconds"),
    ("HF_HUB_VERBOSITY", "x", "must be debug, info, warning, error or critical"),
    ("HF_HUB_USER_AGENT_ORIGIN", "é", "must be printable ASCII"),
]


@pytest.mark.parametrize(("name", "value", "problem"), BAD)
def test_bad_value_is_named(
    run_llmtool: Run, hub: FakeHub, name: str, value: str, problem: str
) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, name: value}
    line = error_line(run_llmtool("models", "pull", REPO, env=env), 2)
    assert line == f"llmtool: {name} {value!r}: {problem}"
    assert hub.seen == []


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("HF_HOME", "/dev/null", 2, "'/dev/null': cannot read /dev/null/token: not a directory"),
        ("HF_HUB_CACHE", "/dev/null/x", 16, "'/dev/null/x': cannot write to /dev/null/x: not a"),
        ("HF_HUB_CACHE", "/proc/x", 16, "'/proc/x': cannot write to /proc/x: no such file"),
        ("HF_TOKEN_PATH", "/", 2, "'/': cannot read /: is a directory; set it to a file"),
        ("HF_TOKEN", "é", 2, ": contains a space or a character that is not ASCII; copy it again"),
        ("HUGGING_FACE_HUB_TOKEN", "a b", 2, ": contains a space or a character that is not"),
    ],
)
def test_unusable_folder_or_token_is_named(
    run_llmtool: Run, hub: FakeHub, name: str, value: str, code: int, message: str
) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, name: value}
    result = run_llmtool("models", "pull", "-q", REPO, env=env)
    separator = "" if message.startswith(":") else " "
    assert error_line(result, code).startswith(f"llmtool: {name}{separator}{message}")


HARMLESS = (
    "HF_OIDC_ID_TOKEN HF_DEBUG HF_HUB_DISABLE_XET HF_HUB_ENABLE_HF_TRANSFER "
    "HF_HUB_DISABLE_SYMLINKS HF_XET_HIGH_PERFORMANCE NO_PROXY HF_HUB_DISABLE_PROGRESS_BARS "
    "HF_INFERENCE_ENDPOINT HF_ASSETS_CACHE HF_XET_CACHE HF_STORED_TOKENS_PATH CURL_CA_BUNDLE "
    "REQUESTS_CA_BUNDLE SSLKEYLOGFILE OPENSSL_CONF"
).split()
MAY_BE_EMPTY = "HF_OIDC_RESOURCE HF_HUB_USER_AGENT_ORIGIN HF_HUB_ETAG_TIMEOUT HF_TOKEN".split()


@pytest.mark.parametrize("value", ["abc", "é\udcff", "a\nb", "[", "~nobody", ""])
def test_any_value_of_other_variables_works(run_llmtool: Run, hub: FakeHub, value: str) -> None:
    names = HARMLESS if value else HARMLESS + MAY_BE_EMPTY
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, **dict.fromkeys(names, value)}
    result = run_llmtool("models", "pull", "--dry-run", REPO, env=env)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("value", ["abc", "\udcff"])
def test_error_of_library_names_the_variables(run_llmtool: Run, hub: FakeHub, value: str) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "HF_OIDC_RESOURCE": value}
    line = error_line(run_llmtool("models", "pull", REPO, env=env), 2)
    assert line.startswith("llmtool: cannot prepare a connection to the Hub: ")
    assert line.endswith("; check HF_OIDC_RESOURCE")


@pytest.fixture
def plan(
    hub: FakeHub, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Return `plan(**environ)`, which lists a repository, without long waits before retries."""

    def plan(**environ: str) -> Any:
        merged = {**env, "HF_ENDPOINT": hub.url, **environ}
        del merged["HF_HUB_OFFLINE"]
        for name in os.environ.keys() - merged.keys():
            monkeypatch.delenv(name)
        for name, value in merged.items():
            monkeypatch.setenv(name, value)
        return Store(find_folders(merged), retry=RETRY).plan(REPO)

    with hub_unloaded():
        yield plan


@pytest.mark.parametrize(
    ("name", "scheme"), [("HTTP_PROXY", "http"), ("ALL_PROXY", "socks5"), ("all_proxy", "socks5h")]
)
def test_dead_proxy_is_named_without_password(
    plan: Callable[..., Any], name: str, scheme: str
) -> None:
    with pytest.raises(DownloadError) as caught:
        plan(**{name: f"{scheme}://user:secret@{DEAD}"})
    assert str(caught.value) == (
        f"{REPO}: cannot connect to the proxy {scheme}://***@{DEAD} ({name}) after 3 attempts; "
        f"check {name}"
    )


def test_dead_endpoint_is_named(plan: Callable[..., Any]) -> None:
    with pytest.raises(DownloadError) as caught:
        plan(HF_ENDPOINT=f"http://user:secret@{DEAD}")
    assert (
        str(caught.value) == f"{REPO}: cannot connect to {DEAD} after 3 attempts; check HF_ENDPOINT"
    )


def test_no_proxy_is_respected(plan: Callable[..., Any]) -> None:
    assert plan(ALL_PROXY=f"http://{DEAD}", NO_PROXY="127.0.0.1").size_bytes == len(BIG)


class SocksServer:
    """A SOCKS5 server that connects every client to its target, or replies with `code`."""

    def __init__(self, login: tuple[bytes, bytes] | None = None, code: int = 0) -> None:
        self.login, self.code = login, code
        self.targets: list[tuple[str, int]] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.handle, args=(client,), daemon=True).start()

    def handle(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError), client, client.makefile("rb") as reader:
            reader.read(reader.read(2)[1])
            client.sendall(b"\x05" + (b"\x02" if self.login else b"\x00"))
            if self.login:
                given = [reader.read(reader.read(n)[-1]) for n in (2, 1)]
                client.sendall(b"\x01" + (b"\x00" if tuple(given) == self.login else b"\x01"))
            kind = reader.read(4)[3]
            size = {1: 4, 3: None, 4: 16}[kind]
            host = reader.read(size or reader.read(1)[0])
            port = int.from_bytes(reader.read(2), "big")
            name = socket.inet_ntoa(host) if kind == 1 else host.decode()
            self.targets.append((name, port))
            client.sendall(bytes([5, self.code, 0, 1, 127, 0, 0, 1, 0, 9]))
            if self.code == 0:
                with socket.create_connection((name, port)) as target:
                    back = threading.Thread(target=relay, args=(target, client), daemon=True)
                    back.start()
                    relay(client, target)
                    back.join()


def relay(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def socks() -> Iterator[Callable[..., SocksServer]]:
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> SocksServer:
            server = SocksServer(**options)
            stack.callback(server.listener.close)
            return server

        yield start


@pytest.mark.parametrize("login", [None, (b"user", b"secret")])
def test_model_is_downloaded_through_socks_proxy(
    run_llmtool: Run, hub: FakeHub, socks: Callable[..., SocksServer], login: Any
) -> None:
    server = socks(login=login)
    user = "user:secret@" if login else ""
    proxy = f"socks5://{user}127.0.0.1:{server.port}"
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "ALL_PROXY": proxy}
    result = run_llmtool("models", "pull", "-q", REPO, env=env)
    assert result.returncode == 0, result.stderr.decode()
    assert Path(result.stdout.decode().strip()).read_bytes() == BIG
    assert {f"http://{host}:{port}" for host, port in server.targets} == {hub.url, hub.cdn_url}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"code": 5},
            "refused the connection (connection refused) after 3 attempts; check ALL_PROXY",
        ),
        (
            {"code": 4},
            "refused the connection (host unreachable) after 3 attempts; check ALL_PROXY",
        ),
        ({"login": (b"a", b"b")}, "needs a valid user name and password"),
    ],
)
def test_refusal_of_socks_proxy_is_named(
    plan: Callable[..., Any], socks: Callable[..., SocksServer], options: Any, message: str
) -> None:
    proxy = f"socks5://127.0.0.1:{socks(**options).port}"
    with pytest.raises(DownloadError) as caught:
        plan(ALL_PROXY=proxy)
    assert f"the proxy {proxy} (ALL_PROXY) {message}" in str(caught.value)


class Refusing(http.server.BaseHTTPRequestHandler):
    """A proxy that requires a login, for every method."""

    def do_GET(self) -> None:
        self.send_response(407)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(
    handler: type[http.server.BaseHTTPRequestHandler], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("endpoint", ["http://hub.example", "https://hub.example"])
def test_proxy_that_needs_login_is_named(plan: Callable[..., Any], endpoint: str) -> None:
    with serving(Refusing) as address, pytest.raises(DownloadError) as caught:
        plan(ALL_PROXY=f"http://user:secret@{address}", HF_ENDPOINT=endpoint)
    assert str(caught.value) == (
        f"the proxy http://***@{address} (ALL_PROXY) needs a valid user name and password; "
        f"set SCHEME://USER:PASSWORD@HOST:PORT"
    )


def test_other_server_as_socks_proxy_is_named(plan: Callable[..., Any]) -> None:
    with serving(Refusing) as address, pytest.raises(DownloadError) as caught:
        plan(ALL_PROXY=f"socks5://{address}")
    assert f"the proxy socks5://{address} (ALL_PROXY)" in str(caught.value)


def test_https_for_http_server_is_named(plan: Callable[..., Any], hub: FakeHub) -> None:
    host = hub.url.removeprefix("http://")
    with pytest.raises(DownloadError, match=rf"^{host} does not use TLS; check its scheme"):
        plan(HF_ENDPOINT=f"https://{host}")
    with serving(Refusing) as address, pytest.raises(DownloadError) as caught:
        plan(HF_ENDPOINT="https://hub.example", HTTPS_PROXY=f"https://{address}")
    assert str(caught.value).startswith(f"the proxy https://{address} (HTTPS_PROXY) does not use")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate with its key, for 127.0.0.1."""
    path = tmp_path / "server.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout"
    ).split()
    subprocess.run([*command, path, "-out", tmp_path / "c.pem"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "c.pem").read_bytes())
    return path


@pytest.mark.parametrize(
    ("variables", "remedy"),
    [
        ({}, "if a proxy intercepts the connection, set SSL_CERT_FILE to the proxy's certificate"),
        (
            {"REQUESTS_CA_BUNDLE": "own"},
            "set SSL_CERT_FILE to its certificate; REQUESTS_CA_BUNDLE is not read",
        ),
        ({"SSL_CERT_FILE": "other"}, "add its certificate to SSL_CERT_FILE (now '{other}'), or"),
        ({"SSL_CERT_FILE": "own"}, ""),
    ],
)
def test_untrusted_certificate_says_what_to_set(
    plan: Callable[..., Any],
    certificate: Path,
    tmp_path: Path,
    variables: dict[str, str],
    remedy: str,
) -> None:
    other = Path(ssl.get_default_verify_paths().openssl_cafile)
    other = other if other.is_file() else Path("/etc/ssl/certs/ca-certificates.crt")
    paths = {"own": str(certificate), "other": str(other)}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Refusing, context) as address, pytest.raises(DownloadError) as caught:
        plan(
            HF_ENDPOINT=f"https://{address}",
            **{name: paths[value] for name, value in variables.items()},
        )
    message = str(caught.value)
    if remedy:
        start = f"{address}: certificate not trusted (self-signed certificate); "
        assert message.startswith(start + remedy.format(**paths))
    else:
        assert "HTTP 407" in message


def test_doctor_reports_bad_variables(run_llmtool: Run) -> None:
    result = run_llmtool(
        "doctor", env={"ALL_PROXY": "socks://u:secret@h", "HF_HUB_ETAG_TIMEOUT": "x"}
    )
    assert b"advice\tALL_PROXY 'socks://***@h': unsupported scheme 'socks'" in result.stdout
    assert b"advice\tHF_HUB_ETAG_TIMEOUT 'x': must be a whole number" in result.stdout


def test_untrusted_certificate_behind_proxy_is_that_of_the_host(
    plan: Callable[..., Any], certificate: Path, socks: Callable[..., SocksServer]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(Refusing, context) as address, pytest.raises(DownloadError) as caught:
        plan(HF_ENDPOINT=f"https://{address}", ALL_PROXY=f"socks5://127.0.0.1:{socks().port}")
    assert str(caught.value).startswith(f"{address}: certificate not trusted (self-signed")


@pytest.mark.parametrize("status", [200, 511])
def test_login_page_of_network_is_reported(
    plan: Callable[..., Any], hub: FakeHub, status: int
) -> None:
    hub.fail("api", "html", times=9) if status == 200 else hub.fail(
        "api", "status", status=511, body=LOGIN_PAGE, times=9
    )
    with pytest.raises(DownloadError) as caught:
        plan()
    assert str(caught.value) == (
        f"the response from {hub.url} is not that of a Hub; log in to the network, or check "
        f"HF_ENDPOINT and the proxy"
    )


def test_password_of_endpoint_is_not_shown(plan: Callable[..., Any], hub: FakeHub) -> None:
    hub.fail("api", "html", times=9)
    with pytest.raises(DownloadError, match=r"http://\*\*\*@127"):
        plan(HF_ENDPOINT=hub.url.replace("://", "://user:secret@"))


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_variable_makes_no_request(run_llmtool: Run, hub: FakeHub, name: str) -> None:
    env = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, name: "1"}
    assert "offline" in error_line(run_llmtool("models", "pull", REPO, env=env), 10)
    assert hub.seen == []


def test_missing_repository_is_not_blamed_on_the_proxy(
    plan: Callable[..., Any], hub: FakeHub, socks: Callable[..., SocksServer]
) -> None:
    hub.repos.clear()
    with pytest.raises(ModelNotFound, match=f"^{REPO} not found on "):
        plan(ALL_PROXY=f"socks5://127.0.0.1:{socks().port}")


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://user:p@ss@host:1", "http://***@host:1"),
        ("user:secret@host", "***@host"),
        ("http://host:1", "http://host:1"),
        ("socks5h://user@host", "socks5h://***@host"),
    ],
)
def test_credentials_are_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked
