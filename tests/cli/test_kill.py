"""kill -9 at random times: acknowledged data is on disk, and work can be resumed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import linux

from llmtool.config import load_settings
from llmtool.sessions.store import Sessions

Start = Callable[..., subprocess.Popen[bytes]]
# Kills for each seed: a few in every run of the tests, and many with `-m long`.
SEEDS = [(1, 3), *(pytest.param(n, 8, marks=pytest.mark.long) for n in range(2, 10))]
GREEDY = ("--temperature", "0", "--threads", "1")
# Sets one alias after the other and reports each.
SETTER = """
import sys
from pathlib import Path
from llmtool.config import set_value
for i in range(int(sys.argv[2]), 5000):
    set_value(Path(sys.argv[1]), f"aliases.a{i}", "starter")
    print(i, flush=True)
"""


def kill(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Kill a child after some seconds; return its output."""
    time.sleep(seconds)
    process.kill()
    said = process.stdout.read() if process.stdout else b""
    assert process.wait(30) in (0, -signal.SIGKILL)
    return said


def wait_for_growth(path: Path, process: subprocess.Popen[bytes], n_bytes: int = 1) -> None:
    """Wait until a file has grown by this many bytes."""

    def size() -> int:
        return path.stat().st_size if path.exists() else 0

    enough, limit = size() + n_bytes, time.monotonic() + 30
    while size() < enough and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.002)


@linux
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_killed_batch_resumes_to_the_same_file(
    start_llmtool: Start, tiny: Path, tmp_path: Path, seed: int, kills: int
) -> None:
    chance = random.Random(seed)
    source, out, whole = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    source.write_text("".join(f"record {i}\n" for i in range(100 * (kills + 1))))
    common = ["gen", "--each", "line", "--jsonl", "-f", source, "--seed", "3", "-m", tiny]
    common += ["--max-tokens", "4", *GREEDY, "--parallel", "1", "-q"]
    unbroken = start_llmtool(*common, "-o", whole, stdin=subprocess.DEVNULL)
    assert unbroken.wait(60) == 0, unbroken.stderr.read()
    expected = whole.read_bytes()
    grew = 0
    for n in range(kills):
        process = start_llmtool(*common, "-o", out, "--resume", stdin=subprocess.DEVNULL)
        if n % 4:  # the others may end before the first write
            wait_for_growth(out, process, chance.randint(1, len(expected) // 20))
            kill(process, 0)
        else:
            kill(process, chance.uniform(0, 0.4))
        left = out.read_bytes() if out.exists() else b""
        assert expected.startswith(left), "every byte that is there is one of the unbroken run"
        grew += 0 < len(left) < len(expected)
    assert grew >= kills // 2, "most of them were killed at work"
    last = start_llmtool(*common, "-o", out, "--resume", stdin=subprocess.DEVNULL)
    assert last.wait(60) == 0, last.stderr.read()
    assert out.read_bytes() == expected


@linux
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_killed_chat_saves_complete_turns(
    start_llmtool: Start,
    tiny_model: Callable[..., Path],
    env: dict[str, str],
    seed: int,
    kills: int,
) -> None:
    chance = random.Random(seed)
    model = tiny_model("plain", printable=True)
    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    texts = [f"line {i}" for i in range(25)]

    def start(name: str) -> subprocess.Popen[bytes]:
        process = start_llmtool(
            *("chat", "--each", "line", "--session", name, "-m", model, "--max-tokens", "6"),
            *(*GREEDY, "-q"),
        )
        assert process.stdin is not None
        process.stdin.write("".join(f"{text}\n" for text in texts).encode())
        process.stdin.close()
        return process

    unbroken = start("unbroken")
    assert unbroken.wait(60) == 0, unbroken.stderr.read()
    expected = [(turn.user, turn.text) for turn in sessions.load("unbroken").turns]
    assert [text for text, _ in expected] == texts
    size = sessions.path("unbroken").stat().st_size
    n_partial = 0
    for n in range(kills):
        name = f"killed-{n}"
        process = start(name)
        wait_for_growth(sessions.path(name), process, chance.randint(1, size // 3))
        said = kill(process, 0).decode()
        turns = [(turn.user, turn.text) for turn in sessions.load(name).turns]
        whole = turns if turns[-1][1] else turns[:-1]
        assert whole == expected[: len(whole)]
        assert [text for text, _ in turns] == texts[: len(turns)]
        assert len(said.splitlines()) <= len(turns), "acknowledged turns are saved"
        n_partial += 0 < len(turns) < len(texts)
    assert n_partial >= kills // 2, "most were killed while working"
    again = start("killed-0")  # the lock is free
    assert again.wait(60) == 0, again.stderr.read()
    assert [turn.user for turn in sessions.load("killed-0").turns][-len(texts) :] == texts


@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_acknowledged_settings_survive_a_kill(
    env: dict[str, str], tmp_path: Path, seed: int, kills: int
) -> None:
    chance = random.Random(seed)
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("# mine\nthreads = 1  # few\n")
    done = -1
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", SETTER, str(file), str(done + 1)],
            env=env,
            stdout=subprocess.PIPE,
        )
        wait_for_growth(file, process)
        numbers = kill(process, chance.uniform(0, 0.2)).split()
        done = int(numbers[-1]) if numbers else done
        settings = load_settings({}, file)
        assert set(settings.aliases) - {f"a{done + 1}"} == {f"a{i}" for i in range(done + 1)}
        assert file.read_text().startswith("# mine\nthreads = 1  # few\n")
    assert done > kills
