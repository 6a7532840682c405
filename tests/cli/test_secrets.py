"""Errors never contain the text of a prompt, not even with --debug."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.calls import ASKING, FILES, OVERFLOWING, READING, TEMPLATES, stage

Run = Callable[..., subprocess.CompletedProcess[bytes]]
SECRET = "zanzibar"  # in every prompt, file, record and error message
MARKED = {"Go on": f"Go on, {SECRET}", "a list": f"a {SECRET} list", "it fails": f"{SECRET} fails"}
IN_FILES = {
    "app.py": FILES["app.py"] + b"# zanzibar\n",
    "app.diff": FILES["app.diff"].replace(b"+x = 2", b"+x = 2  # zanzibar"),
    "rows.jsonl": FILES["rows.jsonl"].replace(b"river", b"zanzibar"),
    "ask.yaml": FILES["ask.yaml"].replace(b"Go on", b"Go zanzibar"),
    "latin.txt": b"zanzibar " + FILES["latin.txt"] + b"zanzibar\n",
    "long.txt": b"the zanzibar and the hill " * 2000,
    "long.py": b"x = 1  # the zanzibar and the hill\n" * 500,
}
KEYED = b'llmtool: 1\nname: keyed\ninputs: {t: {type: text}}\nprompt: "{{ {1: 2}[t] }}"\n'
FAILING = {
    **{f"{name}, no model": (10, (*w, "-m", "no-such-model")) for name, w in ASKING.items()},
    **{f"{name}, bad model": (11, (*w, "-m", "bad.gguf")) for name, w in ASKING.items()},
    **{f"{name}, template": (12, (*w, "-m", "MODEL")) for name, w in TEMPLATES.items()},
    **{
        f"{name}, too long": (13, (*w, "-m", "MODEL", "--ctx-size", "256"))
        for name, w in OVERFLOWING.items()
    },
    **{
        f"{name}, no text": (14, (*w, "latin.txt" + ":1:1" * ("complete" in w), "-m", "MODEL"))
        for name, w in READING.items()
        if "--schema" not in w
    },
    "a key that is a text": (12, ("run", "./keyed.yaml", SECRET, "-m", "MODEL")),
    "a reply that is cut": (
        17,
        ("gen", "Go on", "--schema", "a int, b list", "--max-tokens", "2", "-m", "MODEL"),
    ),
    "no place to write": (1, ("gen", "Go on", "-o", "none/x", "-m", "MODEL", "--max-tokens", "2")),
    "words without quotes": (2, ("gen", "Go", SECRET, SECRET)),
    "an option with bytes": (14, ("gen", "Go on", "-s", b"zanzibar \xff", "-m", "MODEL")),
    "an argument of bytes": (14, ("gen", b"zanzibar \xff", "-m", "MODEL")),
}
# Standard input for `gen`.
PIPED = {
    "no text": (14, (), b"zanzibar \xff zanzibar"),
    "too long": (13, ("--ctx-size", "256"), b"the zanzibar and the hill " * 2000),
    "a broken record": (3, ("--each", "jsonl"), b'{"text": "zanzibar\n'),
    "a record of bytes": (3, ("--each", "jsonl"), b'{"text": "zanzibar \xff"}\n'),
    "a record without a text": (
        3,
        ("--each", "jsonl", "--field", "text"),
        b'{"other": "zanzibar"}\n',
    ),
    "a record that is too long": (
        3,
        ("--each", "jsonl", "--ctx-size", "256"),
        b'{"text": "' + b"the zanzibar and " * 500 + b'"}\n',
    ),
    "a record of two columns": (2, ("--each", "csv"), b"a,b\nzanzibar,zanzibar\n"),
    "a row of bytes": (3, ("--each", "csv", "--field", "a"), b"a,b\nzanzibar,\xff\n"),
}


@pytest.fixture
def run(run_llmtool: Run, tmp_path: Path, env: dict[str, str], tiny: Path) -> Run:
    """Return `run(words)`: run a command with --debug on texts with the secret."""
    folder = tmp_path / "cwd"
    for name, content in {**FILES, **IN_FILES, "keyed.yaml": KEYED}.items():
        (folder / name).write_bytes(content)

    def start(*words: str | bytes, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        if "commit" in words:
            stage(folder, env)
        named = {**MARKED, "MODEL": str(tiny)}
        arguments = [named.get(word, word) if isinstance(word, str) else word for word in words]
        return run_llmtool(*arguments, "--debug", input=input)

    return start


@pytest.mark.parametrize(("code", "words"), FAILING.values(), ids=FAILING)
def test_errors_do_not_contain_the_prompt(
    run: Run, code: int, words: tuple[str | bytes, ...]
) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr.decode()
    assert code == 2 or b"Traceback" in done.stderr, "--debug shows where it failed"
    assert SECRET.encode() not in done.stderr


@pytest.mark.parametrize(("code", "args", "input"), PIPED.values(), ids=PIPED)
def test_errors_do_not_contain_standard_input(
    run: Run, code: int, args: tuple[str, ...], input: bytes
) -> None:
    done = run("gen", *args, "-m", "MODEL", "--max-tokens", "4", input=input)
    assert done.returncode == code, done.stderr.decode()
    assert done.stderr.endswith(b"\n") and SECRET.encode() not in done.stderr
