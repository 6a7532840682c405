"""Commands that use the Hub: download on demand, the cache, offline mode, signals, the token."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line
from hub.conftest import REPO, TOKEN
from hub.hub_server import FakeHub, wait_until
from json_page import object_mismatches
from terminal.screen import Terminal

from llmtool.models.hub import retry
from llmtool.models.hub.retry import RetryPolicy

Run = Callable[..., Any]
TINY = "org/tiny-GGUF"


def online(hub: FakeHub) -> dict[str, str | None]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "NO_PROXY": "*"}


def test_model_is_downloaded_once_and_then_used_offline(
    run_llmtool: Run, hub: FakeHub, tiny: Path
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    command = (
        "gen",
        "hello",
        "-m",
        TINY,
        "--temperature",
        "0",
        "--max-tokens",
        "5",
        "--threads",
        "1",
    )
    first = run_llmtool(*command, env=online(hub))
    assert first.returncode == 0, first.stderr.decode()
    assert f"downloading {TINY}" in first.stderr.decode()
    n_requests = len(hub.seen)
    again = run_llmtool(*command)  # the test environment is offline
    assert again.stdout == first.stdout
    assert b"downloading" not in again.stderr
    assert len(hub.seen) == n_requests
    (listed,) = [
        m for m in json.loads(run_llmtool("models", "ls", "--json").stdout) if m["source"] == "hub"
    ]
    assert listed["repo"] == TINY and listed["quant"] == "Q4_K_M"


def test_dry_run_prints_plan(run_llmtool: Run, hub: FakeHub) -> None:
    result = run_llmtool("models", "pull", REPO, "--dry-run", "--json", env=online(hub))
    plan = json.loads(result.stdout)
    assert object_mismatches(plan, "models pull --dry-run") == []
    assert (plan["missing_bytes"], plan["fits_disk"]) == (3_000_000, True)
    assert plan["files"][0]["path"] == "model-Q4_K_M.gguf"
    text = run_llmtool("models", "pull", REPO, "--dry-run", env=online(hub)).stdout.decode()
    assert "download\t3.0 MB" in text
    assert not [seen for seen in hub.seen if seen.where == "cdn"]


def test_pull_lists_repository_once(run_llmtool: Run, hub: FakeHub) -> None:
    assert run_llmtool("models", "pull", REPO, env=online(hub)).returncode == 0
    assert [seen.where for seen in hub.seen] == ["api", "resolve", "cdn"]


def test_url_of_configured_hub_is_accepted(run_llmtool: Run, hub: FakeHub) -> None:
    url = f"{hub.url}/{REPO}"
    result = run_llmtool("models", "pull", url, "--dry-run", "--json", env=online(hub))
    assert json.loads(result.stdout)["repo"] == REPO, result.stderr.decode()


def test_missing_repository_error_is_one_line(run_llmtool: Run, hub: FakeHub) -> None:
    line = error_line(run_llmtool("gen", "hi", "-m", "org/none", env=online(hub)), 10)
    assert "org/none not found on" in line and "if private" in line


def test_download_shows_progress_bar_on_terminal(
    env: dict[str, str], hub: FakeHub, tiny: Path
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    merged = {**env, **{k: v for k, v in online(hub).items() if v is not None}}
    del merged["HF_HUB_OFFLINE"]
    with Terminal([*LLMTOOL, "models", "pull", TINY], merged, columns=70) as terminal:
        assert terminal.exit_status == 0
        rows = [row.rstrip() for row in terminal.screen() if row.strip()]
    assert rows[0].startswith(f"llmtool: downloading {TINY}: ")
    assert "tiny-Q4_K_M.gguf" in "".join(rows)
    assert "%" not in "".join(rows), "the bar is removed at the end"


SHORT = ("--max-tokens", "4", "--threads", "1")
CALLS = {
    "gen": ("gen", "hello", *SHORT),
    "run": ("run", "title", *SHORT),
    "classify": ("classify", "hello", "-l", "good,bad"),
    "sum": ("sum", "-", *SHORT),
    "translate": ("translate", "hello", "--to", "de", *SHORT),
    "code": ("code", "a list", "-l", "python", *SHORT),
    "chat": ("chat", "hello", *SHORT),
    "bench": ("bench", "--quick"),
}


@pytest.fixture
def used_sockets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the calls for a connection, each of which fails."""
    used: list[str] = []

    def refuse(name: str, *_: object) -> None:
        used.append(name)
        raise OSError(f"{name} is refused")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, partial(refuse, name))
    monkeypatch.setattr(socket, "getaddrinfo", partial(refuse, "getaddrinfo"))
    return used


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_command_with_cached_model_opens_no_connection(
    run_llmtool: Run,
    hub: FakeHub,
    tiny: Path,
    call: tuple[str, ...],
    request: pytest.FixtureRequest,
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    assert run_llmtool("models", "pull", TINY, env=online(hub)).returncode == 0
    seen = len(hub.seen)
    used = request.getfixturevalue("used_sockets")
    done = run_llmtool(*call, "-m", TINY, input=b"The river rose.", env=online(hub))
    assert done.returncode in (0, 17), done.stderr.decode()
    assert used == [] and len(hub.seen) == seen


def test_download_opens_a_connection(
    run_llmtool: Run, hub: FakeHub, used_sockets: list[str]
) -> None:
    assert run_llmtool("models", "pull", REPO, env=online(hub)).returncode == 16
    assert used_sockets and hub.seen == []


@pytest.mark.parametrize("call", [("models", "pull"), *CALLS.values()], ids=["pull", *CALLS])
def test_offline_option_makes_no_request(
    run_llmtool: Run, hub: FakeHub, tiny: Path, used_sockets: list[str], call: tuple[str, ...]
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    named = (TINY,) if call[0] == "models" else ("-m", TINY)
    done = run_llmtool(*call, *named, "--offline", "-q", input=b"The river rose.", env=online(hub))
    assert TINY in error_line(done, 10)
    assert used_sockets == [] and hub.seen == []


@pytest.mark.parametrize(
    "call",
    [
        ("models", "pull"),
        CALLS["gen"],
        *(pytest.param(call, marks=pytest.mark.long) for call in list(CALLS.values())[1:]),
    ],
    ids=["pull", *CALLS],
)
def test_signal_ends_download(
    start_llmtool: Run, hub: FakeHub, env: dict[str, str], call: tuple[str, ...]
) -> None:
    merged = {**env, **{k: v for k, v in online(hub).items() if v is not None}}
    del merged["HF_HUB_OFFLINE"]
    reference = (REPO,) if call[0] == "models" else ("-m", REPO)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        hub.fail("cdn", "stall", after=600_000)
        before = hub.count("cdn")
        process = start_llmtool(*call, *reference, env=merged, stdin=subprocess.PIPE)
        process.stdin.write(b"The river rose.")
        process.stdin.close()
        process.stdin = None
        wait_until(lambda before=before: hub.count("cdn") > before)
        time.sleep(0.2)
        process.send_signal(number)
        out, error = process.communicate(timeout=10)
        assert (process.returncode, out) == (-number, b""), error.decode()
        assert b"Traceback" not in error


# Permanent server faults for which the command exits with 16.
FAULTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "corrupt": ("cdn", "corrupt", {}),
    "too short": ("cdn", "short", {}),
    "too long": ("cdn", "long", {}),
    "cut": ("cdn", "cut", {"after": 0}),
    "reset": ("cdn", "reset", {"after": 0}),
    "closed": ("resolve", "close", {}),
    "not a hub": ("api", "html", {}),
    "signed URL rejected": ("cdn", "status", {"status": 403}),
    "redirect loop": (
        "api",
        "status",
        {"status": 307, "headers": {"Location": f"/api/models/{REPO}"}},
    ),
    "redirect to a file": (
        "resolve",
        "status",
        {"status": 302, "headers": {"Location": "file:///etc/x"}},
    ),
    **{
        f"{status} from {where}": (where, "status", {"status": status, "headers": headers})
        for where in ("api", "resolve", "cdn")
        for status, headers in ((429, {"Retry-After": "3600"}), (503, {"Retry-After": "0"}))
    },
}


@pytest.mark.parametrize(
    ("fault", "code"),
    [("rejected", 16), ("gated", 16), ("missing", 10), ("full disk", 16)]
    + [(fault, 16) for fault in FAULTS],
)
def test_errors_do_not_show_the_token(
    run_llmtool: Run,
    run_llmtool_process: Run,
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    code: int,
) -> None:
    monkeypatch.setattr(retry, "RetryPolicy", partial(RetryPolicy, backoff_seconds=0.01))
    if fault == "rejected":
        hub.bad_tokens.add(TOKEN)
    elif fault in FAULTS:
        where, kind, fields = FAULTS[fault]
        hub.fail(where, kind, times=99, **fields)
    hub.add("org/gated", {"a-Q4_K_M.gguf": b"GGUF"}, gated=True, allowed=())
    name = {"gated": "org/gated", "missing": "org/none"}.get(fault, REPO)
    variables = {**online(hub), "HF_TOKEN": TOKEN}

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    pull = ("models", "pull", name, "--debug")
    if fault == "full disk":
        done = run_llmtool_process(*pull, env=variables, preexec_fn=limit_file_size, timeout=120)
    else:
        done = run_llmtool(*pull, env=variables)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" in done.stderr, "--debug prints a traceback"
    assert TOKEN.encode() not in done.stdout + done.stderr
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert TOKEN.encode() not in path.read_bytes()


TELEMETRY = """import sys
from huggingface_hub.utils import _telemetry, send_telemetry
send_telemetry("llmtool/test")
if _telemetry._TELEMETRY_THREAD is not None:
    _telemetry._TELEMETRY_QUEUE.join()
"""


@pytest.mark.parametrize("is_ours", [True, False], ids=["with llmtool", "library only"])
@pytest.mark.parametrize("setting", [None, "0"])
def test_library_telemetry_is_disabled(
    hub: FakeHub, env: dict[str, str], is_ours: bool, setting: str | None
) -> None:
    merged = {**env, **{k: v for k, v in online(hub).items() if v is not None}}
    del merged["HF_HUB_OFFLINE"]
    if setting is not None:
        merged["HF_HUB_DISABLE_TELEMETRY"] = setting
    first = (
        "from llmtool.models.hub.client import load_library; load_library()\n" if is_ours else ""
    )
    done = subprocess.run(
        [sys.executable, "-c", first + TELEMETRY], env=merged, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    paths = {seen.path for seen in hub.seen}
    assert paths == set() if is_ours else "/api/telemetry/llmtool/test" in paths


def test_pull_sends_only_expected_requests(run_llmtool: Run, hub: FakeHub, tiny: Path) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes(), "README.md": b"# Tiny"})
    telemetry = {"HF_HUB_DISABLE_TELEMETRY": "0", "HF_HUB_USER_AGENT_ORIGIN": None}
    done = run_llmtool("models", "pull", TINY, env={**online(hub), **telemetry})
    assert done.returncode == 0, done.stderr.decode()
    expected = rf"/api/models/{TINY}(\?|/revision/).*|/{TINY}/resolve/.*\.gguf"
    for seen in hub.seen:
        assert seen.where == "cdn" or re.fullmatch(expected, seen.path), seen.path
        assert re.fullmatch(r"llmtool/[\d.]+; hf_hub/\S+; python/\S+", seen.headers["user-agent"])


def test_model_with_unusual_name_is_pulled_listed_and_removed(
    run_llmtool: Run, hub: FakeHub, tiny: Path
) -> None:
    names = ("Acme-9B-MTP-Q4_K_M.gguf", "Acme-9B-MTP-Q4_K_P.gguf", "mmproj-Acme-9B-BF16.gguf")
    hub.add("org/acme", {name: tiny.read_bytes() + name.encode() for name in names})
    requests = {
        "org/acme": names[0],
        "org/acme:q4_k_p": names[1],
        "org/acme/acme-9b-mtp-Q4_K_P.GGUF": names[1],
        "org/acme:MMPROJ-acme-9b-bf16.gguf": names[2],
    }
    for reference, name in requests.items():
        result = run_llmtool("models", "pull", "-q", reference, env=online(hub))
        assert result.stdout.decode().rpartition("/")[2] == f"{name}\n", result.stderr.decode()
    listed = run_llmtool("models", "ls").stdout.decode()
    assert "org/acme:Q4_K_M\t" in listed and "org/acme:Q4_K_P\t" in listed
    for reference in ("org/acme:Q4_K_P", "org/acme/ACME-9b-mtp-q4_k_m.gguf"):
        assert run_llmtool("models", "rm", reference).returncode == 0
    assert "org/acme" not in run_llmtool("models", "ls").stdout.decode()
