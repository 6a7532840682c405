"""`-o FILE` fails before a model runs if the file is not writable or is also an input."""

from __future__ import annotations

import csv
import io
import json
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
    """Return a runner in a folder with `in.txt` and a model that cannot be loaded."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "in.txt").write_text(TEXT)
    (folder / "none.gguf").write_bytes(b"no model")
    return lambda *args, **options: run_llmtool(*args, "-m", "none.gguf", cwd=folder, **options)


@each_command
def test_input_files_are_not_overwritten(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    (tmp_path / "work" / "link.txt").symlink_to("in.txt")
    for name in ("in.txt", "./in.txt", "link.txt"):
        line = error_line(run(*args, "-o", name), 2)
        assert line.endswith(f"{name} is also an input; choose another output file")
    assert (tmp_path / "work" / "in.txt").read_text() == TEXT


@pytest.mark.parametrize(
    ("target", "reason"),
    [("none/out.txt", "No such file or directory"), (".", "is a directory")],
    ids=["no folder", "a folder"],
)
@each_command
def test_unwritable_output_fails_before_loading(
    run: Callable[..., Any], args: tuple[str, ...], target: str, reason: str
) -> None:
    line = error_line(run(*args, "-o", target), 1)
    assert line.lower() == f"llmtool: cannot write {target}: {reason}".lower()


@each_command
def test_output_in_a_missing_folder_is_an_error(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...]
) -> None:
    line = error_line(run(*args, "-o", "newdir/"), 1)
    assert line == "llmtool: cannot write newdir/: folder not found"
    assert not (tmp_path / "work" / "newdir").exists()


def test_output_check_creates_no_file(run: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "old.txt").write_text("old")
    assert run("gen", "hello", "-o", "new.txt").returncode == 11
    assert run("gen", "hello", "-o", "old.txt", "--overwrite").returncode == 11
    assert sorted(path.name for path in folder.iterdir()) == ["in.txt", "none.gguf", "old.txt"]
    assert (folder / "old.txt").read_text() == "old"


# An option and the content of its file; `{}` is also the file of `-o`.
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
def test_option_files_are_not_overwritten(
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
        assert line == f"llmtool: {name} is also an input; choose another output file"
        assert file.read_text() == content


MESSAGE = "{} is also an input; choose another output file"
TEMPLATE = """\
llmtool: 1
name: read
inputs: {text: {type: text}}
prompt: hello {{ text }}
tests: [{dataset: d.csv, assert: [{type: contains, value: a}]}]
"""
MANY = ("--each", "line", "-f", "in.txt", "--jsonl", "--overwrite")
# Every command that uses a model and writes a file.
WRITERS: dict[str, tuple[str, ...]] = {
    **{name: args for name, args in READERS.items() if name != "a batch"},
    "classify eval": ("classify", "eval", "d.csv"),
    "code review": ("code", "review", "-f", "a.diff"),
    "code commit": ("code", "commit"),
    "code commit --hook": ("code", "commit", "--hook"),
    "many: sum": ("sum", *MANY),
    "many: translate": ("translate", "--to", "fr", *MANY),
    "many: classify": ("classify", "-l", "a,b", *MANY),
    "many: code": ("code", *MANY),
    "many: gen": ("gen", "continue", *MANY),
}
# `run` takes its template as an argument; `code complete` has none.
TEMPLATED = {name: args for name, args in WRITERS.items() if name not in ("run", "code complete")}


@pytest.fixture
def folder(run: Callable[..., Any], tmp_path: Path, tiny: Path) -> Path:
    """Return a folder with a model, a template, and staged changes for git."""
    folder = tmp_path / "work"
    shutil.copy(tiny, folder / "m.gguf")
    (folder / "read.yaml").write_text(TEMPLATE)
    (folder / "a.diff").write_text("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")
    (folder / "d.csv").write_text("text,label\nhello,a\n")
    (folder / "base.json").write_text('{"llmtool_baseline": 1, "tests": []}')
    for words in (["init", "-q"], ["add", "in.txt"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    return folder


@pytest.mark.parametrize("args", WRITERS.values(), ids=WRITERS)
def test_model_file_is_not_overwritten(
    run_llmtool: Callable[..., Any], folder: Path, args: tuple[str, ...], tiny: Path
) -> None:
    words = (*{*args, "--overwrite"} - {*args}, "-q", "-m", "m.gguf", "-o", "m.gguf")
    line = error_line(run_llmtool(*args, *words, cwd=folder), 2)
    assert line.endswith(MESSAGE.format("m.gguf"))
    assert (folder / "m.gguf").read_bytes() == tiny.read_bytes()


@pytest.mark.parametrize("args", TEMPLATED.values(), ids=TEMPLATED)
def test_template_file_is_not_overwritten(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    line = error_line(run(*args, "-t", "./read.yaml", "-o", "read.yaml"), 2)
    assert line.endswith(MESSAGE.format("read.yaml"))
    assert (folder / "read.yaml").read_text() == TEMPLATE


@pytest.mark.parametrize(
    "args",
    [("classify", "eval", "d.svg"), ("classify", "eval", "d.csv", "--examples", "d.svg")],
    ids=["data", "examples"],
)
def test_plot_does_not_overwrite_input_files(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    (folder / "d.svg").write_text(TEXT)
    assert error_line(run(*args, "--plot", "d.svg"), 2).endswith(MESSAGE.format("d.svg"))
    assert (folder / "d.svg").read_text() == TEXT


@pytest.mark.parametrize("args", [("bench",), ("classify", "eval", "d.csv")], ids=" ".join)
def test_plot_does_not_overwrite_the_model(
    run_llmtool: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    model = shutil.copy(folder / "m.gguf", folder / "m.svg")
    words = ("-m", "./m.svg", "--plot", "m.svg", "--overwrite")
    line = error_line(run_llmtool(*args, *words, cwd=folder), 2)
    assert line.endswith(MESSAGE.format("m.svg"))
    assert Path(model).read_bytes() == (folder / "m.gguf").read_bytes()


@pytest.mark.parametrize("name", ["alias", "store", "setting", "second part"])
def test_model_with_another_path_is_not_overwritten(
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
    words = ("gen", "hello", *words, "-o", str(file), "--overwrite")
    line = error_line(run_llmtool(*words, cwd=folder, env=more), 2)
    assert line.endswith(MESSAGE.format(file))
    assert file.read_bytes() == before


@pytest.mark.parametrize("target", ["child.yaml", "parent.yaml"])
def test_user_template_and_its_parents_are_not_overwritten(
    run: Callable[..., Any], env: dict[str, str], target: str
) -> None:
    prompts = Path(env["LLMTOOL_CONFIG_DIR"], "prompts")
    prompts.mkdir(parents=True)
    (prompts / "parent.yaml").write_text("llmtool: 1\nname: parent\nprompt: hello\n")
    (prompts / "child.yaml").write_text("llmtool: 1\nname: child\nextends: parent\n")
    file = prompts / target
    before = file.read_text()
    assert error_line(run("run", "child", "-o", file), 2).endswith(MESSAGE.format(file))
    assert file.read_text() == before


@pytest.mark.parametrize("name", ["read.yaml", "d.csv", "base.json", "m.gguf"])
def test_report_does_not_overwrite_test_files(
    run_llmtool: Callable[..., Any], folder: Path, name: str
) -> None:
    before = (folder / name).read_bytes()
    words = ("./read.yaml", "-m", "m.gguf", "--baseline", "base.json", "--junit", name)
    line = error_line(run_llmtool("prompts", "test", *words, cwd=folder), 2)
    not_xml = f"{name}: the file exists and is not XML; choose another name"
    assert line.endswith(not_xml if name == "m.gguf" else MESSAGE.format(name))
    assert (folder / name).read_bytes() == before


def test_export_does_not_overwrite_the_session(
    run_llmtool: Callable[..., Any], env: dict[str, str]
) -> None:
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Session, Turn

    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    sessions.save(Session(name="work", turns=(Turn(user="hello", text="there"),)))
    file = sessions.path("work")
    before = file.read_bytes()
    result = run_llmtool("sessions", "export", "work", "--format", "md", "-o", file)
    assert error_line(result, 2).endswith(MESSAGE.format(file))
    assert file.read_bytes() == before


EXISTS = "llmtool: {} already exists; use --overwrite to replace it"
SINGLE = {name: args for name, args in WRITERS.items() if "--overwrite" not in args}


@pytest.mark.parametrize("args", SINGLE.values(), ids=SINGLE)
def test_existing_file_is_replaced_only_with_overwrite(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    old = folder / "old.out"
    old.write_text("old")
    if "--hook" in args:
        line = error_line(run(*args, "-o", "old.out"), 2)
        assert line.endswith("--install-hook preserves the existing hook")
    else:
        assert error_line(run(*args, "-o", "old.out"), 2).endswith(EXISTS.format("old.out"))
        assert "already exists" not in run(*args, "-o", "old.out", "--overwrite").stderr.decode()
    assert old.read_text() == "old"


def test_overwrite_replaces_the_file(gen: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    assert gen("hello", "-o", out).returncode == 0
    first = out.read_bytes()
    assert error_line(gen("goodbye", "-o", out), 2) == EXISTS.format(out)
    assert out.read_bytes() == first
    assert gen("goodbye", "-o", out, "--overwrite").returncode == 0
    assert out.read_bytes() != first


def test_empty_file_and_device_need_no_overwrite(gen: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for target in (tmp_path / "empty", "/dev/null", "/dev/stdout", "-"):
        assert gen("hello", "-o", target).returncode == 0


def test_overwrite_without_a_file_is_an_error(run: Callable[..., Any]) -> None:
    line = error_line(run("gen", "hello", "--overwrite"), 2)
    assert line == "llmtool: --overwrite needs an output file; add -o FILE"
    line = error_line(run("bench", "--overwrite"), 2)
    assert line == "llmtool: --overwrite needs a plot; add --plot FILE"


@pytest.mark.parametrize("args", [("bench",), ("classify", "eval", "d.csv")], ids=" ".join)
def test_plot_is_replaced_only_with_overwrite(
    run: Callable[..., Any], folder: Path, args: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    (folder / "old.svg").write_text("old")
    assert error_line(run(*args, "--plot", "old.svg"), 2) == EXISTS.format("old.svg")
    assert "exists" not in run(*args, "--plot", "old.svg", "--overwrite").stderr.decode()


def test_session_export_and_template_import_need_overwrite(
    run_llmtool: Callable[..., Any], env: dict[str, str], tmp_path: Path
) -> None:
    from llmtool.sessions.store import Sessions
    from llmtool.sessions.types import Session, Turn

    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    sessions.save(Session(name="work", turns=(Turn(user="hello", text="there"),)))
    (tmp_path / "llm.yaml").write_text("system: Be brief\nprompt: 'Sum up: $input'\n")
    old = tmp_path / "old.md"
    for words in (("sessions", "export", "work"), ("prompts", "import", tmp_path / "llm.yaml")):
        old.write_text("old")
        done = run_llmtool(*words, "-o", old)
        assert done.returncode == 2 and EXISTS.format(old) in done.stderr.decode().splitlines()
        assert old.read_text() == "old"
        assert run_llmtool(*words, "-o", old, "--overwrite").returncode == 0
        assert old.read_text() != "old"


JSON_ONLY = "-o {}: --json writes one JSON document; use the extension .json"
LINES_ONLY = "-o {}: this batch writes lines of text; use the extension .txt, or .jsonl or .csv"
ROWS_ONLY = "-o {}: this batch writes JSON lines; use the extension .jsonl"
TABLE_ONLY = "-o {}: this batch writes CSV; use the extension .csv, or .jsonl"


@pytest.mark.parametrize(
    ("args", "name", "reason"),
    [
        (("gen", "hello", "--json"), "x.csv", JSON_ONLY),
        (("gen", "hello", "--json"), "X.TXT", JSON_ONLY),
        (("code", "a list", "--json"), "x.py", JSON_ONLY),
        (("code", "review", "-f", "in.txt", "--json"), "x.md", JSON_ONLY),
        (("gen", "Say", "--each", "line"), "x.json", LINES_ONLY),
        (("gen", "Say", "--each", "line"), "x.xlsx", LINES_ONLY),
        (("gen", "Say", "--each", "jsonl"), "x.jsonl.gz", ROWS_ONLY),
        (("gen", "Say", "--each", "csv"), "x.json", TABLE_ONLY),
        (("gen", "Say", "--each", "csv"), "x.parquet", TABLE_ONLY),
        (("gen", "Say", "--each", "csv"), "x.txt", TABLE_ONLY),
        (("gen", "Say", "--each", "jsonl"), "x.csv", ROWS_ONLY),
        (("gen", "Say", "--each", "jsonl"), "x.json", ROWS_ONLY),
        (("gen", "Say", "--each", "line", "--jsonl"), "x.txt", ROWS_ONLY),
        (("gen", "Say", "--each", "csv", "--json"), "x.csv", ROWS_ONLY),
        (("gen", "Say", "--each", "csv"), "x.tsv", "-o {}: the columns are separated by ','; use "
         "the extension .csv"),
    ],
)  # fmt: skip
def test_name_of_another_format_is_rejected(
    run: Callable[..., Any], tmp_path: Path, args: tuple[str, ...], name: str, reason: str
) -> None:
    line = error_line(run(*args, "-o", name, input=b"id,text\n1,a\n"), 2)
    assert line == f"llmtool: {reason.format(name)}"
    assert not (tmp_path / "work" / name).exists()


@pytest.mark.parametrize("each", ["line", "file"])
def test_lines_and_files_are_written_as_the_name_says(
    gen: Callable[..., Any], tmp_path: Path, each: str
) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    column = {"line": "input", "file": "file"}[each]
    words = ("Say", "--each", each, "-f", tmp_path / "a.txt")
    assert gen(*words, "-o", tmp_path / "out.csv").returncode == 0
    table = (tmp_path / "out.csv").read_text()
    assert table.startswith(f"{column},text,finish_reason,seed,error,exit_code,key\n")
    (row,) = csv.DictReader(io.StringIO(table))
    assert row[column] == ("hello" if each == "line" else str(tmp_path / "a.txt"))
    assert gen(*words, "-o", tmp_path / "out.csv", "--resume").returncode == 0
    assert (tmp_path / "out.csv").read_text() == table
    assert gen(*words, "-o", tmp_path / "out.jsonl").returncode == 0
    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == row["text"]
