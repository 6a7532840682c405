"""A home folder that is read-only, and one whose disk is full: commands do what they can."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import linux

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The river rose during the night. The mill was closed. Nobody was hurt."
# Runs commands in one process, on a file system of their own: before and after the change.
DRIVER = """
import json, os, subprocess, sys
from pathlib import Path
from in_process import run_in_process
home, mode, before, after = Path(sys.argv[1]), sys.argv[2], *map(json.loads, sys.argv[3:5])
def run(args, text):
    return run_in_process(args, env=dict(os.environ), cwd=home, input=text.encode())
for args, text in before:
    done = run(args, text)
    assert done.returncode == 0, (args, done.stderr)
if mode == "full":
    with open(home / "fill", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
else:
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
files = lambda: {str(path): path.stat().st_size for path in home.rglob("*") if path.is_file()}
found, old = [], files()
for args, text in after:
    done = run(args, text)
    found.append([done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode()])
new = files()
sys.stderr.write(json.dumps([found, sorted(set(new) - set(old))]))
"""
GEN = ("--max-tokens", "3", "--temperature", "0", "--threads", "1")
BEFORE: list[tuple[tuple[str, ...], str]] = [
    (("models", "import", "MODEL", "--name", "small"), ""),
    (("models", "alias", "big", "small"), ""),
    (("chat", "--each", "line", "--session", "work", "-m", "small", *GEN), "one\ntwo\n"),
    (("gen", "hello", "-m", "small", "--log", *GEN), ""),
    (("config", "set", "threads", "1"), ""),
    (("translate", TEXT, "--to", "fr", "-m", "small", "--max-tokens", "4"), ""),
    (("prompts", "new", "mine"), ""),
]
# A command, its exit code on a read-only and on a full disk, and a part of its only note.
AFTER: dict[str, tuple[tuple[str, ...], int, int]] = {
    "gen": (("gen", TEXT, "-m", "big", *GEN), 0, 0),
    "gen, new model": (("gen", TEXT, "-m", "MODEL", *GEN), 0, 0),  # its check cannot be recorded
    "gen -o": (("gen", TEXT, "-m", "small", *GEN, "-o", "out.txt"), 1, 1),
    "gen --log": (("gen", TEXT, "-m", "small", "--log", *GEN), 0, 0),
    "gen -c": (("gen", "-c", "more", "-m", "small", *GEN), 0, 0),
    "classify": (("classify", TEXT, "-l", "a,b", "-m", "small"), 0, 0),
    "sum": (("sum", "-m", "small", "--max-tokens", "8"), 0, 0),
    "translate": (("translate", TEXT, "--to", "fr", "-m", "small", "--max-tokens", "4"), 0, 0),
    "batch": (("gen", "--each", "line", "-m", "small", *GEN), 0, 0),
    "batch -o": (("gen", "--each", "line", "--jsonl", "-m", "small", *GEN, "-o", "b.jsonl"), 1, 1),
    "chat": (("chat", "--each", "line", "-m", "small", *GEN), 0, 0),
    "chat --session": (("chat", "--each", "line", "--session", "work", "-m", "small", *GEN), 1, 1),
    "chat, new": (("chat", "--each", "line", "--session", "new", "-m", "small", *GEN), 1, 1),
    "cache ls": (("cache", "ls"), 0, 0),
    "models ls": (("models", "ls"), 0, 0),
    "models show": (("models", "show", "small"), 0, 0),
    "models verify": (("models", "verify", "small"), 0, 0),
    "models alias": (("models", "alias", "other", "small"), 1, 1),
    "models import": (("models", "import", "MODEL", "--name", "more"), 1, 1),
    "sessions ls": (("sessions", "ls"), 0, 0),
    "sessions search": (("sessions", "search", "one"), 0, 0),
    "sessions show": (("sessions", "show", "work"), 0, 0),
    "logs": (("logs",), 0, 0),
    "config show": (("config", "show"), 0, 0),
    "config set": (("config", "set", "threads", "2"), 1, 1),
    "prompts ls": (("prompts", "ls"), 0, 0),
    "prompts new": (("prompts", "new", "other"), 1, 1),
    "doctor": (("doctor",), 0, 0),
    # Removing frees space.
    "sessions rm": (("sessions", "rm", "work"), 1, 0),
    "cache clear": (("cache", "clear"), 1, 0),
    "models rm": (("models", "rm", "small"), 1, 0),
}


@linux
@pytest.mark.parametrize("mode", ["read-only", "full"])
def test_commands_do_what_they_can(
    env: dict[str, str], tiny_model: Callable[..., Path], tmp_path: Path, mode: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    model = str(shutil.copy(tiny_model("plain", printable=True), tmp_path / "model.gguf"))
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    isolated = {
        **{name: value for name, value in env.items() if not name.startswith("LLMTOOL_")},
        **{name: str(home / name) for name in env if name.startswith(("XDG_", "HF_HOME"))},
        "HOME": str(home),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    }

    def fill(commands: list[tuple[tuple[str, ...], str]]) -> str:
        named = [([word.replace("MODEL", model) for word in args], text) for args, text in commands]
        return json.dumps(named)

    commands = [(args, "" if args[0] == "config" else TEXT + "\n") for args, *_ in AFTER.values()]
    mount = 'mount -t tmpfs -o size=72m tmpfs "$1" || exit 99; shift; exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", home, sys.executable, script, home, mode]
        + [fill(BEFORE), fill(commands)],
        env=isolated,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=110,
    )
    if done.returncode == 99 or (done.returncode and b"unshare" in done.stderr):
        pytest.skip("mounting is not allowed here")
    found, created = json.loads(done.stderr.decode().splitlines()[-1])
    codes = {name: code for name, (code, *_) in zip(AFTER, found, strict=True)}
    expected = {name: each[1 if mode == "read-only" else 2] for name, each in AFTER.items()}
    notes = {name: error for name, (_, _, error) in zip(AFTER, found, strict=True)}
    assert codes == expected, notes
    for name, (code, out, error) in zip(AFTER, found, strict=True):
        assert "unexpected" not in error and "Traceback" not in error, error
        if code:
            assert "read-only" in error or "space" in error, error
            # A chat has one more: that the conversation is not saved at its end.
            assert sum("cannot" in line for line in error.splitlines()) <= 1 + ("chat" in name)
        elif name not in ("sum", "translate"):
            assert sum("cannot" in line for line in error.splitlines()) <= 1, (name, error)
            assert out or error, name
    assert not [path for path in created if path.endswith((".tmp", ".new", ".txt"))]
