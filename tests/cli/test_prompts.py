"""`llmtool prompts`: ls, show, new, lint, import."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import LLMTOOL, error_line
from terminal.screen import Terminal

from llmtool.prompts.library import Library, built_in_folder
from llmtool.prompts.schema import schema_text

Run = Callable[..., Any]
TASKS = ["gen", "sum", "classify", "translate", "code", "chat"]


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


@pytest.fixture
def mine(env: dict[str, str]) -> Path:
    """A user folder with a template that overrides a built-in one, and an invalid one."""
    folder = Path(env["LLMTOOL_CONFIG_DIR"], "prompts")
    folder.mkdir(parents=True)
    (folder / "gen.yaml").write_text(
        "llmtool: 1\nname: gen\nextends: gen\nsystem: Be brief.\ntests: []\n"
    )
    (folder / "broken.yaml").write_text("llmtool: 1\nname: broken\npromt: x\n")
    (folder / "greet.yaml").write_text(
        "llmtool: 1\nname: greet\ndescription: Greet.\n"
        "inputs: {who: {type: text, required: true}}\nsystem: Be kind.\n"
        "prompt: |\n  Greet: {{ who }}\n"
        "variants: {'tiny*': {system: Be tiny.}}\ntests: [{vars: {who: Ada}}]\n"
    )
    return folder


def test_ls_is_tab_separated_and_shows_invalid_templates(run_llmtool: Run, mine: Path) -> None:
    lines = dict(line.split("\t", 1) for line in out(run_llmtool("prompts", "ls")).splitlines())
    assert sorted(lines) == sorted({*Library().names(), "broken", "greet"})
    assert lines["greet"] == f"gen\t{mine}\tGreet."
    assert lines["gen"].startswith(f"gen\t{mine}, overrides another\t")
    assert lines["sentiment"].startswith("classify\tbuilt-in\t")
    broken = f"-\t{mine}\tinvalid: broken.yaml:3: unknown key 'promt'; did you mean 'prompt'?"
    assert lines["broken"] == broken


def test_ls_as_json(run_llmtool: Run, mine: Path) -> None:
    records = {r["name"]: r for r in json.loads(out(run_llmtool("prompts", "ls", "--json")))}
    assert records["gen"]["overrides"] == str(built_in_folder() / "gen.yaml")
    assert records["broken"]["error"].startswith(str(mine)) and records["broken"]["task"] is None
    assert records["greet"] == {
        "name": "greet",
        "task": "gen",
        "description": "Greet.",
        "built_in": False,
        "path": str(mine / "greet.yaml"),
        "overrides": None,
        "error": None,
    }


def test_ls_on_a_terminal_is_a_table(env: dict[str, str], mine: Path) -> None:
    with Terminal([*LLMTOOL, "prompts", "ls"], env, columns=200, lines=60) as terminal:
        assert terminal.exit_status == 0
        first, *rows = [row for row in terminal.screen() if row]
        assert first.split() == ["name", "task", "source", "description"]
        assert any(row.startswith("broken ") and "invalid:" in row for row in rows)


def test_show_prints_the_file(run_llmtool: Run, mine: Path) -> None:
    assert out(run_llmtool("prompts", "show", "greet")) == (mine / "greet.yaml").read_text()
    assert "promt" in out(run_llmtool("prompts", "show", "broken"))
    assert str(mine) in error_line(run_llmtool("prompts", "show", "broken", "--json"), 12)
    assert "did you mean 'greet'" in error_line(run_llmtool("prompts", "show", "gret"), 12)


def test_show_as_json_is_the_parsed_template(run_llmtool: Run, mine: Path) -> None:
    value = json.loads(out(run_llmtool("prompts", "show", "greet", "--json")))
    assert value["inputs"]["who"]["required"] is True and value["inputs"]["who"]["type"] == "text"
    assert (value["prompt"], value["system"]) == ("Greet: {{ who }}\n", "Be kind.")
    assert (value["variants"], value["tests"], value["output"]) == (["tiny*"], 1, {"kind": "text"})
    chain = json.loads(out(run_llmtool("prompts", "show", "gen", "--json")))["extends"]
    assert chain == [{"name": "gen", "path": str(built_in_folder() / "gen.yaml")}]


def test_rendered_shows_messages_and_missing_inputs(run_llmtool: Run, mine: Path) -> None:
    show = ("prompts", "show", "greet", "--rendered")
    assert out(run_llmtool(*show)) == "system:\nBe kind.\n\nuser:\nGreet: <who>\n"
    assert out(run_llmtool(*show, "-p", "who={{ 1 }}")).endswith("Greet: {{ 1 }}\n")
    assert out(run_llmtool(*show, input=b"Ada")).endswith("Greet: Ada\n")
    assert out(run_llmtool(*show, "-m", "tiny-llama")).startswith("system:\nBe tiny.")
    assert out(run_llmtool(*show[:3], "-p", "who=Bo")).endswith("Greet: Bo\n")
    assert out(run_llmtool(*show, "-s", "Rude")).startswith("system:\nRude\n")
    value = json.loads(out(run_llmtool(*show, "--json")))
    assert value["messages"][1] == {"role": "user", "content": "Greet: <who>", "n_tokens": None}


def test_rendered_rejects_unknown_inputs(run_llmtool: Run, mine: Path) -> None:
    (mine / "fixed.yaml").write_text("llmtool: 1\nname: fixed\nprompt: Hello\n")
    show = ("prompts", "show", "fixed", "--rendered")
    assert "has no text input" in error_line(run_llmtool(*show, input=b"text"), 2)
    assert "no input 'who'" in error_line(run_llmtool(*show, "-p", "who=x"), 2)


def test_tokens_are_counted_by_the_model(run_llmtool: Run, mine: Path, tiny: Path) -> None:
    show = ("prompts", "show", "greet", "--tokens", "-m", tiny, "-p", "who=Ada", "--json")
    value = json.loads(out(run_llmtool(*show)))
    prompt = ("Greet: Ada", "-m", tiny, "-s", "Be tiny.", "--dry-run", "--json", "--no-stdin")
    whole = json.loads(out(run_llmtool("gen", *prompt)))
    assert (value["prompt_tokens"], value["model"]) == (whole["prompt_tokens"], tiny.name)
    assert [message["content"] for message in value["messages"]] == ["Be tiny.", "Greet: Ada"]
    parts = [message["n_tokens"] for message in value["messages"]]
    assert min(parts) > 0 and sum(parts) < value["prompt_tokens"]
    plain = run_llmtool(*show[:-1])
    assert out(plain).startswith(f"system ({parts[0]} tokens):\nBe tiny.\n\nuser ({parts[1]} tok")
    total = f"{value['prompt_tokens']} tokens in total for {tiny.name}, including the chat template"
    assert total.encode() in plain.stderr


@pytest.mark.parametrize("task", TASKS)
def test_new_template_passes_lint_and_runs(
    run_llmtool: Run, env: dict[str, str], tiny: Path, task: str
) -> None:
    path = Path(out(run_llmtool("prompts", "new", "mine", "--task", task, "-q")).rstrip("\n"))
    assert path == Path(env["LLMTOOL_CONFIG_DIR"], "prompts", "mine.yaml")
    assert out(run_llmtool("prompts", "lint", "--strict", "mine")) == ""
    value = json.loads(out(run_llmtool("prompts", "show", "mine", "--json")))
    assert (value["task"], value["tests"]) == (task, 1)
    short = [] if task == "classify" else ["--max-tokens", "3"]
    run = run_llmtool("run", "mine", "-m", tiny, *short, "--json", input=b"Hello")
    assert "finish_reason" in out(run) or "label" in out(run)


def test_new_template_refers_to_the_editor_schema(run_llmtool: Run) -> None:
    path = Path(out(run_llmtool("prompts", "new", "mine", "-q")).rstrip("\n"))
    first = path.read_text().splitlines()[0]
    assert (
        first == f"# yaml-language-server: $schema={(built_in_folder() / 'schema.json').as_uri()}"
    )


def test_new_template_from_another_renders_the_same(run_llmtool: Run) -> None:
    show = ("prompts", "show", "sentiment", "--json")
    before = json.loads(out(run_llmtool(*show)))
    out(run_llmtool("prompts", "new", "sentiment", "--from", "sentiment"))
    value = json.loads(out(run_llmtool(*show)))
    for key in ("output", "prompt", "examples", "inputs", "tests"):
        assert value[key] == before[key]
    assert value["overrides"] == str(built_in_folder() / "sentiment.yaml")
    assert run_llmtool("prompts", "lint", "sentiment").returncode == 0


def test_new_replaces_a_file_only_with_overwrite(run_llmtool: Run, mine: Path) -> None:
    before = (mine / "greet.yaml").read_text()
    assert "--overwrite" in error_line(run_llmtool("prompts", "new", "greet"), 2)
    assert (mine / "greet.yaml").read_text() == before
    out(run_llmtool("prompts", "new", "greet", "--overwrite"))
    assert (mine / "greet.yaml").read_text() != before
    assert [path.name for path in mine.iterdir() if path.name.startswith(".")] == []


def test_overridden_template_is_reported(run_llmtool: Run) -> None:
    args = ("prompts", "new", "sentiment")
    assert b"overrides" in run_llmtool(*args).stderr
    assert b"overrides" not in run_llmtool(*args, "--from", "sentiment", "--overwrite").stderr
    imported = run_llmtool(
        *("prompts", "import", "-", "--name", "gen", "--format", "llm"), input=b"prompt: x"
    )
    assert imported.returncode == 0 and b"overrides" in imported.stderr


@pytest.mark.parametrize("name", ["../x", "X", "", "a b", "/etc/x"])
def test_new_rejects_paths(run_llmtool: Run, name: str) -> None:
    assert "is not a valid template name" in error_line(
        run_llmtool("prompts", "new", "--", name), 2
    )


def test_folders_from_the_environment_come_first(
    run_llmtool: Run, mine: Path, tmp_path: Path
) -> None:
    team, other = tmp_path / "team", tmp_path / "other"
    env: dict[str, str | None] = {"LLMTOOL_PROMPTS": os.pathsep.join(map(str, (team, other)))}
    path = out(run_llmtool("prompts", "new", "greet", "-q", env=env)).rstrip("\n")
    assert path == str(team / "greet.yaml")
    value = json.loads(out(run_llmtool("prompts", "show", "greet", "--json", env=env)))
    assert (value["path"], value["overrides"]) == (path, str(mine / "greet.yaml"))
    assert out(run_llmtool("prompts", "show", "greet")) == (mine / "greet.yaml").read_text()


def test_new_uses_the_first_writable_folder(run_llmtool: Run, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env: dict[str, str | None] = {"LLMTOOL_PROMPTS": str(tmp_path / "file" / "prompts")}
    assert out(run_llmtool("prompts", "new", "x", "-q", env=env)) == f"{mine / 'x.yaml'}\n"


def test_lint_checks_all_user_templates(run_llmtool: Run, mine: Path) -> None:
    result = run_llmtool("prompts", "lint")
    assert result.returncode == 12
    assert result.stdout.decode().splitlines() == [
        f"{mine}/broken.yaml:3: unknown key 'promt'; did you mean 'prompt'?",
        f"{mine}/gen.yaml:1: warning: no tests; add some to detect regressions",
    ]
    assert result.stderr == b"llmtool: 1 of 3 templates failed\n"


def test_lint_fails_on_warnings_only_if_strict(run_llmtool: Run, mine: Path) -> None:
    assert run_llmtool("prompts", "lint", "gen").returncode == 0
    assert run_llmtool("prompts", "lint", "--strict", "gen").returncode == 12
    assert run_llmtool("prompts", "lint", "--strict", "greet").returncode == 0
    (finding,) = json.loads(out(run_llmtool("prompts", "lint", "--json", "gen")))
    assert (finding["file"], finding["line"], finding["level"]) == (
        str(mine / "gen.yaml"),
        1,
        "warning",
    )


def test_lint_of_a_missing_template_is_an_error(run_llmtool: Run) -> None:
    assert "unknown template 'nothing'" in error_line(run_llmtool("prompts", "lint", "nothing"), 12)
    result = run_llmtool("prompts", "lint")
    assert (out(result), result.stderr.count(b"\n")) == ("", 1)


def test_lint_reports_missing_templates_among_others(
    run_llmtool: Run, mine: Path, tmp_path: Path
) -> None:
    result = run_llmtool("prompts", "lint", "gone.yaml", "broken", "nothing")
    assert result.returncode == 12
    gone, broken, nothing = result.stdout.decode().splitlines()
    assert gone == "gone.yaml:1: no such file"
    assert broken.startswith(f"{mine}/broken.yaml:3: ")
    assert nothing.startswith("nothing:1: unknown template 'nothing'")
    assert result.stderr == b"llmtool: 3 of 3 templates failed\n"


def test_imported_template_can_be_shown(
    run_llmtool: Run, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text("prompt: Cook $what for $$5\nmodel: gpt-4\n")
    result = run_llmtool("prompts", "import", tmp_path / "recipe.yaml")
    assert out(result) == f"{env['LLMTOOL_CONFIG_DIR']}/prompts/recipe.yaml\n"
    first, second = result.stderr.decode().splitlines()
    assert first == f"llmtool: reading {tmp_path / 'recipe.yaml'} in the llm format"
    assert second.startswith("llmtool: model: ")
    shown = run_llmtool("prompts", "show", "recipe", "--rendered", "-p", "what=leek", "--no-stdin")
    assert out(shown).startswith("user:\nCook leek for $5")
    assert "--overwrite" in error_line(
        run_llmtool("prompts", "import", "-q", tmp_path / "recipe.yaml"), 2
    )


def test_detected_format_of_standard_input_is_reported(run_llmtool: Run) -> None:
    done = run_llmtool("prompts", "import", "-", "-o", "-", "--name", "x", input=b"prompt: Hi")
    assert done.stderr == b"llmtool: reading standard input in the llm format\n"
    args = ("prompts", "import", "-", "-o", "-", "--name", "x", "--format", "llm")
    assert run_llmtool(*args, input=b"prompt: Hi").stderr == b""


def test_import_accepts_a_pattern_folder(run_llmtool: Run, tmp_path: Path) -> None:
    (tmp_path / "find_ideas").mkdir()
    (tmp_path / "find_ideas" / "system.md").write_text("# ROLE\n\nYou find ideas.\n\n# INPUT\n")
    (tmp_path / "find_ideas" / "user.md").write_text("A letter:\n")
    text = out(run_llmtool("prompts", "import", tmp_path / "find_ideas", "-o", "-"))
    assert text.startswith("llmtool: 1\nname: find_ideas\ndescription: You find ideas.\n")
    assert "A letter:" in text
    missing = run_llmtool("prompts", "import", tmp_path)
    assert "has no system.md" in error_line(missing, 14)


def test_import_writes_to_the_given_file(run_llmtool: Run, tmp_path: Path) -> None:
    path = tmp_path / "out" / "kind.yaml"
    args = ("import", "-", "--name", "kind", "--format", "fabric", "-o", path)
    assert out(run_llmtool("prompts", *args, input=b"Be kind.")) == f"{path}\n"
    assert run_llmtool("prompts", "lint", path).returncode == 0


BAD_IMPORTS = {
    "not YAML": ("x.yaml", b"prompt: [", 12),
    "an alias bomb": ("x.yaml", b"a: &a [x]\nb: [*a, *a]", 12),
    "not UTF-8": ("x.md", b"\xff", 12),
    "empty": ("x.md", b"", 12),
    "no name": ("\u00e9.md", b"Be kind.", 2),
    "not there": ("", b"", 14),
    "not a regular file": (os.devnull, b"", 14),
}


@pytest.mark.parametrize(("name", "content", "code"), BAD_IMPORTS.values(), ids=BAD_IMPORTS)
def test_import_errors_are_one_line(
    run_llmtool: Run, env: dict[str, str], tmp_path: Path, name: str, content: bytes, code: int
) -> None:
    path = tmp_path / (name or "nothing")
    if name:
        path.write_bytes(content)
    error_line(run_llmtool("prompts", "import", path), code)
    assert not Path(env["LLMTOOL_CONFIG_DIR"], "prompts").exists()


def test_schema_is_printed_unchanged(run_llmtool: Run) -> None:
    assert out(run_llmtool("prompts", "schema")) == schema_text()
