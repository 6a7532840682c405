"""Each command prints exactly the keys and types that docs/json.md lists for it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from json_page import PAGE, SHAPES, object_mismatches
from scripted_model import use_scripted_model

from llmtool.config import find_folders
from llmtool.engine.scripted import ScriptedEngine
from llmtool.sessions.store import Sessions
from llmtool.sessions.types import Attachment, Session, Turn

TEMPLATE = """\
llmtool: 1
name: say
inputs: {text: {type: text}}
prompt: "{{ text }}"
tests:
  - vars: {text: hello}
    assert: [{type: contains, value: nothing of it}]
"""
DIFF = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
REPLIES = {
    "code": "def f():\n    return 1\n```",
    "code fix": "def f():\n    return 2\n```",
    "code review": '{"findings": [{"line": 1, "severity": "error", "message": "x is now 2"}]}',
    "code commit": "fix(a): set x to 2",
}


@pytest.fixture
def run(
    run_llmtool: Callable[..., Any],
    env: dict[str, str],
    cwd: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., list[Any]]:
    """Return `run(command, reply)`: the documents that a command prints; its model says `reply`."""
    (cwd / "say.yaml").write_text(TEMPLATE)
    (cwd / "a.py").write_text("def f()\n    return 1\n")
    (cwd / "a.txt").write_text("A mill stands by the river.\n")
    (cwd / "a.diff").write_text(DIFF)
    (cwd / "data.csv").write_text("text,label\ngood,a\nbad,b\nfine,b\n")

    def run(command: str, reply: str = "Hello.", code: int = 0) -> list[Any]:
        engine = ScriptedEngine(reply, scores=lambda prompt, label: -len(label))
        use_scripted_model(monkeypatch, engine, cwd)
        done = run_llmtool(*shlex.split(command))
        assert done.returncode == code, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


# The heading of the page, a command that prints the object, the model's reply, and the exit code.
MODEL_COMMANDS: list[tuple[str, str, str, int]] = [
    ("gen and run", "gen Hi --json", "Hello.", 0),
    ("gen and run", "gen Hi --json -n 2 --logprobs 2", "Hello.", 0),
    ("gen and run", "gen Hi --json --schema 'a int'", '{"a": 1}', 0),
    ("gen and run", "run ./say.yaml -p text=hi --json", "Hello.", 0),
    ("gen and run", "code explain a.py --json", "It adds.", 0),
    ("classify", "classify hello -l a,bb --json", "", 0),
    ("classify", "classify hello -l a,bb --multi --json", "", 0),
    ("classify", "classify hello -l a,bb --min-confidence 0.99 --json", "", 15),
    ("sum", "sum a.txt --json", "A mill.", 0),
    ("translate", "translate 'Good morning to you all' --to de --json", "Guten Morgen alle", 0),
    ("code", "code 'a function' -l python --json", REPLIES["code"], 0),
    ("code", "code tests a.txt -l python --json", REPLIES["code"], 0),
    ("code fix", "code fix a.py --json", REPLIES["code fix"], 0),
    ("code review", "code review -f a.diff --json", REPLIES["code review"], 0),
    ("code commit", "code commit --json", REPLIES["code commit"], 0),
    ("Errors", "gen Hi --json --schema [1", "", 2),
    ("Dry run", "gen Hi --dry-run --json", "", 0),
    ("Dry run", "classify hello -l a,b --dry-run --json", "", 0),
    ("classify eval", "classify eval data.csv -l a,b --json --baselines", "a", 0),
    ("prompts show", "prompts show ./say.yaml --json", "", 0),
    ("prompts show --rendered", "prompts show ./say.yaml -p text=x --json", "", 0),
    ("prompts show --rendered", "prompts show ./say.yaml -p text=x --tokens --json", "", 0),
    ("prompts test", "prompts test ./say.yaml --json", "Hello.", 17),
    ("cache ls", "cache ls --json", "", 0),
    ("cache clear", "cache clear --json", "", 0),
    ("config show", "config show --json", "", 0),
    ("doctor", "doctor --json", "", 0),
    ("models info", "models info starter --json", "", 0),
    ("models ls", "models pull starter --json", "", 0),
]


@pytest.mark.parametrize(
    ("heading", "command", "reply", "code"), MODEL_COMMANDS, ids=[c for _, c, *_ in MODEL_COMMANDS]
)
def test_object_has_the_documented_keys(
    run: Callable[..., list[Any]], cwd: Path, heading: str, command: str, reply: str, code: int
) -> None:
    if heading == "code commit":
        for words in ("init -q", "add a.txt"):
            subprocess.run(["git", *words.split()], cwd=cwd, check=True, timeout=60)
    (value,) = run(command, reply, code)
    assert object_mismatches(value, heading) == []


LIST_COMMANDS = [
    ("prompts ls", "prompts ls --json", 0),
    ("prompts lint", "prompts lint ./say.yaml ./bad.yaml --json", 12),
    ("sessions ls", "sessions ls --json", 0),
    ("models ls", "models ls --json", 0),
    ("models verify", "models verify --json", 0),
    ("models recommend", "models recommend --json", 0),
]


@pytest.mark.parametrize(
    ("heading", "command", "code"), LIST_COMMANDS, ids=[name for name, *_ in LIST_COMMANDS]
)
def test_objects_of_a_list_have_the_documented_keys(
    run: Callable[..., list[Any]], env: dict[str, str], cwd: Path,
    heading: str, command: str, code: int,
) -> None:  # fmt: skip
    (cwd / "bad.yaml").write_text("llmtool: 1\nname: bad\nprompt: '{{ x }}'\n")
    save_session(env)
    (values,) = run(command, "", code)
    assert values
    assert [text for value in values for text in object_mismatches(value, heading)] == []


def save_session(env: dict[str, str]) -> None:
    file = Attachment(name="a.txt", text="rain")
    turn = Turn(user="Does it rain?", text="It does rain.", files=(file,), model="m")
    sessions = Sessions(find_folders(env).data / "sessions")
    sessions.save(Session(name="work", turns=(turn, Turn(user="And now?"))))


def test_session_and_search_have_the_documented_keys(
    run: Callable[..., list[Any]], env: dict[str, str], cwd: Path
) -> None:
    save_session(env)
    (session,) = run("sessions show work --json")
    assert object_mismatches(session, "sessions show") == []
    run("sessions export work --format json -o work.json")
    assert json.loads((cwd / "work.json").read_text()) == session
    (found,) = run("sessions search rain --json")
    assert object_mismatches(found, "sessions search") == []
    assert {hit["role"] for hit in found["hits"]} == {"user", "assistant", "file"}
    assert run("sessions rm work --json") == [["work"]]


def test_logs_have_the_documented_keys(run: Callable[..., list[Any]], cwd: Path) -> None:
    run("gen Hi -f a.txt --json")
    run("gen -c 'And now?' --json")
    (turns,) = run("logs --json")
    assert [text for turn in turns for text in object_mismatches(turn, "Turn")] == []
    assert [turn["user"] for turn in turns] == ["Hi", "And now?"]
    assert turns[1]["exchange"]["previous"] == turns[0]["exchange"]["id"]


def test_chat_events_have_the_documented_keys(run: Callable[..., list[Any]]) -> None:
    *tokens, turn = run("chat Hi --json")
    assert tokens and all(each.keys() == {"event", "text"} for each in tokens)
    assert turn.pop("event") == "turn"
    assert object_mismatches(turn, "Turn") == []
    assert (turn["user"], turn["text"]) == ("Hi", "Hello.")


def test_bench_and_removals_have_the_documented_keys(
    run_llmtool: Callable[..., Any], tiny: Path
) -> None:
    words = ("bench", "--quick", "--parallel", "1", "--threads", "1", "-m", tiny, "--json")
    value = json.loads(run_llmtool(*words).stdout)
    assert object_mismatches(value, "bench") == []
    done = run_llmtool("models", "import", tiny, "--name", "mine", "--json")
    assert object_mismatches(json.loads(done.stdout), "models ls") == []
    (removed,) = json.loads(run_llmtool("models", "rm", "mine", "--json").stdout)
    assert object_mismatches(removed, "models rm and prune") == []


# What a batch adds to a record, for each task.
COLUMNS = {
    "gen Say --each jsonl": ["text", "finish_reason", "seed"],
    "gen Say --each jsonl -n 2": ["text", "texts", "finish_reason", "seed"],
    "classify -l a,bb --each jsonl": ["label", "score", "scores", "near_tie"],
    "classify -l a,bb --multi --each jsonl": ["labels", "scores", "near_tie"],
    "sum --each jsonl": ["text", "strategy"],
    "translate --to de --each jsonl": ["text", "source", "untranslated"],
}


@pytest.mark.parametrize("command", COLUMNS)
def test_rows_have_the_documented_columns(
    run: Callable[..., list[Any]], cwd: Path, command: str
) -> None:
    (cwd / "in.jsonl").write_text('{"id": 1, "text": "Good morning", "input_text": "b"}\n')
    (row,) = run(f"{command} --field text -f in.jsonl", "Guten Morgen")
    columns = COLUMNS[command]
    given = ["input_text", "input_input_text"] if "text" in columns else ["text", "input_text"]
    assert list(row) == ["id", *given, *columns]
    assert (row[given[0]], row[given[1]]) == ("Good morning", "b")
    page = PAGE.read_text(encoding="utf-8")
    documented = re.findall(r"^Columns in a batch: (.*)$", page, flags=re.MULTILINE)
    assert any(all(f"`{name}`" in line for name in columns) for line in documented)


# Names that a reply, an input, a label and the user's message once had.
FORMER = {"reply", "replies", "translation", "got", "answer", "response", "category", "question"}


def test_one_thing_has_one_name() -> None:
    shown = {
        f"{heading}: {key}" for heading, keys in SHAPES.items() for key in keys.keys() & FORMER
    }
    assert shown == set()
    results = ("gen and run", "Choice", "classify", "sum", "translate", "code", "code fix", "Turn")
    assert [name for name in results if SHAPES[name].get("text") != "string"] == []
    assert SHAPES["Mistake"].keys() >= {"input", "label"}
    assert SHAPES["Turn"]["user"] == "string" and "label" in SHAPES["classify"]
    assert not {"code", "summary"} & {k for name in results for k in SHAPES[name]}


def test_changelog_lists_the_renamed_keys() -> None:
    text = (PAGE.parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    renames = text.partition("- **One name per thing**")[2].partition("\n- ")[0]
    former = ("reply", "replies", "summary", "translation", "code", "got", "text", "input_text")
    assert [name for name in former if f"`{name}`" not in renames] == []


def test_every_object_of_the_page_is_tested() -> None:
    tested = {heading for heading, *_ in MODEL_COMMANDS} | {
        heading for heading, *_ in LIST_COMMANDS
    }
    tested |= {"sessions show", "sessions search", "Turn", "bench", "models rm and prune"}
    tested.add("models pull --dry-run")  # tests/hub/test_command.py
    tested.add("prompts tune")  # tests/cli/test_prompts_tune.py
    tested |= {"ps", "batch status"}  # tests/cli/test_server.py, test_batch_server.py
    nested = {name for shape in SHAPES.values() for of in shape.values()
              for name in re.findall(r"\[(\w+)\]", of)}  # fmt: skip
    assert SHAPES.keys() - nested - tested == {"SentenceWeight"}
