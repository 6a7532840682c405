"""`-o FILE`: refused before a model runs where it could not be written, or is what is read."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import READERS, error_line

TEXT = "text,label\nIt rains today.,a\nThe sun shines.,b\n"
each_command = pytest.mark.parametrize("args", READERS.values(), ids=READERS)


@pytest.fixture
def run(run_llmtool: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Return the command in a folder with `in.txt`, and a model that cannot be loaded."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "in.txt").write_text(TEXT)
    (folder / "none.gguf").write_bytes(b"no model")
    return lambda *args, **options: run_llmtool(*args, "-m", "none.gguf", cwd=folder, **options)


@each_command
def test_what_is_read_is_not_written(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    (tmp_path / "work" / "link.txt").symlink_to("in.txt")
    for name in ("in.txt", "./in.txt", "link.txt"):
        line = error_line(run(*args, "-o", name), 2)
        assert line.endswith(f"{name} is also an input; choose another file for -o")
    assert (tmp_path / "work" / "in.txt").read_text() == TEXT


@pytest.mark.parametrize(
    ("target", "reason"),
    [("none/out.txt", "No such file or directory"), (".", "is a directory")],
    ids=["no folder", "a folder"],
)
@each_command
def test_what_cannot_be_written_is_told_before_the_model_is_loaded(
    run: Callable[..., Any], args: tuple[str, ...], target: str, reason: str
) -> None:
    line = error_line(run(*args, "-o", target), 1)
    assert line.lower() == f"llmtool: {target}: cannot be written: {reason}".lower()


@each_command
def test_a_folder_that_is_not_there_is_no_file(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    line = error_line(run(*args, "-o", "newdir/"), 1)
    assert line == "llmtool: newdir/: there is no such folder"
    assert not (tmp_path / "work" / "newdir").exists()


def test_the_look_leaves_nothing_behind(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "old.txt").write_text("old")
    assert run("gen", "hello", "-o", "new.txt").returncode == 11
    assert run("gen", "hello", "-o", "old.txt").returncode == 11
    assert sorted(path.name for path in folder.iterdir()) == ["in.txt", "none.gguf", "old.txt"]
    assert (folder / "old.txt").read_text() == "old"


# What an option names, and what is in that file; `{}` is the file of `-o` too.
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "schema": ('{"type": "object"}', ("gen", "hello", "--schema", "{}")),
    "grammar": ('root ::= "a"', ("gen", "hello", "--grammar", "{}")),
    "template": ("llmtool: 1\nname: read\nprompt: hello\n", ("run", "./{}")),
    "examples": (TEXT, ("classify", "hello", "-l", "a,b", "--examples", "{}")),
    "calibrate": (TEXT, ("classify", "hello", "-l", "a,b", "--calibrate", "{}")),
    "labels": ("a\nb\n", ("classify", "hello", "-l", "@{}")),
    "eval examples": (TEXT, ("classify", "eval", "in.txt", "--examples", "{}")),
    "eval calibrate": (TEXT, ("classify", "eval", "in.txt", "--calibrate", "{}")),
    "glossary": (TEXT, ("translate", "hello", "--to", "fr", "--glossary", "{}")),
}
BATCH = ("--each", "line", "--jsonl", "--overwrite")


@pytest.mark.parametrize(("content", "args"), OPTIONS.values(), ids=OPTIONS)
def test_the_file_of_an_option_is_not_written(
    run: Callable[..., Any], tmp_path: Path, content: str, args: tuple[str, ...]
) -> None:
    name = "read.yaml" if "./{}" in args else "read.csv"
    file = tmp_path / "work" / name
    file.write_text(content)
    named = [each.format(name) for each in args]
    ways = [named]
    if "eval" not in args:
        instruction = ["hello"] if "gen" in args else []
        ways.append([*(each for each in named if each != "hello"), *instruction, *BATCH])
    for way in ways:
        line = error_line(run(*way, "-o", name, input=b"a\n"), 2)
        assert line == f"llmtool: {name} is also an input; choose another file for -o"
        assert file.read_text() == content


SAID = "{} is also an input; choose another file for -o"
TEMPLATE = """\
llmtool: 1
name: read
inputs: {text: {type: text}}
prompt: hello {{ text }}
tests: [{dataset: d.csv, assert: [{type: contains, value: a}]}]
"""
MANY = ("--each", "line", "-f", "in.txt", "--jsonl", "--overwrite")
# Every command that takes a model and writes a file.
WRITERS: dict[str, tuple[str, ...]] = {
    **{name: args for name, args in READERS.items() if name != "a batch"},
    "classify eval": ("classify", "eval", "d.csv"),
    "code commit": ("code", "commit"),
    "code commit --hook": ("code", "commit", "--hook"),
    "many: sum": ("sum", *MANY),
    "many: translate": ("translate", "--to", "fr", *MANY),
    "many: classify": ("classify", "-l", "a,b", *MANY),
    "many: code": ("code", *MANY),
    "many: gen": ("gen", "go on", *MANY),
}
# `run` is given its template as an argument; what goes into a gap has none.
TEMPLATED = {name: args for name, args in WRITERS.items() if name not in ("run", "code complete")}


@pytest.fixture
def folder(run: Callable[..., Any], tmp_path: Path, tiny: Path) -> Path:
    """Return the command's folder: with a model, a template, and something staged for git."""
    folder = tmp_path / "work"
    shutil.copy(tiny, folder / "m.gguf")
    (folder / "read.yaml").write_text(TEMPLATE)
    (folder / "d.csv").write_text("text,label\nhello,a\n")
    (folder / "base.json").write_text('{"llmtool_baseline": 1, "tests": []}')
    for words in (["init", "-q"], ["add", "in.txt"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    return folder


@pytest.mark.parametrize("args", WRITERS.values(), ids=WRITERS)
def test_the_model_is_not_written(
    run_llmtool: Callable[..., Any], folder: Path, args: tuple[str, ...], tiny: Path
) -> None:
    line = error_line(run_llmtool(*args, "-m", "m.gguf", "-o", "m.gguf", cwd=folder), 2)
    assert line.endswith(SAID.format("m.gguf"))
    assert (folder / "m.gguf").read_bytes() == tiny.read_bytes()


@pytest.mark.parametrize("args", TEMPLATED.values(), ids=TEMPLATED)
def test_the_template_is_not_written(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    line = error_line(run(*args, "-t", "./read.yaml", "-o", "read.yaml"), 2)
    assert line.endswith(SAID.format("read.yaml"))
    assert (folder / "read.yaml").read_text() == TEMPLATE


@pytest.mark.parametrize(
    "args",
    [("classify", "eval", "d.svg"), ("classify", "eval", "d.csv", "--examples", "d.svg")],
    ids=["data", "examples"],
)
def test_a_plot_does_not_replace_what_is_read(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    (folder / "d.svg").write_text(TEXT)
    assert error_line(run(*args, "--plot", "d.svg"), 2).endswith(SAID.format("d.svg"))
    assert (folder / "d.svg").read_text() == TEXT


@pytest.mark.parametrize("args", [("bench",), ("classify", "eval", "d.csv")], ids=" ".join)
def test_a_plot_does_not_replace_the_model(
    run_llmtool: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    model = shutil.copy(folder / "m.gguf", folder / "m.svg")
    line = error_line(run_llmtool(*args, "-m", "./m.svg", "--plot", "m.svg", cwd=folder), 2)
    assert line.endswith(SAID.format("m.svg"))
    assert Path(model).read_bytes() == (folder / "m.gguf").read_bytes()


@pytest.mark.parametrize("name", ["alias", "store", "setting", "second part"])
def test_a_model_that_is_named_otherwise_is_not_written(
    run_llmtool: Callable[..., Any],
    folder: Path,
    env: dict[str, str],
    name: str,
) -> None:
    from llmtool.config import find_folders
    from llmtool.models.store import Store

    file, words, more = folder / "m.gguf", ("-m", "big"), {}
    store = Store(find_folders(env))
    if name == "alias":
        store.set_alias("big", str(file))
    elif name == "store":
        file = store.import_file(file, name="big").path
    elif name == "setting":
        words, more = (), {"LLMTOOL_MODEL": str(file)}
    else:
        first = folder / "m-00001-of-00002.gguf"
        file = folder / "m-00002-of-00002.gguf"
        shutil.copy(folder / "m.gguf", first)
        shutil.copy(folder / "m.gguf", file)
        words = ("-m", str(first))
    before = file.read_bytes()
    line = error_line(run_llmtool("gen", "hello", *words, "-o", file, cwd=folder, env=more), 2)
    assert line.endswith(SAID.format(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("target", ["child.yaml", "parent.yaml"])
def test_a_template_of_the_user_and_what_it_extends_are_not_written(
    run: Callable[..., Any], env: dict[str, str], target: str
) -> None:
    prompts = Path(env["LLMTOOL_CONFIG_DIR"], "prompts")
    prompts.mkdir(parents=True)
    (prompts / "parent.yaml").write_text("llmtool: 1\nname: parent\nprompt: hello\n")
    (prompts / "child.yaml").write_text("llmtool: 1\nname: child\nextends: parent\n")
    file = prompts / target
    before = file.read_text()
    assert error_line(run("run", "child", "-o", file), 2).endswith(SAID.format(file))
    assert file.read_text() == before


@pytest.mark.parametrize("name", ["read.yaml", "d.csv", "base.json", "m.gguf"])
def test_what_tests_read_is_not_their_report(
    run_llmtool: Callable[..., Any], folder: Path, name: str
) -> None:
    before = (folder / name).read_bytes()
    words = ("./read.yaml", "-m", "m.gguf", "--baseline", "base.json", "--junit", name)
    line = error_line(run_llmtool("prompts", "test", *words, cwd=folder), 2)
    assert line.endswith(SAID.format(name))
    assert (folder / name).read_bytes() == before


def test_a_session_is_not_written_over_by_its_export(
    run_llmtool: Callable[..., Any], env: dict[str, str]
) -> None:
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Session, Turn

    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    sessions.save(Session(name="work", turns=(Turn(text="hello", reply="there"),)))
    file = sessions.path("work")
    before = file.read_bytes()
    result = run_llmtool("sessions", "export", "work", "--format", "md", "-o", file)
    assert error_line(result, 2).endswith(SAID.format(file))
    assert file.read_bytes() == before
