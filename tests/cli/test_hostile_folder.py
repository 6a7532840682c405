"""Files in the current folder that other programs would read or run are not read or run.

With `python -m llmtool` Python itself puts the current folder first on its path, so the user trusts
the folder. The command does not, nor does `python -P -m llmtool`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from one_process import run_in_one_process

POSIX = pytest.mark.skipif(os.name != "posix", reason="programs without an ending")
ENTRY_POINT = "#!{python}\nimport sys\nfrom llmtool.__main__ import main\nsys.exit(main())\n"
# Reports every file and folder that the command opens in the current folder.
GUARD = """import os, sys
here, marks = os.getcwd(), os.environ["MARKS"]
def watch(event, args):
    if event not in ("open", "os.listdir", "os.scandir"):
        return
    path = args[0] if args and args[0] is not None else "."
    if isinstance(path, int):
        return
    path = os.path.abspath(os.fsdecode(path))
    if path == here or path.startswith(here + "/"):
        fd = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"{event} {path}\\n".encode())
        os.close(fd)
sys.addaudithook(watch)
"""
MODULE = 'import os\nopen(os.environ["MARKS"], "a").write(__file__ + " was imported\\n")\n'
PROGRAM = '#!/bin/sh\necho "$0 was run" >> "$MARKS"\n'
SETTINGS = 'model = "no-such-model"\ntemperature = 9.0\nmax_tokens = 1\n'
TEMPLATE = "llmtool: 1\nname: {0}\nprompt: 'THE FOLDER SAYS {{{{ text }}}}'\ninputs:\n  text:\n"
TEMPLATE += "    type: text\n"
VARIABLES = "LLMTOOL_MODEL=no-such-model\nHF_TOKEN=hf_stolen\nLLMTOOL_CONFIG_DIR=.\n"
MODULES = [
    *("sitecustomize.py", "usercustomize.py", "llama_cpp.py", "yaml.py", "typer.py", "json.py"),
    *("llmtool/__init__.py", "llmtool/__main__.py", "jinja2/__init__.py", "rich/__init__.py"),
    *("huggingface_hub/__init__.py", "msgspec.py", "conftest.py", "setup.py", "llguidance.py"),
]
PROGRAMS = [
    "git",
    "python",
    "python3",
    "ruff",
    "gofmt",
    "shfmt",
    "prettier",
    "less",
    "vi",
    "llmtool",
]
TEXTS = {
    ".env": VARIABLES,
    "config.toml": SETTINGS,
    "llmtool.toml": SETTINGS,
    ".llmtool.toml": SETTINGS,
    ".llmtool/config.toml": SETTINGS,
    ".config/llmtool/config.toml": SETTINGS,
    "pyproject.toml": f"[tool.llmtool]\n{SETTINGS}",
    "ruff.toml": "line-length = 5\n",
    "sessions/work.jsonl": '{"version":1,"name":"work"}\n',
    "models.json": '{"models": []}',
    "schema.json": "{",
    ".netrc": "machine huggingface.co login a password b\n",
    **{f"prompts/{name}.yaml": TEMPLATE.format(name) for name in ("gen", "title", "classify")},
    **{f"{name}.yaml": TEMPLATE.format(name) for name in ("gen", "title", "code")},
}
FEW = ("--max-tokens", "8", "--temperature", "0", "--threads", "1")
CALLS = {
    "gen": ("gen", "Go on", *FEW),
    "gen --dry-run": ("gen", "Go on", "--dry-run"),
    "run": ("run", "title", *FEW),
    "run --dry-run": ("run", "title", "--dry-run"),
    "classify": ("classify", "Go on", "-l", "good,bad", "--threads", "1"),
    "sum": ("sum", "-", *FEW),
    "translate": ("translate", "Go on", "--to", "de", *FEW),
    "code": ("code", "a list", "-l", "python", "--tidy", *FEW),
    "chat": ("chat", "Go on", *FEW),
    "prompts ls": ("prompts", "ls"),
    "models ls": ("models", "ls"),
    "sessions ls": ("sessions", "ls"),
    "config show": ("config", "show"),
    "doctor": ("doctor",),
}
MODELS = {"prompts", "models", "sessions", "config", "doctor"}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    folder = tmp_path / "clean"
    folder.mkdir()
    return folder


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with settings, templates, modules and programs under commonly read names."""
    folder = tmp_path / "hostile"
    contents = {**TEXTS, **dict.fromkeys(MODULES, MODULE), **dict.fromkeys(PROGRAMS, PROGRAM)}
    del contents["llmtool"]  # this is a folder
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return folder


@pytest.fixture
def call(env: dict[str, str], tiny: Path, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Return `call(folder, args, prefix)`: exit code, stdout and opened files."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    script = tmp_path / "bin" / "llmtool"
    script.parent.mkdir()
    script.write_text(ENTRY_POINT.format(python=sys.executable))
    script.chmod(0o755)

    def run(folder: Path, args: tuple[str, ...], prefix: list[str]) -> tuple[int, str, str]:
        marks = tmp_path / f"marks of {folder.name}"
        chosen = [] if args[0] in MODELS else ["-m", str(tiny)]
        done = subprocess.run(
            [*(prefix or [str(script)]), *args, *chosen],
            env={
                **{**env, "PYTHONPATH": f"{tmp_path / 'guard'}{os.pathsep}{env['PYTHONPATH']}"},
                **{"MARKS": str(marks), "PATH": f".{os.pathsep}{env['PATH']}"},
            },
            cwd=folder,
            input=b"The river rose.",
            capture_output=True,
            timeout=60,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        stdout = "" if args[0] == "doctor" else done.stdout.decode()  # doctor shows the load
        return done.returncode, stdout, marks.read_text() if marks.exists() else ""

    return run


@POSIX
@pytest.mark.parametrize("name", ["gen", "code"])
def test_files_in_the_current_folder_are_not_read_or_run(
    call: Callable[..., tuple[int, str, str]], clean: Path, hostile: Path, name: str
) -> None:
    before = sorted(hostile.rglob("*"))
    expected = call(clean, CALLS[name], [])
    assert expected[0] in (0, 17) and expected[2] == ""
    assert call(hostile, CALLS[name], []) == expected
    assert sorted(hostile.rglob("*")) == before


@POSIX
def test_no_command_reads_or_runs_files_in_the_current_folder(
    env: dict[str, str], tiny: Path, clean: Path, hostile: Path, tmp_path: Path
) -> None:
    before = sorted(hostile.rglob("*"))
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    found = []
    for folder in (clean, hostile):
        marks = tmp_path / f"marks of {folder.name}"
        calls = [
            ([*args, *([] if args[0] in MODELS else ["-m", tiny])], folder)
            for args in CALLS.values()
        ]
        done = run_in_one_process(
            calls,
            env={**env, "MARKS": str(marks), "PATH": f".{os.pathsep}{env['PATH']}"},
            site=tmp_path / "guard",
            input=b"The river rose.",
        )
        assert not marks.exists(), marks.read_text()
        assert not [each for each in done if b"Traceback" in each.stderr]
        assert {each.returncode for each in done} <= {0, 17}
        found.append(
            [  # doctor shows the load, and sessions the time of the last command
                (
                    each.returncode,
                    each.stdout if each.args[0] not in ("doctor", "sessions") else b"",
                )
                for each in done
            ]
        )
    assert found[1] == found[0]
    assert sorted(hostile.rglob("*")) == before


@POSIX
def test_git_in_the_current_folder_is_not_run(
    call: Callable[..., tuple[int, str, str]], env: dict[str, str], hostile: Path
) -> None:
    for command in (["init", "-q"], ["add", "-f", "gen.yaml"]):
        subprocess.run(["git", *command], cwd=hostile, env=env, check=True)
    code, message, marks = call(hostile, ("code", "commit", "--max-tokens", "40"), [])
    assert marks == ""
    assert message or code == 17


@POSIX
@pytest.mark.skipif(sys.version_info < (3, 11), reason="-P came with Python 3.11")
def test_python_P_excludes_the_current_folder(
    call: Callable[..., tuple[int, str, str]], clean: Path, hostile: Path
) -> None:
    prefix = [sys.executable, "-P", "-m", "llmtool"]
    assert call(hostile, CALLS["gen"], prefix) == call(clean, CALLS["gen"], prefix)
