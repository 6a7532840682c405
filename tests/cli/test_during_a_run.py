"""Another command changes models, caches, settings or sessions during a run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line, linux

from llmtool.config import find_folders
from llmtool.models.store import Store
from llmtool.sessions.store import Sessions

Start = Callable[..., Any]
BATCH = ("gen", "--each", "line", "--jsonl", "--temperature", "0", "--threads", "1", "-q")
BATCH += ("--max-tokens", "4", "--seed", "3", "-m", "small")
# Each runs while a batch is at work, and succeeds.
OTHERS = {
    "cache clear": ("cache", "clear"),
    "models rm": ("models", "rm", "small"),
    "models prune": ("models", "prune"),
    "models alias": ("models", "alias", "small", "starter"),
    "config set model": ("config", "set", "model", "starter"),
    "config set": ("config", "set", "max_tokens", "2"),
}


@pytest.fixture
def store(env: dict[str, str], tiny: Path) -> Store:
    made = Store(find_folders(env))
    made.import_file(tiny, name="small")
    return made


@linux
@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_batch_continues_with_the_same_result(
    start_llmtool: Start,
    run_llmtool: Start,
    store: Store,
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    """The prompts share a prefix, so that the batch also writes to the prompt cache."""
    (tmp_path / "in").write_text("".join(f"{'word ' * 60} {i}\n" for i in range(120)))
    batch = (*BATCH, "-f", tmp_path / "in", "-o")
    assert run_llmtool(*batch, tmp_path / "whole.jsonl").returncode == 0
    process = start_llmtool(*batch, tmp_path / "out.jsonl", stdin=subprocess.DEVNULL)
    out = tmp_path / "out.jsonl"
    while process.poll() is None and not (out.exists() and out.stat().st_size):
        time.sleep(0.002)
    assert process.poll() is None
    assert run_llmtool(*words).returncode == 0
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, b"")
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    store.prune()
    assert {path.name for path in store.layout.imported_folder.iterdir()} <= {"small.gguf"}


def test_model_removed_before_it_is_loaded_is_not_found(
    run_llmtool: Start, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtool.engine.llama import preflight

    plain = preflight.preflight

    def remove(*args: Any, **options: Any) -> Any:
        store.remove("small")
        return plain(*args, **options)

    monkeypatch.setattr(preflight, "preflight", remove)
    error_line(run_llmtool("gen", "hello", "-m", "small", "--max-tokens", "2"), 10)


def test_model_removed_while_it_is_loaded_is_reported(
    run_llmtool: Start, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtool.engine.llama import model

    plain = model.load_model

    def remove(*args: Any, **options: Any) -> Any:
        loaded = plain(*args, **options)
        store.remove("small")
        return loaded

    monkeypatch.setattr(model, "load_model", remove)
    error_line(run_llmtool("gen", "hello", "-m", "small", "--max-tokens", "2"), 11)


def test_open_session_is_not_removed(
    start_llmtool: Start, run_llmtool: Start, store: Store, env: dict[str, str]
) -> None:
    chat = ("chat", "--each", "line", "--session", "work", "-m", "small", "--max-tokens", "3")
    process = start_llmtool(*chat)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline()
    assert "open in another process" in error_line(run_llmtool("sessions", "rm", "work"), 18)
    second = run_llmtool(*chat, input=b"three\n")
    assert "open in another process" in error_line(second, 18)
    assert run_llmtool("models", "rm", "small").returncode == 0
    process.stdin.write(b"two\n")
    process.stdin.close()
    assert process.wait(60) == 0
    turns = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions")).load("work").turns
    assert [turn.user for turn in turns] == ["one", "two"]


def test_two_writers_of_an_alias_lose_nothing(start_llmtool: Start, store: Store) -> None:
    running = [
        start_llmtool("models", "alias", name, "small", stdin=subprocess.DEVNULL)
        for name in ("same", "same", "a", "b")
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    assert set(store.aliases()) == {"same", "a", "b"}
