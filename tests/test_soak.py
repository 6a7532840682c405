"""Long batches and chats do not leak memory, descriptors, threads or disk space."""

from __future__ import annotations

import gc
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from command import linux

from llmtool.config import Folders, Settings
from llmtool.sessions.store import Sessions
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.options import ChatOptions, SamplingOptions
from llmtool.toolbox import Toolbox

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), linux]

RECORDS, TURNS = 10_200, 210
PORTION = 200  # lines that fit in the buffer of a pipe
CACHE_MB = 1
RULE = "You repeat the message word for word. "  # repeated, so that the prefix cache stores it
# Over 6,800 records, 46 bytes per record; measured: 0.00 to 0.03, in addition to the table of
# earlier answers (`tasks/pipeline/duplicates.py`): 420 and 310 bytes per record, at most 8 MB.
MAX_BATCH_GROWTH_MB = 0.3
ANSWERS_MB = {"gen": 2.8, "classify": 2.0}
# Over 140 turns; measured: 0 to 0.45, including the session, and once a step of 1.0, the size of an
# arena of Python's allocator.
MAX_CHAT_GROWTH_MB = 2.0


class Resources(NamedTuple):
    """The resources of a process."""

    anonymous_mb: float  # excludes file pages, which the system evicts at will
    n_descriptors: int
    n_threads: int


def resources_of(pid: int | str = "self") -> Resources:
    """Return the resources of a process, as reported by the kernel."""
    process = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    anonymous_kb = int(status["RssAnon"].split()[0])
    listed = os.listdir(process / "fd")
    return Resources(anonymous_kb / 1024, len(listed) - (pid == "self"), int(status["Threads"]))


def batch(process: subprocess.Popen[bytes], first: int, last: int) -> list[dict[str, object]]:
    """Send records and wait for all their rows, so that none is in flight afterwards.

    All records have the same length, since the context grows with the longest.
    """
    assert process.stdin is not None and process.stdout is not None
    rows = []
    for begin in range(first, last, PORTION):
        lines = [f"parcel {n:05} arrived\n" for n in range(begin, min(begin + PORTION, last))]
        process.stdin.write("".join(lines).encode())
        process.stdin.flush()
        rows += [json.loads(process.stdout.readline()) for _ in lines]
    return rows


@pytest.mark.parametrize(
    "args",
    [
        ["gen", "--max-tokens", "3", "--temperature", "0", "Repeat this.", "-s", RULE * 8],
        ["classify", "-l", "late,early,lost"],
    ],
    ids=lambda args: args[0],
)
def test_long_batch_does_not_leak(
    start_llmtool: Callable[..., subprocess.Popen[bytes]],
    tiny: Path,
    env: dict[str, str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    args: list[str],
) -> None:
    cache = Path(env["LLMTOOL_CACHE_DIR"])
    env["LLMTOOL_PREFIX_CACHE_MB"] = str(CACHE_MB)
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        process = start_llmtool(
            *args, "-q", "--each", "line", "--jsonl", "-m", tiny, "--threads", "1", stderr=stderr
        )
        rows = batch(process, 0, RECORDS // 3)
        warm, warm_bytes = resources_of(process.pid), size_of(cache)
        rows += batch(process, RECORDS // 3, RECORDS)
        end, end_bytes = resources_of(process.pid), size_of(cache)
        process.communicate(timeout=60)
    record_property("resources", f"{warm} -> {end}, cache {warm_bytes} -> {end_bytes}")
    assert (process.returncode, errors.read_bytes()) == (0, b"")
    assert len(rows) == RECORDS
    assert not [row for row in rows if row.get("error")]
    assert end.n_descriptors == warm.n_descriptors
    assert end.n_threads == warm.n_threads
    assert end.anonymous_mb - warm.anonymous_mb < ANSWERS_MB[args[0]] + MAX_BATCH_GROWTH_MB
    assert 0 < warm_bytes == end_bytes <= CACHE_MB * 10**6


@pytest.mark.parametrize("overflow", ["drop", "summarize"])
@pytest.mark.parametrize("kind", ["plain", "swa", "recurrent", "hybrid"])
def test_long_chat_does_not_leak(
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    kind: str,
    overflow: str,
) -> None:
    model = tiny_model(kind, printable=True)
    folders = Folders(
        **{name: tmp_path / name for name in ("config", "data", "cache", "hub_cache")}
    )
    settings = Settings(prefix_cache_mb=CACHE_MB)
    notes: list[str] = []
    cached = 0
    before = resources_of()
    n_threads = 2 if kind == "plain" else 1  # on a busy machine, two slow down a tiny model
    with Toolbox(
        model, n_ctx=1024, n_threads=n_threads, folders=folders, settings=settings, environ={}
    ) as box:
        # The first summary that exceeds the context allocates memory; do that before measuring.
        box.summarize("A parcel came with letters and a small box. " * 60, length="long")
        store = Sessions(tmp_path / "sessions")
        options = ChatOptions(sampling=SamplingOptions(max_tokens=24))
        with Chat(
            box.context,
            options,
            store=store,
            session="soak",
            overflow=overflow,  # type: ignore[arg-type]
            on_note=notes.append,
        ) as chat:
            for n in range(TURNS):
                if n == TURNS // 3:
                    warm = resources()
                turn = chat.say(f"Parcel {n:03} came with {n % 7} letters and a small box.")
                cached += turn.cached_tokens
                if n % 5 == 0:
                    chat.save_state()
                    assert size_of(folders.cache / "prefix") <= CACHE_MB * 10**6
            end = resources()
            assert len(store.load("soak").turns) == TURNS
    record_property("resources", f"{warm} -> {end}, {len(notes)} overflows")
    assert len(notes) >= 10
    assert any("summary" in note for note in notes) == (overflow == "summarize")
    assert not [note for note in notes if "not saved" in note or "no summary" in note]
    assert cached > TURNS
    assert end.n_descriptors == warm.n_descriptors
    assert end.n_threads == warm.n_threads
    assert end.anonymous_mb - warm.anonymous_mb < MAX_CHAT_GROWTH_MB
    after = resources()
    assert after.n_descriptors <= before.n_descriptors
    assert after.n_threads <= before.n_threads + 1  # OpenMP retains its threads for the next model


def resources() -> Resources:
    gc.collect()
    return resources_of()


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
