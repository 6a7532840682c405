"""`llmtool serve` as a process: its options, signals, and what it prints."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import INFINITE, error_line
from running_server import ServerProcess, Start

TEMPLATE = 'llmtool: 1\nname: hi\ninputs: {who: {type: text}}\nprompt: "Hi {{ who }}"\n'
CANARY = "the canary sings"


def test_functions_are_those_of_the_folder(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hi.yaml").write_text(TEMPLATE)
    server = start("--functions", tmp_path)
    assert [each["name"] for each in server.get("/v1/functions")["data"]] == ["hi"]


@pytest.fixture
def rejected(
    run_llmtool: Callable[..., Any], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return `rejected(*options)`: run `serve` with options that it rejects before it starts."""

    def start(*_: object) -> None:
        pytest.fail("the server starts")

    monkeypatch.setattr("llmtool.cli.serving.open_boxes", start)
    return partial(run_llmtool, "serve", "-m", tiny, "--port", "0")


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "no such file"), ("empty", "no valid template"), ("file", "not a directory")],
)
def test_a_folder_without_templates_is_an_error(
    rejected: Callable[..., Any], tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    result = rejected("--functions", tmp_path / name)
    assert result.returncode == 14
    assert message in result.stderr.decode().lower()


@pytest.fixture(scope="session")
def endless(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("plain", **INFINITE)


def stream(server: ServerProcess, *, max_tokens: int) -> Any:
    """Return the response of a stream that has begun."""
    body = {"messages": [{"role": "user", "content": CANARY}], "stream": True}
    data = json.dumps({**body, "max_tokens": max_tokens}).encode()
    request = urllib.request.Request(server.url + "/v1/chat/completions", data)
    response = urllib.request.urlopen(request, timeout=60)
    response.readline()
    return response


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_replies_end(start: Start, endless: Path, sig: signal.Signals) -> None:
    server = start(model=endless)
    response = stream(server, max_tokens=1500)
    server.process.send_signal(sig)
    host, port = server.address.split(":")
    with pytest.raises(OSError):
        for _ in range(1000):
            socket.create_connection((host, int(port)), timeout=1).close()
            time.sleep(0.01)
    assert response.read().endswith(b"data: [DONE]\n\n")
    assert server.process.wait(30) == 0


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_replies_with_an_error(
    start: Start, endless: Path, sig: signal.Signals
) -> None:
    server = start("--ctx-size", 100_000, model=endless)
    response = stream(server, max_tokens=90_000)
    server.process.send_signal(sig)
    started = time.monotonic()
    time.sleep(0.5)  # signals that arrive together may be one
    server.process.send_signal(sig)
    last = response.read().strip().split(b"\n\n")[-1]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "shutting_down"
    assert time.monotonic() - started < 20, "before the end of the 30 s that one signal gives"
    assert server.process.wait(10) == -sig


def test_a_port_in_use_is_one_line(
    start: Start, run_llmtool: Callable[..., Any], tiny: Path
) -> None:
    port = start().address.split(":")[1]
    result = run_llmtool("serve", "-m", tiny, "--port", port)
    assert result.returncode == 2
    assert len(result.stderr.decode().splitlines()) == 1
    assert "address already in use; choose" in result.stderr.decode()


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"sesame", 0o644, "chmod 600"),
        (b"\n \n", 0o600, "has no key"),
        (b"\xff", 0o600, "not UTF-8"),
        (b"sesame\n# of my phone", 0o600, "line 2: not a key"),
        (b"#sesame", 0o600, "line 1: not a key"),
        (b"\nsesame open\n", 0o600, "line 2: not a key"),
        (b"sesame\0", 0o600, "line 1: not a key"),
        (b"a" * 70_000, 0o600, "longer than 65,536 characters"),
        (None, 0, "no such file"),
    ],
)
def test_bad_key_files_are_errors(
    rejected: Callable[..., Any],
    tmp_path: Path,
    content: bytes | None,
    mode: int,
    message: str,
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    result = rejected("--api-key-file", path)
    assert result.returncode in (2, 14)
    assert message in result.stderr.decode()
    assert b"sesame" not in result.stderr


@pytest.mark.parametrize(
    "options",
    [("--host", "0.0.0.0"), ("--host", "::"), ("--cors", "*"), ("--cors", "https://a.example/")],
)
def test_what_would_expose_the_server_is_an_error(
    rejected: Callable[..., Any], options: tuple[str, str]
) -> None:
    assert options[0] in error_line(rejected(*options), 2)


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ("https://a.example:443", "remove :443"),
        ("http://a.example:80", "remove :80"),
        ("https://a.example:65536", "must be a site"),
        ("https://a.example:0443", "must be a site"),
    ],
)
def test_a_site_that_no_browser_sends_is_an_error(
    rejected: Callable[..., Any], origin: str, message: str
) -> None:
    assert message in error_line(rejected("--cors", origin), 2)


def test_a_key_file_may_have_a_byte_order_mark(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_bytes(b"\xef\xbb\xbfsesame-open\r\n\r\n other \r\n")
    keys.chmod(0o600)
    server = start("--api-key-file", keys, "--cors", "https://a.example:8443")
    for key in ("sesame-open", "other"):
        headers = {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(f"{server.url}/v1/models", headers=headers)
        assert urllib.request.urlopen(request, timeout=60).status == 200


def test_ipv6(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = start("--host", "::1")
    assert server.url.startswith("http://[::1]:")
    assert server.get("/v1/models")["data"]


def test_neither_prompts_nor_keys_are_logged(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("sesame-open")
    keys.chmod(0o600)
    server = start("--debug", "--api-key-file", keys)
    for key, messages in (("sesame-open", CANARY), ("sesame-wrong", CANARY), ("sesame-open", [1])):
        body = json.dumps({"messages": [{"role": "user", "content": messages}], "max_tokens": 4})
        headers = {"Authorization": f"Bearer {key}"}
        request = urllib.request.Request(
            f"{server.url}/v1/chat/completions", body.encode(), headers
        )
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=60).read()
    server.process.send_signal(signal.SIGTERM)
    printed = b"".join(server.process.communicate(timeout=30))
    assert CANARY.encode() not in printed
    assert b"sesame" not in printed
