"""kill -9 at random times: acknowledged data is on disk, and work can be resumed."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import linux
from fake_server import FakeServer, fake_server, say
from fork_server import start as start_process

from llmtool.config import Folders, load_settings
from llmtool.engine.llama.passed_check import PassedCheck
from llmtool.engine.llama.prompt_cache.store import PrefixCache
from llmtool.models import registry
from llmtool.models.store import Store
from llmtool.sessions.search import search
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Turn
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.temporary import SUFFIX

Start = Callable[..., subprocess.Popen[bytes]]
Record = Callable[[str, object], None]
# Kills for each seed: a few in every run of the tests, and many with `-m long`.
SEEDS = [(1, 3), *(pytest.param(n, 25, marks=pytest.mark.long) for n in range(2, 10))]
GREEDY = ("--temperature", "0", "--threads", "1")


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with fake_server() as server:
        yield server


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
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_killed_batch_resumes_to_the_same_file(
    start_llmtool: Start,
    tiny: Path,
    tmp_path: Path,
    record_property: Record,
    seed: int,
    kills: int,
) -> None:
    chance = random.Random(seed)
    source, out, whole = tmp_path / "in", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    source.write_text("".join(f"record {i}\n" for i in range(100 * (kills + 1))))
    common = ["gen", "--each", "line", "--jsonl", "-f", source, "--seed", "3", "-m", tiny]
    common += ["--max-tokens", "4", *GREEDY, "--parallel", "1", "-q"]
    unbroken = start_llmtool(*common, "-o", whole, stdin=subprocess.DEVNULL)
    assert unbroken.wait(300) == 0, unbroken.stderr.read()
    expected = whole.read_bytes()
    grew = n = n_live = 0
    while n_live < kills:
        process = start_llmtool(*common, "-o", out, "--resume", stdin=subprocess.DEVNULL)
        if n % 4:  # the others may end before the first write
            wait_for_growth(out, process, chance.randint(1, len(expected) // (17 + kills)))
            kill(process, 0)
        else:
            kill(process, chance.uniform(0, 0.4))
        n, n_live = n + 1, n_live + (process.returncode != 0)
        left = out.read_bytes() if out.exists() else b""
        assert expected.startswith(left), "every byte that is there is one of the unbroken run"
        grew += 0 < len(left) < len(expected)
        assert n <= 2 * kills, "most runs were killed before their end"
    record_property("live kills: batch", n_live)
    assert grew >= kills // 2, "most of them were killed at work"
    last = start_llmtool(*common, "-o", out, "--resume", stdin=subprocess.DEVNULL)
    assert last.wait(300) == 0, last.stderr.read()
    assert out.read_bytes() == expected


@linux
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_killed_chat_saves_complete_turns(
    start_llmtool: Start,
    tiny_model: Callable[..., Path],
    env: dict[str, str],
    record_property: Record,
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
    assert unbroken.wait(300) == 0, unbroken.stderr.read()
    expected = [(turn.user, turn.text) for turn in sessions.load("unbroken").turns]
    assert [text for text, _ in expected] == texts
    size = sessions.path("unbroken").stat().st_size
    n_partial = n = n_live = 0
    while n_live < kills:
        name = f"killed-{n}"
        process = start(name)
        wait_for_growth(sessions.path(name), process, chance.randint(1, size // 3))
        said = kill(process, 0).decode()
        n, n_live = n + 1, n_live + (process.returncode != 0)
        turns = [(turn.user, turn.text) for turn in sessions.load(name).turns]
        whole = turns if turns[-1][1] else turns[:-1]
        assert whole == expected[: len(whole)]
        assert [text for text, _ in turns] == texts[: len(turns)]
        assert len(said.splitlines()) <= len(turns), "acknowledged turns are saved"
        n_partial += 0 < len(turns) < len(texts)
        assert n <= 2 * kills, "most runs were killed before their end"
    record_property("live kills: chat", n_live)
    assert n_partial >= kills // 2, "most were killed while working"
    again = start("killed-0")  # the lock is free
    assert again.wait(300) == 0, again.stderr.read()
    assert [turn.user for turn in sessions.load("killed-0").turns][-len(texts) :] == texts


@linux
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_new", [False, True], ids=["existing", "new"])
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
def test_killed_test_of_generated_code_leaves_the_original(
    start_llmtool: Start,
    fake: FakeServer,
    env: dict[str, str],
    tmp_path: Path,
    record_property: Record,
    seed: int,
    kills: int,
    is_new: bool,
) -> None:
    fake.script(say("```python\ndef is_even(n):\n    return n % 2 == 0\n```"))
    chance, folder = random.Random(seed), tmp_path / "work"
    folder.mkdir()
    file = folder / "even.py"
    original = None if is_new else (b"old", 0o640)

    def state() -> tuple[bytes, int] | None:
        return (file.read_bytes(), file.stat().st_mode & 0o777) if file.exists() else None

    if original is not None:
        file.write_bytes(original[0])
        file.chmod(original[1])
    n_tested = 0
    for n in range(kills):
        passed = tmp_path / f"passed-{n}"
        process = start_llmtool(
            *(
                "code",
                "a function is_even(n)",
                "-l",
                "python",
                "-m",
                "tiny",
                "--base-url",
                fake.url,
            ),
            *("-o", file, "--overwrite", "--repair", "0"),
            *("--run-tests", f"sleep 5; touch {passed}"),
            env={**env, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"},
            stdin=subprocess.DEVNULL,  # else the command waits a moment for input
        )
        while process.poll() is None and state() == original:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.5))
        n_tested += state() != original
        kill(process, 0)
        assert process.returncode == -signal.SIGKILL
        assert not passed.exists(), "the code was not confirmed, else it remains"
        end = time.monotonic() + 30
        while state() != original and time.monotonic() < end:
            time.sleep(0.002)
        assert state() == original
        assert [*folder.iterdir()] == ([] if is_new else [file])
    record_property("live kills: code --run-tests", kills)
    assert n_tested == kills


@linux
@pytest.mark.parametrize(
    "last",
    ["subprocess.Popen", "shutil.copyfileobj", "os.fsync", "shutil.copystat", "os.write"],
)
@pytest.mark.parametrize("is_new", [False, True], ids=["existing", "new"])
def test_process_killed_while_it_copies_the_original_leaves_only_the_original(
    tmp_path: Path, env: dict[str, str], last: str, is_new: bool
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    file = folder / "even.py"
    if not is_new:
        file.write_bytes(b"old")
    module, name = last.split(".")
    script = f"""
import {module}, os, pathlib, signal, sys
from llmtool.tasks.code.originals import Original
last = {last}
def killed(*arguments, **options):
    {module}.{name} = last
    last(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
{module}.{name} = killed
Original(pathlib.Path(sys.argv[1], "even.py"))
os.kill(os.getpid(), signal.SIGKILL)  # nothing is copied
"""
    done = subprocess.run([sys.executable, "-c", script, folder], env=env, timeout=60)
    assert done.returncode == -signal.SIGKILL
    expected = [] if is_new else [file]
    end = time.monotonic() + 30
    while [*folder.iterdir()] != expected and time.monotonic() < end:
        time.sleep(0.002)
    assert [*folder.iterdir()] == expected
    assert is_new or file.read_bytes() == b"old"


# Repeats one kind of write, and reports each that is complete. `sys.argv`: a folder, what was done.
WRITERS = {
    "settings": """
from llmtool.config import set_value
def write(folder, i):
    set_value(folder / "config.toml", f"aliases.a{i}", "starter")
""",
    "sessions": """
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn
def write(folder, i):
    sessions = Sessions(folder)
    name, turn = f"s{i // 5}", Turn(user=f"turn {i}", text="word " * 200)
    with sessions.lock(name):
        old = sessions.load(name) if sessions.exists(name) else Session(name=name)
        if turn not in old.turns:
            sessions.save(Session(name=name, turns=(*old.turns, turn)))
""",
    "index": """
from llmtool.sessions.search import search
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn
def write(folder, i):
    sessions = Sessions(folder / "sessions")
    turn = Turn(user=f"turn{i} shared", text="word " * 200)
    with sessions.lock(f"s{i}"):
        sessions.save(Session(name=f"s{i}", turns=(turn,)))
    search(sessions, "shared", index=folder / "sessions.db")
""",
    "prompt cache": """
from llmtool.engine.llama.prompt_cache.store import PrefixCache
def write(folder, i):
    cache = PrefixCache(folder, limit_bytes=10**9)
    assert cache.store(f"{i:064x}", b"%04d" % i * 5_000, note={"n_tokens": i})
""",
    "disk cache": """
from llmtool.tasks.pipeline.disk_cache import DiskCache
def write(folder, i):
    DiskCache(folder, limit=None).save(f"{i:032x}", [f"value {i}"] * 2000)
""",
    "passed checks": """
from llmtool.engine.llama.passed_check import PassedCheck
def write(folder, i):
    (folder / f"{i}.gguf").write_text(f"model {i}")
    PassedCheck(folder / "checked", [folder / f"{i}.gguf"], build="b1").write()
""",
    "imports": """
from llmtool.config import Folders
from llmtool.models.store import Store
def write(folder, i):
    made = Store(Folders(config=folder, data=folder, cache=folder, hub_cache=folder / "hub"))
    known = {model.name for model in made.list()}
    if f"m{i}" not in known:
        made.import_file(folder / "model.gguf", name=f"m{i}")
    if i % 3 == 2 and f"m{i - 1}" in known:
        made.remove(f"m{i - 1}")
""",
}
LOOP = """
import itertools, sys
from pathlib import Path
for i in itertools.count(int(sys.argv[2])):
    write(Path(sys.argv[1]), i)
    print(i, flush=True)
"""


def check_settings(folder: Path, done: int) -> None:
    known = set(load_settings({}, folder / "config.toml").aliases)
    assert known - {f"a{done + 1}"} == {f"a{i}" for i in range(done + 1)}
    assert (folder / "config.toml").read_text().startswith("# mine\nthreads = 1  # few\n")


def check_sessions(folder: Path, done: int) -> None:
    sessions = Sessions(folder)
    turns = [turn.user for n in range(done // 5 + 2) for turn in _turns(sessions, f"s{n}")]
    assert turns in ([f"turn {i}" for i in range(n)] for n in (done + 1, done + 2))
    assert {path.name for path in folder.glob("*.lock")} <= {
        f"{name}.jsonl.lock" for name in (*sessions.names(), f"s{(done + 1) // 5}")
    }


def _turns(sessions: Sessions, name: str) -> tuple[Turn, ...]:
    return sessions.load(name).turns if sessions.exists(name) else ()


def check_index(folder: Path, done: int) -> None:
    sessions = Sessions(folder / "sessions")
    found = search(sessions, "shared", index=folder / "sessions.db", limit=10**6)
    texts = sorted(hit.session for hit in found.hits)
    assert texts == sorted(sessions.names()) and found.total == len(texts) >= done + 1
    assert sqlite_is_whole(folder / "sessions.db")


def sqlite_is_whole(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def check_prompt_cache(folder: Path, done: int) -> None:
    cache = PrefixCache(folder, limit_bytes=10**9)
    assert len(cache.entries()) in (done + 1, done + 2)
    for i in range(done + 1):
        assert cache.load(f"{i:064x}") == b"%04d" % i * 5_000
    assert cache.load(f"{done + 1:064x}") in (None, b"%04d" % (done + 1) * 5_000)


def check_disk_cache(folder: Path, done: int) -> None:
    cache = DiskCache(folder, limit=None)
    for i in range(done + 1):
        assert cache.load(f"{i:032x}", list[str]) == [f"value {i}"] * 2000
    assert cache.load(f"{done + 1:032x}", list[str]) in (None, [f"value {done + 1}"] * 2000)


def check_passed(folder: Path, done: int) -> None:
    for i in range(done + 1):
        assert PassedCheck(folder / "checked", [folder / f"{i}.gguf"], build="b1").exists()


def check_imports(folder: Path, done: int) -> None:
    made = Store(Folders(config=folder, data=folder, cache=folder, hub_cache=folder / "hub"))
    made.prune()
    known = {model.name: model for model in made.list() if model.source == "imported"}
    certain = {f"m{i}" for i in range(done + 1) if not (i % 3 == 1 and i < done)}
    following = {f"m{done + 1}"} | ({f"m{done}"} if done % 3 == 1 else set())
    assert certain - following <= set(known) <= certain | following
    assert all(each.is_valid for name in known for each in made.verify(name))
    files = {path.name for path in (folder / "models").glob("*")}  # none before the first import
    assert files == {f"{name}.gguf" for name in known}
    assert {record.name for record in registry.load(folder / "models.json").models} == set(known)


CHECKS: dict[str, Callable[[Path, int], None]] = {
    "settings": check_settings,
    "sessions": check_sessions,
    "index": check_index,
    "prompt cache": check_prompt_cache,
    "disk cache": check_disk_cache,
    "passed checks": check_passed,
    "imports": check_imports,
}


@linux
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kills"), SEEDS)
@pytest.mark.parametrize("kind", WRITERS)
def test_killed_writer_loses_nothing_and_leaves_nothing(
    env: dict[str, str],
    tmp_path: Path,
    tiny: Path,
    record_property: Record,
    kind: str,
    seed: int,
    kills: int,
) -> None:
    chance, folder = random.Random(seed), tmp_path / "data"
    folder.mkdir(mode=0o700)
    shutil.copy(tiny, folder / "model.gguf")
    (folder / "config.toml").write_text("# mine\nthreads = 1  # few\n")
    script = tmp_path / "writer.py"
    script.write_text(WRITERS[kind] + LOOP)

    def start(number: int) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, script, folder, str(number)]
        return start_process(arguments, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    done, n_live, n_writing = -1, 0, 0
    while n_live < kills:
        process = start(done + 1)
        first = b""
        if chance.random() < 0.8:  # after its first write; else at its start
            assert process.stdout is not None
            first = process.stdout.readline()
        numbers = [*first.split(), *kill(process, chance.uniform(0, 0.1)).split()]
        assert process.returncode == -signal.SIGKILL
        n_live += 1
        n_writing += bool(numbers)
        done = int(numbers[-1]) if numbers else done
        CHECKS[kind](folder, done)
    record_property(f"live kills: {kind}", n_live)
    assert n_writing >= kills // 2
    process = start(done + 1)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    assert len([*folder.rglob(f"*{SUFFIX}")]) <= 1, "the one that is being written"
    process.kill()
    process.stdout.close()
    process.wait()
