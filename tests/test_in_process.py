"""The runner of `run_llmtool`: the result of a new process, and nothing that remains after it."""

from __future__ import annotations

import gc
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

COMMANDS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "reply": (("gen", "Hi", "-m", "MODEL", "--max-tokens", "6", "--seed", "1"), b""),
    "stdin": (("gen", "-m", "MODEL", "--max-tokens", "6", "--seed", "2"), b"Some words\n"),
    "empty stdin": (("gen", "-m", "MODEL"), b""),
    "invalid bytes": (("gen", "-m", "MODEL"), b"caf\xe9"),
    "dry run": (("gen", "Hi", "-m", "MODEL", "--dry-run", "--json"), b""),
    "labels": (("classify", "-l", "a,b", "Hi", "-m", "MODEL", "--json"), b""),
    "batch": (
        ("gen", "Say", "--each", "jsonl", "-m", "MODEL", "--max-tokens", "3", "--seed", "3"),
        b'{"text": "a"}\nno JSON\n{"text": "b"}\n',
    ),
    "constraint": (("gen", "Hi", "-m", "MODEL", "--regex", "yes|no", "--seed", "4"), b""),
    "unknown option": (("gen", "--nonsense"), b""),
    "unknown model": (("gen", "Hi", "-m", "nowhere.gguf"), b""),
    "too long": (("gen", "-m", "MODEL", "--ctx-size", "16"), b"many words " * 100),
    "debug": (("gen", "Hi", "-m", "nowhere.gguf", "--debug"), b""),
    "help": (("gen", "--help"), b""),
    "version": (("--version",), b""),
    "setting": (("config", "set", "max_tokens", "7"), b""),
    "settings": (("config", "show"), b""),
}


@pytest.fixture
def fill(tiny: Path) -> Callable[[str], list[str]]:
    """Return `fill(name)`: the words of a command, with the tiny model's path."""

    def words(name: str) -> list[str]:
        return [str(tiny) if word == "MODEL" else word for word in COMMANDS[name][0]]

    return words


def test_all_runners_give_the_same_results(
    run_llmtool: Run,
    run_llmtool_process: Run,
    fill: Callable[[str], list[str]],
    tmp_path: Path,
) -> None:
    different = {}
    for name, (_, data) in COMMANDS.items():
        results = []
        new = partial(run_llmtool_process, fork=False)
        for run in (new, run_llmtool_process, run_llmtool, run_llmtool):
            user = str(tmp_path / f"{name} {len(results)}")  # a first run leaves caches
            folders = {f"LLMTOOL_{each}_DIR": user for each in ("CONFIG", "DATA", "CACHE")}
            results.append(seen(run(*fill(name), input=data, env=folders), user))
        if any(result != results[0] for result in results):
            different[name] = results
    assert different == {}


def seen(result: Any, user: str) -> tuple[int, bytes, bytes]:
    """Return exit code and output, without times and the user's folder."""
    output = re.sub(rb'(_?seconds|_per_second)":[\d.e-]+', rb'\1":0', result.stdout)
    output, error = (text.replace(user.encode(), b"") for text in (output, result.stderr))
    return result.returncode, output, error


def state(others: set[threading.Thread]) -> dict[str, Any]:
    """Return what a run could leave behind in its process."""
    return {
        "variables": dict(os.environ),
        "folder": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "descriptors": len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0,
        "handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "wakeup": signal.set_wakeup_fd(-1),
        "logging": [
            (logger.level, list(logger.handlers))
            for logger in (logging.getLogger(), logging.getLogger("llmtool"))
        ],
        "threads": set(threading.enumerate()) - others,
        "hub": "huggingface_hub" in sys.modules,
    }


def settle(others: set[threading.Thread]) -> None:
    """Free what the last run no longer uses, and let its threads end, but not those of others."""
    gc.collect()
    for thread in set(threading.enumerate()) - others:
        thread.join(timeout=1)


def test_command_restores_the_state_of_the_process(
    run_llmtool: Run, fill: Callable[[str], list[str]]
) -> None:
    gc.freeze()  # the collections below skip the objects of other tests
    others = set(threading.enumerate())
    for name, (_, data) in COMMANDS.items():
        run_llmtool(*fill(name), input=data)  # imports, and thread pools of native code
        settle(others)
        before = state(others)
        run_llmtool(*fill(name), input=data)
        settle(others)
        assert state(others) == before, name


def test_models_are_freed(
    run_llmtool: Run, fill: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmtool.engine.llama.model import LlamaModel

    made: list[LlamaModel] = []
    load = LlamaModel.__init__

    def watched(self: LlamaModel, *args: Any, **options: Any) -> None:
        made.append(self)
        load(self, *args, **options)

    monkeypatch.setattr(LlamaModel, "__init__", watched)
    for name in ("reply", "too long", "invalid bytes", "empty stdin"):
        run_llmtool(*fill(name), input=COMMANDS[name][1])
    assert made and all(model._model is None for model in made)


def test_start_up_variable_is_rejected(run_llmtool: Run) -> None:
    with pytest.raises(ValueError, match="LC_ALL is read when a process starts"):
        run_llmtool("--version", env={"LC_ALL": "C"})
