"""Names of files and folders need not be UTF-8: models, inputs, outputs, settings and caches."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line, linux

pytestmark = linux  # other systems reject such names
Run = Callable[..., Any]
GEN = ("--threads", "1", "--max-tokens", "3", "--temperature", "0")
FOLDERS = {
    "LLMTOOL_CONFIG_DIR": b"config\xff",
    "LLMTOOL_DATA_DIR": b"data\xff",
    "LLMTOOL_CACHE_DIR": b"cache\xff",
    "LLMTOOL_PROMPTS": b"prompts\xff",
    "HF_HOME": b"hf\xff",
    "HOME": b"home\xff",
    "TMPDIR": b"tmp\xff",
}
FILES = {
    b"t\xff.txt": b"It rains in Paris.\n",
    b"u\xff.txt": b"The sun shines in Rome.\n",
    b"t\xff.md": b"# Hi\n\nIt rains.\n",
    b"t\xff.csv": b"text\nIt rains.\nThe sun shines.\n",
    b"t\xff.py": b"def f(x):\n    return x\n",
    b"labels\xff": b"rain\nsun\n",
    b"examples\xff.jsonl": b'{"text": "wet", "label": "rain"}\n{"text": "hot", "label": "sun"}\n',
    b"schema\xff.json": b'{"enum": [true, false]}',
    b"g\xff.gbnf": b'root ::= "a" | "b"\n',
    b"fabric\xff.md": b"# IDENTITY\n\nYou summarize.\n",
    b"prompts\xff/hello.yaml": b"llmtool: 1\nname: hello\nprompt: Say {{ word }}\n"
    b"inputs:\n  word: {type: string}\n",
    b"damaged\xff.gguf": b"GGUF\x03",
}


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """A folder with files of every kind; no name is UTF-8."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    for name in FOLDERS.values():
        (folder / os.fsdecode(name)).mkdir(parents=True)
    for name, content in FILES.items():
        (folder / os.fsdecode(name)).write_bytes(content)
    shutil.copy(tiny, folder / os.fsdecode(b"m\xff.gguf"))
    return folder


@pytest.fixture
def run(run_llmtool: Run, folder: Path) -> Run:
    """Return `run(*args)`, which succeeds; bytes in `args` are names in the folder."""

    def run(*args: str | bytes, code: int = 0, **options: Any) -> Any:
        words = [folder / os.fsdecode(a) if isinstance(a, bytes) else a for a in args]
        env = {name: str(folder / os.fsdecode(value)) for name, value in FOLDERS.items()}
        result = run_llmtool(*words, env=env, **options)
        assert result.returncode == code, result.stderr
        assert b"unexpected" not in result.stderr
        return result

    return run


@pytest.mark.parametrize(
    "args",
    [
        ("gen", "hi", "-f", b"t\xff.txt", *GEN, "--json"),
        ("gen", "hi", *GEN, "--dry-run"),
        ("gen", "hi", *GEN[:2], "--max-tokens", "9", "--schema", b"schema\xff.json"),
        ("gen", "hi", *GEN, "--grammar", b"g\xff.gbnf"),
        ("gen", "hi", *GEN, "--log"),
        ("gen", "hi", *GEN, "--each", "file", "-f", b"t\xff.txt", "-f", b"u\xff.txt"),
        ("gen", "hi", *GEN, "--each", "csv", "--field", "text", "-f", b"t\xff.csv", "--json"),
        ("run", "hello", "-p", "word=hi", *GEN),
        ("sum", b"t\xff.txt", b"u\xff.txt", *GEN[:4]),
        ("sum", b"t\xff.txt", *GEN[:4], "--json"),
        ("translate", "-f", b"t\xff.md", "--from", "en", "--to", "fr", *GEN, "--json"),
        ("classify", "It rains.", "-l", "rain,sun", "--threads", "1", "--json"),
        ("classify", "-f", b"t\xff.txt", "-l", "rain,sun", "--examples", b"examples\xff.jsonl"),
        ("classify", "eval", b"examples\xff.jsonl", "-l", "rain,sun"),
        ("code", "explain", b"t\xff.py", *GEN),
        ("chat", *GEN, "--session", "talk"),
    ],
    ids=lambda args: " ".join(word for word in args if isinstance(word, str))[:40],
)
def test_task_runs_with_any_names(run: Run, args: tuple[str | bytes, ...]) -> None:
    result = run(*args, "-m", b"m\xff.gguf", input=b"hi\n" if args[0] == "chat" else b"")
    assert result.stdout
    if "--json" in args and "--each" not in args:
        json.loads(result.stdout)


def test_labels_are_read_from_file(run: Run, folder: Path) -> None:
    labels = f"@{folder / os.fsdecode(b'labels')}\udcff"
    result = run("classify", "It rains.", "-l", labels, "-m", b"m\xff.gguf", "--threads", "1")
    assert result.stdout in (b"rain\n", b"sun\n")


def test_output_is_written_and_resumed(run: Run, folder: Path) -> None:
    batch = ("gen", "hi", "-m", b"m\xff.gguf", *GEN, "--each", "file", "-o", b"out\xff.jsonl")
    files = ("-f", b"t\xff.txt", "-f", b"u\xff.txt")
    run(*batch, *files[:2])
    run(*batch, *files, "--resume")
    rows = (folder / os.fsdecode(b"out\xff.jsonl")).read_bytes().splitlines()
    assert [json.loads(row)["file"] for row in rows] == [
        f"{folder.parent}/caf\\xe9/{name}\\xff.txt" for name in "tu"
    ]
    run("gen", "hi", "-m", b"m\xff.gguf", *GEN, "-o", b"out\xff.txt")
    assert (folder / os.fsdecode(b"out\xff.txt")).read_bytes()


def test_paths_are_printed_as_their_bytes_and_escaped_in_json(run: Run, folder: Path) -> None:
    model = folder / os.fsdecode(b"m\xff.gguf")
    assert run("models", "pull", model).stdout == os.fsencode(model) + b"\n"
    assert os.fsencode(model) in run("models", "info", model).stdout
    assert os.fsencode(model) in run("models", "verify", model).stdout
    info = json.loads(run("models", "info", model, "--json").stdout)
    assert (info["name"], info["path"]) == ("m\\xff.gguf", str(model))
    for command in (("config", "show"), ("doctor",), ("cache", "ls"), ("models", "ls")):
        run(*command)
        text = run(*command, "--json").stdout.decode()
        if command[0] != "models":
            assert os.fsencode(folder) in os.fsencode(
                json.dumps(json.loads(text), ensure_ascii=False)
            )


def test_model_is_imported_listed_and_removed(run: Run, folder: Path) -> None:
    assert run("models", "import", b"m\xff.gguf", "--name", "mine").stdout == b"mine\n"
    (path,) = [
        m["path"] for m in json.loads(run("models", "ls", "--json").stdout) if m["name"] == "mine"
    ]
    assert Path(path).is_file() and Path(path).is_relative_to(folder)
    run("gen", "hi", "-m", "mine", *GEN)
    run("models", "rm", "mine")
    assert not Path(path).exists()


def test_alias_and_default_model_are_saved_as_url(run: Run, folder: Path) -> None:
    run("models", "alias", "small", b"m\xff.gguf")
    run("config", "set", "model", b"m\xff.gguf")
    run("config", "set", "aliases.other", b"m\xff.gguf")
    aliases = run("models", "alias").stdout.decode().splitlines()
    url = f"file://{folder.parent}/caf%E9/m%FF.gguf"
    assert aliases == [f"other\t{url}", f"small\t{url}"]
    for options in ((), ("-m", "small"), ("-m", "other"), ("-m", url)):
        run("gen", "hi", *options, *GEN)


def test_session_continues_with_its_model(run: Run) -> None:
    chat = ("chat", "--session", "talk", *GEN)
    run(*chat, "-m", b"m\xff.gguf", input=b"hi\n")
    again = run(*chat, input=b"again\n")
    assert b"starter" not in again.stderr
    assert run("sessions", "search", "again").stdout
    assert b"m%FF.gguf" in run("sessions", "show", "talk", "--json").stdout
    run("sessions", "export", "talk", "-o", b"talk\xff.html")


def test_templates_are_listed_checked_and_imported(run: Run, folder: Path) -> None:
    path = folder / os.fsdecode(b"prompts\xff/hello.yaml")
    assert b"hello\t" in run("prompts", "ls").stdout
    assert str(path) in [t["path"] for t in json.loads(run("prompts", "ls", "--json").stdout)]
    run("prompts", "lint", path)
    run("prompts", "show", "hello")
    created = run("prompts", "new", "mine").stdout
    assert Path(os.fsdecode(created.strip())).is_file()
    run("prompts", "import", b"fabric\xff.md")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("gen", "hi", "-m", b"damaged\xff.gguf"), 11),
        (("gen", "hi", "-m", b"none\xff.gguf"), 10),
        (("gen", "hi", "-f", b"none\xff.txt"), 14),
        (("gen", "hi", "-o", b"none\xff/out"), 1),
        (("models", "rm", b"m\xff.gguf"), 2),
    ],
    ids=str,
)
def test_error_is_one_line_with_the_name(
    run: Run, folder: Path, args: tuple[str | bytes, ...], code: int
) -> None:
    result = run(*args, code=code)
    assert result.stderr.count(b"\n") == 1
    assert b"\xff" in result.stderr or b"\\xff" in result.stderr


@pytest.mark.parametrize("value", ["\udcff", "é\udcff"])
@pytest.mark.parametrize("name", ["threads", "color", "temperature", "offline"])
def test_setting_that_is_not_utf8_is_rejected(run_llmtool: Run, name: str, value: str) -> None:
    line = error_line(run_llmtool("config", "set", name, value), 2)
    assert line.startswith(f"llmtool: {name} {value!r}: must be ")
    result = run_llmtool("config", "show", env={f"LLMTOOL_{name.upper()}": value})
    assert error_line(result, 2).startswith(f"llmtool: LLMTOOL_{name.upper()} {value!r}: must be ")
