"""A locked file: the command waits, then fails with 18 in one line and changes nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line, seconds_to_end
from terminal.screen import Terminal

from llmtool import config, files
from llmtool.config import Folders
from llmtool.errors import ExitCode, LlmtoolError
from llmtool.models.store import Store
from llmtool.sessions import log, search
from llmtool.sessions.store import INDEX_NAME, Sessions
from llmtool.sessions.types import Session, Turn

SAID = Turn(user="hello", text="there")


@pytest.fixture
def folders(env: dict[str, str]) -> Folders:
    return config.find_folders(env)


@pytest.fixture
def sessions(folders: Folders) -> Sessions:
    made = Sessions(folders.data / "sessions")
    made.save(Session(name="work", turns=(SAID,)))
    return made


@pytest.fixture
def store(folders: Folders, tiny: Path) -> Store:
    made = Store(folders)
    made.import_file(tiny, name="small")
    return made


@pytest.fixture
def locked(folders: Folders, sessions: Sessions, store: Store) -> Iterator[Callable[[str], None]]:
    """Return `locked(kind)`: lock that kind of file for the rest of the test."""
    places = {
        "config": folders.config_file,
        "models": store.layout.registry_file,
        "index": folders.cache / INDEX_NAME,
        "log": sessions.path(log.log_name()),
        "session": sessions.path("work"),
    }
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(files.lock(places[kind]))


def contents(folders: Folders) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for folder in (folders.config, folders.data, folders.cache)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


KINDS = {
    "a setting": ("config", lambda f, s, m: config.set_value(f.config_file, "threads", "2")),
    "an alias": ("models", lambda f, s, m: m.set_alias("big", "small")),
    "an import": ("models", lambda f, s, m: m.import_file(m.find("small").path, name="new")),
    "a removal": ("models", lambda f, s, m: m.remove("small")),
    "a search": ("index", lambda f, s, m: search.search(s, "hello", index=f.cache / INDEX_NAME)),
    "a kept reply": ("log", lambda f, s, m: log.append(s, [SAID])),
    "a session": ("session", lambda f, s, m: s.remove("work")),
}


@pytest.mark.parametrize(("kind", "act"), KINDS.values(), ids=KINDS)
def test_each_kind_of_lock_is_18_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    folders: Folders,
    sessions: Sessions,
    store: Store,
    locked: Callable[[str], None],
    kind: str,
    act: Callable[[Folders, Sessions, Store], object],
) -> None:
    before = contents(folders)
    locked(kind)
    plain = files.lock

    def lock(path: Path, **options: Any) -> Any:
        return plain(path, **{**options, "timeout_seconds": 0.05})

    monkeypatch.setattr(files, "lock", lock)
    with pytest.raises(LlmtoolError) as caught:
        act(folders, sessions, store)
    assert caught.value.exit_code == ExitCode.LOCKED
    assert contents(folders) == before


def test_errors_while_locked_are_not_lock_errors(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as caught, files.lock(tmp_path / "file"):
        raise PermissionError(13, "Permission denied", "another")
    assert caught.value.filename == "another"
    with files.lock(tmp_path / "file", timeout_seconds=0):
        pass


def test_index_that_cannot_be_removed_is_unchanged(folders: Folders, sessions: Sessions) -> None:
    index = folders.cache / INDEX_NAME
    (index / "folder").mkdir(parents=True)
    assert search.search(sessions, "hello", index=index).total == 1
    assert (index / "folder").is_dir()


def test_signal_ends_the_wait_for_the_config_lock(
    env: dict[str, str], locked: Callable[[str], None], tiny: Path
) -> None:
    """The wait at a terminal; other commands are tested below."""
    locked("config")
    del env["HF_HUB_OFFLINE"]  # the question needs the Hub
    with Terminal([*LLMTOOL, "gen", "Go on", "--max-tokens", "2"], env) as terminal:
        terminal.wait_for("Enter a number")
        terminal.send(f"{tiny}\r")
        time.sleep(0.5)
        begin = time.monotonic()
        terminal.send("\x03")
        assert terminal.exit_status == 130
        assert time.monotonic() - begin < 1


COMMANDS = {
    "config set": ("config", ("config", "set", "threads", "2")),
    "config unset": ("config", ("config", "unset", "threads")),
    "models alias": ("models", ("models", "alias", "big", "small")),
    "models rm": ("models", ("models", "rm", "small")),
    "sessions search": ("index", ("sessions", "search", "hello")),
    "sessions rm": ("session", ("sessions", "rm", "work")),
}


@pytest.mark.long
@pytest.mark.timeout(120)
def test_permanent_lock_is_18_in_one_line(
    start_llmtool: Callable[..., Any], locked: Callable[[str], None]
) -> None:
    for kind in {kind for kind, _ in COMMANDS.values()}:
        locked(kind)
    running = {name: start_llmtool(*words) for name, (_, words) in COMMANDS.items()}
    for name, process in running.items():
        out, error = process.communicate(timeout=60)
        result = subprocess.CompletedProcess(name, process.returncode, out, error)
        assert "another process" in error_line(result, 18), name


WAITING = {
    "config set": ("config", ("config", "set", "threads", "2")),
    "models alias": ("models", ("models", "alias", "big", "small")),
    "models import": ("models", ("models", "import", "TINY", "--name", "new")),
    "models rm": ("models", ("models", "rm", "small")),
    "sessions search": ("index", ("sessions", "search", "hello")),
    "gen --log": ("log", ("gen", "Go on", "--log", "-m", "TINY", "--max-tokens", "2")),
}


@pytest.mark.parametrize(("kind", "words"), WAITING.values(), ids=WAITING)
def test_signal_ends_the_wait_for_a_lock(
    start_llmtool: Callable[..., Any],
    locked: Callable[[str], None],
    tiny: Path,
    kind: str,
    words: tuple[str, ...],
) -> None:
    locked(kind)
    words = tuple(str(tiny) if word == "TINY" else word for word in words)
    process = start_llmtool(*words, stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert seconds_to_end(process) < 2
    assert process.returncode == -signal.SIGINT
    assert b"Traceback" not in process.stderr.read()
