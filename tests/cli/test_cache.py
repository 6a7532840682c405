"""`llmtool cache`: listing and clearing cached prompts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtool.engine.llama.prompt_cache.store import PrefixCache
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn
from llmtool.tasks.pipeline.disk_cache import DiskCache

Run = Callable[..., Any]
A, B = "a" * 64, "b" * 64


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


@pytest.fixture
def cache(env: dict[str, str]) -> PrefixCache:
    """A cache with two prefixes; the second was used last."""
    made = PrefixCache(Path(env["LLMTOOL_CACHE_DIR"], "prefix"), limit_bytes=10**8)
    made.store(A, bytes(2_000_000), note={"model": "starter", "n_tokens": 70})
    made.store(B, bytes(1_000_000), note={"model": "org/name:Q4_K_M", "n_tokens": 1200})
    noon = 1_750_000_000
    for key, used in ((A, noon), (B, noon + 60)):
        os.utime(made.folder / f"{key}.prefix", (used, used))
    return made


def test_ls_is_tab_separated_most_recently_used_first(run_llmtool: Run, cache: PrefixCache) -> None:
    result = run_llmtool("cache", "ls", env={"TZ": "UTC"})
    assert out(result).splitlines() == [
        "org/name:Q4_K_M\t1200\t1.0 MB\t2025-06-15 15:07",
        "starter\t70\t2.0 MB\t2025-06-15 15:06",
    ]
    assert result.stderr.decode() == "llmtool: 3.0 MB of at most 512.0 MB\n"


def test_ls_as_json_has_sizes_and_times(run_llmtool: Run, cache: PrefixCache) -> None:
    value = json.loads(out(run_llmtool("cache", "ls", "--json", env={"TZ": "Asia/Tokyo"})))
    assert value["path"] == str(cache.folder)
    assert value["limit_bytes"] == 512_000_000
    assert value["size_bytes"] == sum(e.size_bytes for e in cache.entries())
    assert [entry["model"] for entry in value["entries"]] == ["org/name:Q4_K_M", "starter"]
    assert value["entries"][1] == {
        "key": A,
        "model": "starter",
        "n_tokens": 70,
        "size_bytes": cache.entries()[1].size_bytes,
        "last_used": "2025-06-15T15:06:40Z",
    }


def test_clear_reports_the_freed_size(run_llmtool: Run, cache: PrefixCache) -> None:
    result = run_llmtool("cache", "clear")
    assert (out(result), result.stderr) == ("", b"llmtool: freed 3.0 MB: 2 files\n")
    assert cache.entries() == []


def test_clear_removes_cached_test_replies(
    run_llmtool: Run, env: dict[str, str], cache: PrefixCache
) -> None:
    folder = Path(env["LLMTOOL_CACHE_DIR"], "tests")
    replies = DiskCache(folder, limit=None)
    replies.save(A, "a" * 999_998)  # and two quotes
    (folder / "notes.txt").write_text("mine")
    assert b"would free 4.0 MB: 3 files" in run_llmtool("cache", "clear", "--dry-run").stderr
    assert replies.load(A, str)
    assert run_llmtool("cache", "clear").stderr == b"llmtool: freed 4.0 MB: 3 files\n"
    assert replies.load(A, str) is None
    assert (folder / "notes.txt").read_text() == "mine"


def test_dry_run_removes_nothing(run_llmtool: Run, cache: PrefixCache) -> None:
    result = run_llmtool("cache", "clear", "--dry-run")
    assert (out(result), result.stderr) == ("", b"llmtool: would free 3.0 MB: 2 files\n")
    assert len(cache.entries()) == 2


def test_clear_removes_what_servers_support(run_llmtool: Run, env: dict[str, str]) -> None:
    path = Path(env["LLMTOOL_CACHE_DIR"], "servers", "gpu.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}")
    assert run_llmtool("cache", "clear", "--dry-run").returncode == 0 and path.exists()
    assert b"freed 2 B: 1 file" in run_llmtool("cache", "clear").stderr
    assert not path.exists()


def test_clear_removes_the_session_index_but_no_sessions(
    run_llmtool: Run, env: dict[str, str]
) -> None:
    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    sessions.save(Session(name="work", turns=(Turn(user="heron"),)))
    assert out(run_llmtool("sessions", "search", "heron"))
    index = Path(env["LLMTOOL_CACHE_DIR"], "sessions.db")
    assert b"would free" in run_llmtool("cache", "clear", "--dry-run").stderr
    assert index.exists()
    assert json.loads(out(run_llmtool("cache", "clear", "--json")))["files"] == 1
    assert not index.exists() and sessions.names() == ["work"]


@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_clear_as_json(run_llmtool: Run, cache: PrefixCache, flags: list[str]) -> None:
    size = sum(entry.size_bytes for entry in cache.entries())
    result = run_llmtool("cache", "clear", "--json", "-q", *flags)
    assert json.loads(out(result)) == {"files": 2, "size_bytes": size}
    assert result.stderr == b""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ls"], "the cache is empty"),
        (["clear"], "the cache is empty"),
        (["clear", "--dry-run"], "the cache is empty"),
    ],
    ids=" ".join,
)
def test_empty_cache_succeeds(
    run_llmtool: Run, env: dict[str, str], args: list[str], said: str
) -> None:
    result = run_llmtool("cache", *args)
    assert out(result) == ""
    assert said in result.stderr.decode() and result.stderr.count(b"\n") == 1
    assert os.listdir(env["LLMTOOL_CACHE_DIR"]) == ["checked"]  # of the fixture


def test_empty_cache_is_empty_json(run_llmtool: Run) -> None:
    assert json.loads(out(run_llmtool("cache", "ls", "--json")))["entries"] == []
    assert json.loads(out(run_llmtool("cache", "clear", "--json"))) == {"files": 0, "size_bytes": 0}


def test_ls_reports_a_disabled_cache(run_llmtool: Run, cache: PrefixCache) -> None:
    result = run_llmtool("cache", "ls", env={"LLMTOOL_PREFIX_CACHE_MB": "0"})
    assert len(out(result).splitlines()) == 2
    assert b"the cache is disabled (prefix_cache_mb = 0)" in result.stderr


def test_prefix_without_a_note_is_listed(run_llmtool: Run, cache: PrefixCache) -> None:
    cache.clear()
    cache.store(A, b"", note={})
    assert out(run_llmtool("cache", "ls")).startswith("-\t-\t")
    (entry,) = json.loads(out(run_llmtool("cache", "ls", "--json")))["entries"]
    assert (entry["model"], entry["n_tokens"]) == (None, None)


def test_control_characters_in_model_names_are_escaped(
    run_llmtool: Run, cache: PrefixCache
) -> None:
    cache.clear()
    cache.store(A, b"", note={"model": "a\tb\nc", "n_tokens": 1})
    (line,) = out(run_llmtool("cache", "ls")).splitlines()
    assert line.startswith("a b c\t1\t")


def test_group_without_a_command_prints_its_help(run_llmtool: Run) -> None:
    assert out(run_llmtool("cache")) == out(run_llmtool("cache", "--help"))
