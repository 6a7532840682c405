"""The command and the Hub: a model is fetched on demand, shown, and used from the cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command import LLMTOOL, error_line
from hub.conftest import REPO
from hub.hub_server import FakeHub
from terminal.screen import Terminal

Run = Callable[..., Any]
TINY = "org/tiny-GGUF"


def online(hub: FakeHub) -> dict[str, str | None]:
    return {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": None, "NO_PROXY": "*"}


def test_a_named_model_is_fetched_used_and_found_again(
    run_llmtool: Run, hub: FakeHub, tiny: Path
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    ask = ("gen", "hello", "-m", TINY, "--temperature", "0", "--max-tokens", "5", "--threads", "1")
    first = run_llmtool(*ask, env=online(hub))
    assert first.returncode == 0, first.stderr.decode()
    assert f"fetching {TINY}" in first.stderr.decode()
    asked = len(hub.seen)
    again = run_llmtool(*ask)  # offline, as the isolated environment is
    assert again.stdout == first.stdout
    assert b"fetching" not in again.stderr
    assert len(hub.seen) == asked
    (listed,) = [
        m for m in json.loads(run_llmtool("models", "ls", "--json").stdout) if m["source"] == "hub"
    ]
    assert listed["repo"] == TINY and listed["quant"] == "Q4_K_M"


def test_a_dry_run_says_what_would_be_fetched(run_llmtool: Run, hub: FakeHub) -> None:
    result = run_llmtool("models", "pull", REPO, "--dry-run", "--json", env=online(hub))
    plan = json.loads(result.stdout)
    assert (plan["missing_bytes"], plan["fits_disk"]) == (3_000_000, True)
    assert plan["files"][0]["path"] == "model-Q4_K_M.gguf"
    text = run_llmtool("models", "pull", REPO, "--dry-run", env=online(hub)).stdout.decode()
    assert "to fetch\t3.0 MB" in text
    assert not [seen for seen in hub.seen if seen.where == "cdn"]


def test_a_url_of_the_configured_hub_is_a_reference(run_llmtool: Run, hub: FakeHub) -> None:
    url = f"{hub.url}/{REPO}"
    result = run_llmtool("models", "pull", url, "--dry-run", "--json", env=online(hub))
    assert json.loads(result.stdout)["repo"] == REPO, result.stderr.decode()


def test_a_missing_repository_is_one_line(run_llmtool: Run, hub: FakeHub) -> None:
    line = error_line(run_llmtool("gen", "hi", "-m", "org/none", env=online(hub)), 10)
    assert "org/none" in line and "or private" in line


def test_a_download_shows_a_bar_on_a_terminal(
    env: dict[str, str], hub: FakeHub, tiny: Path
) -> None:
    hub.add(TINY, {"tiny-Q4_K_M.gguf": tiny.read_bytes()})
    merged = {**env, **{k: v for k, v in online(hub).items() if v is not None}}
    del merged["HF_HUB_OFFLINE"]
    with Terminal([*LLMTOOL, "models", "pull", TINY], merged, columns=70) as terminal:
        assert terminal.exit_status == 0
        rows = [row.rstrip() for row in terminal.screen() if row.strip()]
    assert rows[0].startswith(f"llmtool: fetching {TINY}: ")
    assert "tiny-Q4_K_M.gguf" in "".join(rows)
    assert "%" not in "".join(rows), "the bar goes away when it is done"
