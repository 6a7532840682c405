"""Each command ends in each code that it can come to: nothing on stdout, one line, no traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import error_line

Run = Callable[..., subprocess.CompletedProcess[bytes]]
LABELS = ("-l", "good,bad")
ASK = """llmtool: 1
name: ask
inputs: {text: {type: text}}
prompt: "{{ text }}"
tests:
- vars: {text: Go on}
  assert: [{type: contains, value: river}]
"""
FILES = {
    "app.py": b"def f(x):\n    return x\n",
    "app.diff": b"--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n",
    "rows.jsonl": b'{"text": "The river rose", "label": "good"}\n',
    "ask.yaml": ASK.encode(),
    "broken.yaml": b'llmtool: 1\nname: broken\nprompt: "{% if"\n',
    "empty.txt": b"",
    "latin.txt": b"caf\xe9 au lait\n",
    "long.txt": b"the river and the hill " * 2000,
    "long.py": b"x = 1  # the river and the hill\n" * 500,
    "bad.gguf": b"This is not a model.\n",
}
# Those that run a model, with something to do.
ASKING = {
    "gen": ("gen", "Go on"),
    "run": ("run", "./ask.yaml", "Go on"),
    "sum": ("sum", "app.py"),
    "classify": ("classify", "Go on", *LABELS),
    "classify eval": ("classify", "eval", "rows.jsonl", *LABELS),
    "translate": ("translate", "Go on", "--to", "de"),
    "code": ("code", "a list", "-l", "python"),
    "code explain": ("code", "explain", "app.py"),
    "code review": ("code", "review", "-f", "app.diff"),
    "code fix": ("code", "fix", "app.py", "-e", "it fails"),
    "code complete": ("code", "complete", "app.py:1:3"),
    "code tests": ("code", "tests", "app.py"),
    "chat": ("chat", "Go on"),
    "prompts test": ("prompts", "test", "./ask.yaml"),
    "bench": ("bench", "--quick"),
}
# Those that take a model as their argument; and those that take none.
NAMING = {name: tuple(name.split()) for name in ("models pull", "models info", "models verify")}
NAMING |= {"models rm": ("models", "rm"), "models import": ("models", "import")}
OTHERS = {
    **{f"models {verb}": ("models", verb) for verb in ("ls", "alias", "prune", "recommend")},
    **{f"sessions {verb}": ("sessions", verb) for verb in ("ls", "show", "search", "rm")},
    **{f"prompts {verb}": ("prompts", verb, "title") for verb in ("show", "lint")},
    **{"prompts ls": ("prompts", "ls"), "config show": ("config", "show")},
    **{"cache ls": ("cache", "ls"), "doctor": ("doctor",), "completions": ("completions", "bash")},
}
# The same with a file to read, which the tests name.
READING = {
    "gen": ("gen", "-f"),
    "run": ("run", "./ask.yaml", "-f"),
    "sum": ("sum",),
    "classify": ("classify", *LABELS, "-f"),
    "classify eval": ("classify", "eval", *LABELS),
    "translate": ("translate", "--to", "de", "-f"),
    "code": ("code", "a list", "-l", "python", "-f"),
    "code explain": ("code", "explain"),
    "code review": ("code", "review", "-f"),
    "code fix": ("code", "fix", "-e", "it fails"),
    "code complete": ("code", "complete"),
    "code tests": ("code", "tests"),
    "chat": ("chat", "Go on", "-f"),
    "sum, files": ("sum", "app.py"),
    "gen, second file": ("gen", "-f", "app.py", "-f"),
    "gen, schema": ("gen", "Go on", "--schema"),
    "gen, grammar": ("gen", "Go on", "--grammar"),
    "classify, examples": ("classify", "Go on", *LABELS, "--examples"),
}
OVERFLOWING = {
    "gen": ("gen", "-f", "long.txt"),
    "run": ("run", "./ask.yaml", "-f", "long.txt"),
    "sum": ("sum", "long.txt", "--strategy", "stuff"),
    "classify": ("classify", "-f", "long.txt", *LABELS),
    "code": ("code", "a list", "-l", "python", "-f", "long.txt"),
    "code explain": ("code", "explain", "long.py"),
    "code fix": ("code", "fix", "long.py", "-e", "it fails"),
    "code tests": ("code", "tests", "long.py"),
    "translate": ("translate", "-f", "long.txt", "--to", "de"),
    "chat": ("chat", "Go on", "-f", "long.txt"),
}
TEMPLATES = {
    **{name: (*words, "-t", "./broken.yaml") for name, words in ASKING.items()},
    "run": ("run", "./broken.yaml", "Go on"),
    "prompts test": ("prompts", "test", "./broken.yaml"),
}
for _without in ("classify eval", "code complete", "bench"):
    del TEMPLATES[_without]


@pytest.fixture
def run(run_llmtool: Run, tmp_path: Path) -> Run:
    """Return `run(words)`: the command in a folder that has one of everything."""
    for name, content in FILES.items():
        (tmp_path / "cwd" / name).write_bytes(content)

    def start(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool(*words, stdin=subprocess.DEVNULL)

    return start


EVERY = {**ASKING, **NAMING, **OTHERS}


@pytest.mark.parametrize("words", EVERY.values(), ids=EVERY)
def test_2_for_an_option_that_there_is_not(run: Run, words: tuple[str, ...]) -> None:
    assert "--no-such-option" in error_line(run(*words, "--no-such-option"), 2)


@pytest.mark.parametrize("words", ASKING.values(), ids=ASKING)
def test_2_for_a_value_that_cannot_be(run: Run, words: tuple[str, ...]) -> None:
    assert "--threads" in error_line(run(*words, "--threads", "none"), 2)


CALLED = {**{name: (*words, "-m") for name, words in ASKING.items()}, **NAMING}


@pytest.mark.parametrize("words", CALLED.values(), ids=CALLED)
def test_10_for_a_model_that_is_not_here(run: Run, words: tuple[str, ...]) -> None:
    assert "no-such-model" in error_line(run(*words, "no-such-model"), 10)


BAD = {name: words for name, words in CALLED.items() if name not in ("models pull", "models rm")}
del BAD["models verify"]  # which says of each file what it is, and ends in 16


@pytest.mark.parametrize("words", BAD.values(), ids=BAD)
def test_11_for_a_file_that_is_no_model(run: Run, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "bad.gguf"), 11)
    assert "bad.gguf" in line and "GGUF" in line


@pytest.mark.parametrize("words", TEMPLATES.values(), ids=TEMPLATES)
def test_12_for_a_broken_template(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    assert "broken.yaml:3: " in error_line(run(*words, "-m", tiny), 12)


@pytest.mark.parametrize("words", OVERFLOWING.values(), ids=OVERFLOWING)
def test_13_for_a_text_that_is_too_long(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    line = error_line(run(*words, "-m", tiny, "--ctx-size", "256"), 13)
    assert "256 are available" in line and "--" in line
    assert "the river" not in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_file_that_is_not_there(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    missing = "./missing.json" if "--schema" in words else "missing.txt"
    missing += ":1:1" if "complete" in words else ""
    line = error_line(run(*words, missing, "-m", tiny), 14)
    assert "missing." in line and "no such file" in line


@pytest.mark.parametrize("words", READING.values(), ids=READING)
def test_14_for_a_file_that_is_no_text(run: Run, tiny: Path, words: tuple[str, ...]) -> None:
    file = "./latin.txt" if "--schema" in words else "latin.txt"
    line = error_line(run(*words, file + (":1:1" if "complete" in words else ""), "-m", tiny), 14)
    assert "latin.txt" in line and "3" in line and "UTF-8" in line
    assert "caf" not in line


def test_16_for_a_file_that_is_damaged(run: Run) -> None:
    done = run("models", "verify", "bad.gguf")
    assert (done.returncode, done.stdout.split(b"\t")[0]) == (16, b"bad")
    (line,) = done.stderr.decode().splitlines()
    assert "bad.gguf: is not a GGUF file" in line
    assert "models rm" not in line, "it is not in the store"
