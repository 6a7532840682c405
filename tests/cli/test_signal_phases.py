"""Signals end every command in every phase: loading, prefill, decoding, scoring."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.calls import ASKING
from command import INFINITE, linux, wait_until_mapped
from tiny_vocabulary import TokenType, bpe_vocabulary

ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
WIDE = ("--ctx-size", "65536")
LONG_REPLY = ("--max-tokens", "60000", *WIDE)
SHORT_REPLY = ("--max-tokens", "4", *WIDE)
WORK_SECONDS = 0.3  # of a processor, after the model is there
PAGES = ("--strategy", "write", "--length", "2000 words")

TEMPLATE = """llmtool: 1
name: ask
inputs: {text: {type: text}}
prompt: "{{ text }}"
tests:
"""
TEST = "- vars: {{text: Continue {}}}\n  assert: [{{type: contains, value: river}}]\n"

DECODING = {
    "gen": ("gen", "Go on", *LONG_REPLY),
    "gen --no-stream": ("gen", "Go on", "--no-stream", *LONG_REPLY),
    "gen -n": ("gen", "Go on", "-n", "3", *LONG_REPLY),
    "run": ("run", "./ask.yaml", "Go on", *LONG_REPLY),
    "sum": ("sum", "short.txt", "--strategy", "stuff", *LONG_REPLY),
    "translate": ("translate", "-f", "short.txt", "--to", "de", *LONG_REPLY),
    "code": ("code", "a list", "-l", "python", *LONG_REPLY),
    "code explain": ("code", "explain", "app.py", *LONG_REPLY),
    "code fix": ("code", "fix", "app.py", "--error", "it fails", *LONG_REPLY),
    "code complete": ("code", "complete", "app.py:1:3", *LONG_REPLY),
    "code tests": ("code", "tests", "app.py", *LONG_REPLY),
    "chat": ("chat", "Go on", *LONG_REPLY),
    "chat --json": ("chat", "Go on", "--json", *LONG_REPLY),
    "gen --schema": ("gen", "Go on", "--schema", "./many.json", *LONG_REPLY),
    "gen --regex": ("gen", "Go on", "--regex", "[a-z ]+;{9}", *LONG_REPLY),
    "bench": ("bench", "-r", "50"),
    "prompts test": ("prompts", "test", "./ask.yaml", "--no-cache", *WIDE),
}
PREFILLING = {
    "gen": ("gen", "-f", "long.txt", *SHORT_REPLY),
    "run": ("run", "./ask.yaml", "-f", "long.txt", *SHORT_REPLY),
    "classify": ("classify", "-f", "long.txt", "-l", "good,bad", *WIDE),
    "sum": ("sum", "long.txt", "--strategy", "stuff", *SHORT_REPLY),
    "code": ("code", "a list", "-l", "python", "-f", "long.txt", *SHORT_REPLY),
    "code explain": ("code", "explain", "long.py", *SHORT_REPLY),
    "code fix": ("code", "fix", "long.py", "--error", "it fails", *SHORT_REPLY),
    "code tests": ("code", "tests", "long.py", *SHORT_REPLY),
    "code complete": ("code", "complete", "long.py:1000:3", *SHORT_REPLY),
    "chat": ("chat", "Go on", "-f", "long.txt", *SHORT_REPLY),
    "gen --schema": ("gen", "-f", "long.txt", "--schema", "./many.json", *SHORT_REPLY),
    "prompts test": ("prompts", "test", "./long.yaml", "--no-cache", *WIDE),
}
MANY = {
    "gen, batch": ("gen", "--each", "line", "-f", "lines.txt", "--max-tokens", "40"),
    "run, batch": ("run", "./ask.yaml", "--each", "line", "-f", "lines.txt", "--max-tokens", "40"),
    "classify, batch": ("classify", "--each", "line", "-f", "lines.txt", "-l", "good,bad"),
    "classify, scores of labels": ("classify", "-f", "book.txt", "-l", "good,bad")
    + ("--overflow", "chunk", "--ctx-size", "512"),
    "classify eval": ("classify", "eval", "rows.jsonl", "-l", "good,bad"),
    "sum, batch": ("sum", "--each", "line", "-f", "lines.txt", "--max-tokens", "40"),
    "sum, parts": ("sum", "book.txt", *PAGES),
    "translate, batch": ("translate", "--each", "line", "--to", "de", "-f", "lines.txt"),
    "translate, passages": ("translate", "-f", "book.txt", "--to", "de"),
    "code, batch": ("code", "--each", "line", "-l", "python", "-f", "lines.txt")
    + ("--max-tokens", "40"),
    "code review, hunks": ("code", "review", "-f", "app.diff", *LONG_REPLY),
    "chat, lines": ("chat", "--each", "line", *LONG_REPLY),
}


@pytest.fixture(scope="session")
def endless(tiny_model: Callable[..., Path]) -> Path:
    vocabulary = bpe_vocabulary()
    for name in ("prefix", "suffix", "middle"):  # for `code complete`
        text = f"<|fim_{name}|>"
        vocabulary.add(text, text.encode(), TokenType.CONTROL)
    return tiny_model("plain", **INFINITE, vocabulary=vocabulary)


@pytest.fixture(scope="session")
def deep(tiny_model: Callable[..., Path]) -> Path:
    """A model that takes a while to load: hundreds of layers."""
    return tiny_model("plain", n_layer=400, n_embd=32)


def few(calls: dict[str, tuple[str, ...]], *names: str) -> pytest.MarkDecorator:
    """Parametrize by `calls`; all but those named here are for `make long`."""
    return pytest.mark.parametrize(
        "call",
        [
            pytest.param(call, id=name, marks=() if name in names else pytest.mark.long)
            for name, call in calls.items()
        ],
    )


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a file of each kind that the commands read; no command writes to it."""
    here = tmp_path_factory.mktemp("here")
    page = "The river rose during the night. It was seen from the hill.\n\n"
    code = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(4000))
    files = {
        "ask.yaml": TEMPLATE + "".join(map(TEST.format, range(400))),
        "short.txt": page * 2,
        "long.txt": "the river and the hill " * 8_000,
        "long.py": "x = 1  # the river and the hill\n" * 2_000,
        "book.txt": "".join(f"{i}. {page}" for i in range(3_000)),
        "lines.txt": "".join(f"The river rose, {i} times\n" for i in range(20_000)),
        "rows.jsonl": "".join(
            f'{{"text": "The river rose {i}", "label": "good"}}\n' for i in range(20_000)
        ),
        "many.json": '{"type": "array", "items": {"type": "string"}, "minItems": 50000}',
        "long.yaml": TEMPLATE + TEST.format("the river and the hill " * 8_000),
        "app.py": "def f(x):\n    return x\n",
        "big.py": code,
    }
    for name, text in files.items():
        (here / name).write_text(text)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=here, check=True)
    diff = subprocess.run(
        ["git", "diff", "--staged", "big.py"], cwd=here, check=True, capture_output=True
    )
    (here / "app.diff").write_bytes(diff.stdout)
    return here


@pytest.fixture
def begin(start_llmtool: Callable[..., Any], here: Path) -> Callable[..., Any]:
    """Return `begin(args, model)`: the command in a folder with something of everything."""
    lines = (here / "lines.txt").read_bytes()

    def start(args: tuple[str, ...], model: Path) -> subprocess.Popen[bytes]:
        piped = "chat" in args and "--each" in args
        process: subprocess.Popen[bytes] = start_llmtool(
            *args,
            *("-m", model, "--threads", "1"),
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=here,
        )
        if piped:
            assert process.stdin
            process.stdin.write(lines[:4000])
            process.stdin.close()
            process.stdin = None
        return process

    return start


def assert_ended(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """The command has ended as the shell expects it to, and has nothing to complain of."""
    _, error = process.communicate(timeout=10)
    assert process.returncode == -number, (number, error.decode()[-1000:])
    assert b"Traceback" not in error
    assert b"Error" not in error


@linux
@few(ASKING, "sum")
def test_signal_ends_loading(begin: Any, deep: Path, call: tuple[str, ...]) -> None:
    for number in ENDINGS:
        process = begin(call, deep)
        wait_until_mapped(process, deep.name)
        process.send_signal(number)
        assert_ended(process, number)


def computed_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return how much of a processor a child has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop_each(begin: Any, model: Path, call: tuple[str, ...]) -> None:
    """Start the command once for each signal, and send it when all of them are at work.

    A tiny model is loaded in no time: what is computed after that is the work itself.
    """
    processes = [begin(call, model) for _ in ENDINGS]
    loading = []
    for process in processes:
        wait_until_mapped(process, model.name)
        loading.append(computed_seconds(process))
    limit = time.monotonic() + 60
    for process, number, before in zip(processes, ENDINGS, loading, strict=True):
        while process.poll() is None and computed_seconds(process) < before + WORK_SECONDS:
            assert time.monotonic() < limit, "it does nothing"
            time.sleep(0.01)
        assert process.poll() is None, process.stderr.read().decode()[-1000:]
        process.send_signal(number)
        assert_ended(process, number)


@linux
@few(PREFILLING, "classify")
def test_signal_ends_prefill(begin: Any, endless: Path, call: tuple[str, ...]) -> None:
    stop_each(begin, endless, call)


@linux
@few(DECODING, "gen --schema")
def test_signal_ends_decoding(begin: Any, endless: Path, call: tuple[str, ...]) -> None:
    stop_each(begin, endless, call)


def wait_until_open(process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a child has a file of this name open."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(OSError):
            if any(name in os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()):
                return
        time.sleep(0.002)
    raise AssertionError(f"{name} was not opened")


def make_huge(model: Path, folder: Path) -> Path:
    """Return a model with gigabytes of nothing behind it, which take seconds to read."""
    huge = folder / "huge.gguf"
    huge.write_bytes(model.read_bytes())
    os.truncate(huge, 16_000_000_000)
    return huge


@linux
def test_signal_ends_an_import(
    start_llmtool: Callable[..., Any], env: dict[str, str], tiny: Path, tmp_path: Path
) -> None:
    huge = make_huge(tiny, tmp_path)
    for number in ENDINGS:
        process = start_llmtool("models", "import", huge, stdin=subprocess.DEVNULL)
        wait_until_open(process, huge.name)
        time.sleep(0.2)
        process.send_signal(number)
        assert_ended(process, number)
        left = [path.name for path in Path(env["LLMTOOL_DATA_DIR"]).rglob("*") if path.is_file()]
        assert all(name.endswith(".lock") for name in left), left
    assert huge.exists()


@linux
def test_signal_ends_hashing(
    start_llmtool: Callable[..., Any],
    run_llmtool: Callable[..., Any],
    env: dict[str, str],
    tiny: Path,
) -> None:
    assert run_llmtool("models", "import", tiny, "--name", "huge").returncode == 0
    (kept,) = Path(env["LLMTOOL_DATA_DIR"]).rglob("huge.gguf")
    kept.unlink()
    make_huge(tiny, kept.parent)
    for number in ENDINGS:
        for args in (["huge"], ["--json"]):
            process = start_llmtool("models", "verify", *args, stdin=subprocess.DEVNULL)
            wait_until_open(process, kept.name)
            time.sleep(0.2)
            process.send_signal(number)
            assert_ended(process, number)


@linux
@few(MANY, "gen, batch")
def test_signal_ends_a_batch(begin: Any, endless: Path, call: tuple[str, ...]) -> None:
    stop_each(begin, endless, call)
