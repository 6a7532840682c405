"""Control sequences and markup in names, titles and metadata are escaped on a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command import LLMTOOL
from terminal.screen import Terminal

from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Session, Turn

EVIL = "ev\x1b]0;title\x07\x1b[31mi\x9b2J\u202el\x08"
MARKUP = "[red]x[/red] :smile: [link=http://a.b]y[/link] [bold"
ESCAPE, BELL = r"(\u241b|\\x1b)", r"(\u2407|\\x07)"  # as a symbol, or in Python's notation
SHOWN = rf"ev{ESCAPE}\]0;title{BELL}{ESCAPE}\[31mi(<U\+009B>|\\x9b)2J(<U\+202E>|\\u202e)l"
STEERING = ("\x1b", "\x07", "\x08", "\x9b", "\u202e")
SHORT = ("--max-tokens", "4", "--temperature", "0", "--threads", "1")
TEMPLATE = "llmtool: 1\nname: {}\ndescription: {}\ninputs: {{text: {{type: text}}}}\n"
TEMPLATE += 'prompt: "{{{{ text }}}}"\n'


@pytest.fixture(scope="module")
def hostile(tiny_model: Callable[..., Path]) -> Path:
    """A model whose metadata contains control sequences and Rich markup."""
    metadata = {"general.name": EVIL + MARKUP, "general.license": MARKUP + EVIL}
    return tiny_model("plain", metadata=metadata)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that have such names."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in (f"{EVIL}.txt", f"{MARKUP.replace('/', '')}.txt"):
        (folder / name).write_text("The river rose during the night.\n")
    (folder / f"{EVIL}.gguf").write_text("no model")
    (folder / f"{EVIL}.yaml").write_text("llmtool: 1\nname: [\n")
    (folder / "rows.jsonl").write_text(
        "".join(msgspec.json.encode({"id": n, "text": n}).decode() + "\n" for n in (EVIL, ""))
    )
    return folder


@pytest.fixture
def known(env: dict[str, str]) -> dict[str, str]:
    """An environment with such titles, descriptions and aliases."""
    sessions = Sessions(Path(env["LLMTOOL_DATA_DIR"], "sessions"))
    for name, text in (("one", EVIL), ("two", MARKUP)):
        turn = Turn(user=text, text=text)
        sessions.save(Session(name=name, model=text, folder=text, turns=(turn,)))
    config = Path(env["LLMTOOL_CONFIG_DIR"])
    (config / "prompts").mkdir(parents=True)
    for name, text in (("evil", EVIL), ("markup", MARKUP)):
        template = TEMPLATE.format(name, json.dumps(text))
        (config / "prompts" / f"{name}.yaml").write_text(template)
    aliases = {"evil": EVIL, "markup": MARKUP}
    lines = (f"{name} = {msgspec.json.encode(text).decode()}\n" for name, text in aliases.items())
    (config / "config.toml").write_text("[aliases]\n" + "".join(lines))
    return env


def show(argv: list[Any], env: dict[str, str], code: int, **options: Any) -> str:
    """Return the output to the terminal, without the sequence that clears a status line."""
    plain = {**env, "NO_COLOR": "1"}
    with Terminal([*LLMTOOL, *argv], plain, columns=200, **options) as terminal:
        status = terminal.exit_status
        text = terminal.raw.replace(b"\r\x1b[K", b"").replace(b"\r\n", b"\n").decode()
    assert status == code, text
    assert "Traceback" not in text and "unexpected " not in text
    return text


def assert_shown(text: str) -> None:
    for steering in (*STEERING, "\r"):
        assert steering not in text, f"{steering!r} reached the terminal: {text!r}"
    assert re.search(SHOWN, text), text


ERRORS = {
    "a missing file": (("gen", "-f", f"no {EVIL}.txt"), 14),
    "a missing file of sum": (("sum", f"no {EVIL}.txt"), 14),
    "a missing file of a batch": (("gen", "--each", "line", "-f", f"no {EVIL}"), 14),
    "a missing diff": (("code", "review", "-f", f"no {EVIL}.diff"), 14),
    "a missing source": (("code", "explain", f"no {EVIL}.py:1"), 14),
    "a missing example": (("classify", "x", "-l", "a,b", "--examples", f"no {EVIL}.csv"), 14),
    "a missing template": (("gen", "x", "-t", f"./no {EVIL}.yaml"), 12),
    "a broken template": (("gen", "x", "-t", f"./{EVIL}.yaml"), 12),
    "an unknown template": (("run", EVIL, "x"), 12),
    "a bad model": (("gen", "x", "-m", f"./{EVIL}.gguf"), 11),
    "an unknown model": (("models", "info", EVIL), 10),
    "a model to pull": (("models", "pull", EVIL), 10),
    "a file to import": (("models", "import", f"./{EVIL}.gguf"), 11),
    "an option": (("gen", f"--{EVIL}"), 2),
    "a command": (("sessions", EVIL), 2),
    "a value": (("gen", "x", "--threads", EVIL), 2),
    "a parameter": (("gen", "x", "-p", EVIL), 2),
    "a schema": (("gen", "x", "--schema", f"./no {EVIL}.json"), 14),
    "a regex": (("gen", "x", "--regex", f"({EVIL}"), 2),
    "a folder to write to": (("gen", "x", "-o", f"no {EVIL}/out"), 1),
    "a session": (("sessions", "show", EVIL), 2),
    "a setting": (("config", "set", EVIL, "1"), 2),
    "a language": (("translate", "x", "--to", EVIL), 2),
}


@pytest.mark.parametrize(("words", "code"), ERRORS.values(), ids=ERRORS)
def test_control_characters_in_error_names_are_escaped(
    env: dict[str, str], folder: Path, tiny: Path, words: tuple[str, ...], code: int
) -> None:
    model = ["-m", tiny] if words[0] not in ("models", "sessions", "config", EVIL) else []
    model = [] if "-m" in words else model
    text = show([*words, *model], env, code, cwd=folder)
    assert text.startswith("llmtool: ") and text.count("\n") == 1
    assert_shown(text)


LISTED = {
    "sessions ls": ("sessions", "ls"),
    "sessions show": ("sessions", "show", "one", "--no-pager"),
    "sessions search": ("sessions", "search", "title"),
    "prompts ls": ("prompts", "ls"),
    "prompts show": ("prompts", "show", "evil", "--rendered", "--no-stdin", "-p", f"text={EVIL}"),
    "config show": ("config", "show"),
    "models alias": ("models", "alias"),
    "sessions export": ("sessions", "export", "one"),
}


@pytest.mark.parametrize("words", LISTED.values(), ids=LISTED)
def test_control_characters_in_listings_are_escaped(
    known: dict[str, str], words: tuple[str, ...]
) -> None:
    assert_shown(show([*words], known, 0))


MARKED = {
    "sessions ls": ("sessions", "ls"),
    "sessions show": ("sessions", "show", "two", "--no-pager"),
    "sessions search": ("sessions", "search", "smile"),
    "prompts ls": ("prompts", "ls"),
    "config show": ("config", "show"),
    "models alias": ("models", "alias"),
}


@pytest.mark.parametrize("words", MARKED.values(), ids=MARKED)
def test_markup_in_listings_is_literal(known: dict[str, str], words: tuple[str, ...]) -> None:
    assert MARKUP in " ".join(show([*words], known, 0).split())


def test_control_characters_in_model_metadata_are_escaped(
    env: dict[str, str], hostile: Path
) -> None:
    for words in (["models", "info", hostile], ["models", "info", hostile, "--json"]):
        text = show(words, env, 0)
        if "--json" not in words:
            assert_shown(text)
        assert not any(steering in text for steering in STEERING)
        assert MARKUP in " ".join(text.split())


def test_control_characters_in_labels_are_escaped(env: dict[str, str], tiny: Path) -> None:
    markup = MARKUP.replace("=", ":")  # text after = is a description
    labels = ["-l", EVIL, "-l", markup]
    text = show(["classify", "hello", *labels, "-m", tiny, "--threads", "1"], env, 0)
    assert_shown(text)
    assert markup in text


def test_control_characters_in_file_headings_are_escaped(
    env: dict[str, str], folder: Path, tiny: Path
) -> None:
    names = [f"{EVIL}.txt", f"{MARKUP.replace('/', '')}.txt"]
    command = ["sum", *names, "-m", tiny, *SHORT]
    text = show(command, env, 0, cwd=folder)
    assert_shown(text)
    assert MARKUP.replace("/", "") in text
    piped = subprocess.run(
        [*LLMTOOL, *command], env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert piped.returncode == 0
    assert EVIL.encode() in piped.stdout, "a pipe gets the bytes"


@pytest.mark.parametrize("each", ["file", "jsonl"])
def test_control_characters_in_batch_rows_are_escaped(
    env: dict[str, str], folder: Path, tiny: Path, each: str
) -> None:
    names = folder.parent / "names"
    names.write_bytes(f"{EVIL}.txt\0no {EVIL}.txt\0".encode())
    source = names if each == "file" else folder / "rows.jsonl"
    command = ["gen", "--each", each, "-m", tiny, *SHORT]
    text = show(command, env, 3, cwd=folder, stdin=source)
    assert not any(steering in text for steering in STEERING), repr(text)
    with source.open("rb") as file:
        piped = subprocess.run(
            [*LLMTOOL, *command], env=env, cwd=folder, stdin=file, capture_output=True
        )
    row = msgspec.json.decode(piped.stdout.splitlines()[0])
    assert row["file" if each == "file" else "id"].removesuffix(".txt") == EVIL


@pytest.mark.skipif(os.name != "posix", reason="file names that are not UTF-8")
def test_non_utf8_file_name_works(env: dict[str, str], folder: Path, tiny: Path) -> None:
    name = os.fsdecode(b"caf\xe9.gguf")
    try:
        (folder / name).write_bytes(tiny.read_bytes())
    except OSError:
        pytest.skip("the file system takes only text for a name")
    assert "caf" in show(["models", "info", f"./{name}"], env, 0, cwd=folder)
    assert "caf" in show(["models", "verify", f"./{name}"], env, 0, cwd=folder)
    show(["gen", "hello", "-m", f"./{name}", *SHORT], env, 0, cwd=folder)
