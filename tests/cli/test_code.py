"""`llmtool code` and its subcommands: stdout, exit codes, files."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import error_line, linux
from scripted_model import use_scripted_model
from tiny_vocabulary import TokenType, bpe_vocabulary

from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Usage
from llmtool.tasks.code.results import Finding, Review

Done = subprocess.CompletedProcess[bytes]
GREEDY = ("--temperature", "0", "--threads", "1")
BROKEN = "def add(a, b)\n    return a + b\n"

EVEN = "def is_even(n):\n    return n % 2 == 0\n"
FIXED = "def add(a, b):\n    return a + b\n"
REPLIES = {  # of the scripted model, by a part of the prompt
    "is_even": f"{EVEN}```",
    "half(n)": "def test_half():\n    assert half(4) == 2\n```",
    "def add": f"{FIXED}```",
    "adds two numbers": "const add = (a, b) => a + b\n```",
    "the number 1 and a story": '{"number": 1, story\n```',
    "This code is wrong": "[1\n```",
    "print the text hello": "DISPLAY 'hello'.\n```",
    "   1 +timeout = 30": json.dumps(
        {
            "findings": [
                {"line": line, "severity": "warning", "message": "It waits for too long."}
                for line in (1, 9)
            ]
        }
    ),
    'message "fix(mail): wait 30 seconds"': "- It waits longer.\n- It prints the time.",
    "+timeout = 30": "fix(mail): wait 30 seconds",
    "3.14": "It returns the area of a circle.",
}


@pytest.fixture
def code(
    run_llmtool: Callable[..., Any], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Run a subcommand of `code` with the scripted model."""

    def reply(prompt: str) -> str:
        return next(text for part, text in REPLIES.items() if part in prompt)

    use_scripted_model(monkeypatch, ScriptedEngine(reply), cwd)
    return partial(run_llmtool, "code")


@pytest.fixture
def code_of_starter(run_llmtool: Callable[..., Any], starter: Path) -> Callable[..., Done]:
    """Run a subcommand of `code` with the starter model, whose replies are code."""

    def run(*args: str | Path, **options: Any) -> Done:
        return run_llmtool("code", *args, "-m", starter, *GREEDY, **options)  # type: ignore[no-any-return]

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one staged change."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "mail.py").write_text("timeout = 1\nprint(timeout)\n")
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "begin")
    (folder / "mail.py").write_text("timeout = 30\nprint(timeout)\n")
    (folder / "uv.lock").write_text("x\n")
    git(folder, "add", "-A")
    return folder


def git(folder: Path, *args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True).stdout


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


# Generating code


def test_stdout_contains_only_code(code_of_starter: Callable[..., Done]) -> None:
    done = code_of_starter("a function is_even(n)", "-l", "py")
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "```" not in text and text.endswith("\n")
    assert [n.name for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)] == ["is_even"]


def test_request_can_come_from_a_pipe(code: Callable[..., Done]) -> None:
    for done in (
        code("-l", "py", input=b"a function is_even(n)"),
        code("a function is_even(n)", "-l", "py"),
    ):
        assert (done.returncode, done.stdout) == (0, EVEN.encode())


def test_json_has_all_fields(code: Callable[..., Done]) -> None:
    result = json.loads(code("a function is_even(n)", "-l", "python3", "--json").stdout)
    assert list(result) == [
        "text", "language", "status", "rounds", "diagnostics", "formatter", "tests", "model",
        "usage", "seconds", "finish_reason", "seed", "warnings",
    ]  # fmt: skip
    assert (result["language"], result["status"], result["rounds"]) == ("python", "ok", 0)


def test_output_file_name_selects_the_language(code: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "add.js"
    done = code("a function that adds two numbers", "-o", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert file.read_text() == "const add = (a, b) => a + b\n"


BROKEN_JSON = ("the number 1 and a story", "-l", "json", "--repair", "0")


def test_code_with_an_error_is_printed_with_exit_code_17(code: Callable[..., Done]) -> None:
    done = code(*BROKEN_JSON)
    assert done.returncode == 17 and done.stdout
    last = done.stderr.decode().splitlines()[-1]
    assert re.match(r"llmtool: the generated code has an error: line \d+, column \d+: ", last)
    result = code(*BROKEN_JSON, "--json")
    assert result.returncode == 17 and json.loads(result.stdout)["status"] == "error"


def test_strict_rejects_code_with_an_error(code: Callable[..., Done], tmp_path: Path) -> None:
    done = code(*BROKEN_JSON, "--strict", "--quiet")
    assert "the generated code has an error" in error_line(done, 17)
    code(*BROKEN_JSON, "--strict", "-o", tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_no_check_prints_code_unchanged(code: Callable[..., Done]) -> None:
    done = code(*BROKEN_JSON, "--no-check", "--quiet")
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["x", "-l", "a`b"], "language 'a`b': must be a name of at most 40 characters"),
        (["x", "--run-tests", "pytest"], "must contain {}, the file"),
        (["x", "--run-tests", "pytest", "--json", "-o", "x.py"], "must contain {}, the file"),
        (["commit", "--hook", "--json"], "--hook cannot be combined with --json"),
        (["x", "--limit", "3"], "--limit needs a batch"),
        (["--each", "line", "--run-tests", "cat {}"], "--run-tests and --each cannot"),
        (["x", "--repair", "11"], "must be between 0 and 10"),
        (["review", "--sarif", "--json"], "cannot be combined"),
        (["review", "--staged", "-f", "x"], "cannot be combined"),
        (["complete", "x.py"], "FILE:LINE"),
        (["fix", "-", "--write"], "cannot change standard input"),
        (["commit"], "not a git repository"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_options_are_usage_errors(
    code: Callable[..., Done], args: list[str], reason: str
) -> None:
    assert reason in error_line(code(*args, input=b"x\n"), 2)


def test_language_without_a_checker_is_accepted_with_a_note(code: Callable[..., Done]) -> None:
    done = code("print the text hello", "-l", "COBOL")
    assert done.returncode == 0 and done.stdout
    assert b"llmtool: not checked: no syntax checker for cobol\n" in done.stderr
    assert b"Write cobol code: sort" in code("sort", "-l", "COBOL", "--dry-run").stdout


def test_dry_run_shows_the_prompt(code: Callable[..., Done]) -> None:
    done = code("sort a list", "-l", "rs", "--dry-run")
    assert done.returncode == 0 and b"Write rust code: sort a list" in done.stdout


def test_batch_has_a_row_for_each_request(code: Callable[..., Done]) -> None:
    requests = b"a function is_even(n)\na function add, as in def add(a, b)\n"
    done = code("--each", "line", "-l", "py", "--jsonl", input=requests)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and [row["status"] for row in rows] == ["ok", "ok"]
    assert [row["text"] for row in rows] == [EVEN, FIXED]


def test_code_error_fails_only_its_record(code: Callable[..., Done]) -> None:
    args = ("--each", "jsonl", "-l", "json", "--repair", "0")
    records = b'{"text": "the number 1 and a story"}\n{"text": ""}\n'
    done = code(*args, input=records)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3 and [row["exit_code"] for row in rows] == [17, 14]
    assert rows[0]["status"] == "error" and rows[0]["text"]


# User tests


@linux
def test_user_tests_run_on_the_code(code: Callable[..., Done]) -> None:
    done = code("a function is_even(n)", "-l", "py", "--run-tests", "grep -q is_even {}")
    assert done.returncode == 0 and b"llmtool: running grep -q is_even {}\n" in done.stderr


@linux
def test_failing_user_tests_give_exit_code_17(code: Callable[..., Done]) -> None:
    args = ("a function is_even(n)", "-l", "py", "--repair", "0", "--json")
    done = code(*args, "--run-tests", "echo no; exit 4 # {}")
    result = json.loads(done.stdout)
    assert done.returncode == 17 and result["status"] == "error"
    assert (result["tests"]["exit_code"], result["tests"]["output"]) == (4, "no\n")


@linux
def test_user_tests_find_the_output_file(code: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "even.py").write_text("old")
    (tmp_path / "even.py").chmod(0o640)
    command = "python3 -c 'from even import is_even; assert is_even(2) and not is_even(3)'"
    done = code(
        "a function is_even(n)", "-o", "even.py", "--overwrite", "--run-tests", command,
        "--repair", "0", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((tmp_path / "even.py").stat().st_mode) == 0o640


@linux
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_signal_ends_hanging_user_tests(
    start_llmtool: Callable[..., Any], starter: Path, tmp_path: Path, number: signal.Signals
) -> None:
    pid, file = tmp_path / "pid", tmp_path / "even.py"
    file.write_text("old")
    command = f"echo $$ > {pid}; exec sleep 500"  # one process, which llmtool waits for
    process = start_llmtool(
        "code", "a function is_even(n)", "-m", starter, *GREEDY, "-o", file,
        "--overwrite", "--run-tests", command, "--test-timeout", "400",
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    while not pid.exists() or not pid.read_text().endswith("\n"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(100) == -number  # before the tests end
    assert file.read_text() == "old"
    with pytest.raises(ProcessLookupError):
        for _ in range(500):  # the group exists until init has reaped it
            os.killpg(int(pid.read_text()), 0)
            time.sleep(0.02)


@linux
def test_strict_preserves_the_file_if_user_tests_fail(
    code: Callable[..., Done], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "even.py").write_text("old")
    args = ("a function is_even(n)", "--run-tests", "false", "--repair", "0", "--overwrite")
    for name in ("even.py", "new.py"):
        done = code(*args, "--strict", "-o", name, cwd=folder)
        assert done.returncode == 17 and files_of(folder) == {"even.py": b"old"}
    assert code(*args, "-o", "even.py", cwd=folder).returncode == 17
    assert b"def is_even" in (folder / "even.py").read_bytes()


def test_user_tests_do_not_run_on_a_patch(code: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "add.py").write_text(BROKEN)
    done = code("fix", "add.py", "--run-tests", "true", "-o", "x.patch", cwd=tmp_path)
    assert "must contain {}, the file" in error_line(done, 2)
    assert not (tmp_path / "x.patch").exists()


@linux
def test_installed_hook_is_run_by_git(code: Callable[..., Done], repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "prepare-commit-msg"
    done = code("commit", "--hook", "-o", hook, *GREEDY, "--stop", "a b", cwd=repository)
    assert done.returncode == 0 and os.access(hook, os.X_OK)
    assert "--temperature=0.0 '--stop=a b' --threads=1" in hook.read_text()


def test_hook_uses_the_options_it_was_installed_with(
    run_llmtool: Callable[..., Any], repository: Path
) -> None:
    for name in ("m.gguf", "c.jinja"):
        (repository / name).write_bytes(b"")
    options = (
        "--system", "be brief", "-p", "a=b c", "-p", "d=e", "--think=low", "--ctx-size", "2048",
        "--chat-template", "c.jinja", "--template-arg", "a=b c",
        "--threads", "3", "-ngl", "all", "--parallel", "4", "--kv-type", "q8_0", "--no-cache",
    )  # fmt: skip
    hook = run_llmtool("code", "commit", "--hook", "-m", "m.gguf", *options, cwd=repository)
    (command,) = re.findall(r'\("\$llmtool" code commit (.*) </dev/null\)', hook.stdout.decode())
    assert shlex.split(command) == [
        "--offline", "--timeout=60", "--system=be brief", "--param=a=b c", "--param=d=e",
        "--think=low", f"--model={repository / 'm.gguf'}", "--ctx-size=2048", "--threads=3",
        "--n-gpu-layers=all", "--parallel=4", f"--chat-template={repository / 'c.jinja'}",
        "--template-arg=a=b c", "--kv-type=q8_0", "--no-cache",
    ]  # fmt: skip
    again = run_llmtool("code", "commit", "--hook", *shlex.split(command), cwd=repository)
    assert again.stdout == hook.stdout


def test_json_output_name_does_not_select_the_language(
    code: Callable[..., Done], tmp_path: Path
) -> None:
    args = ("a function is_even(n)", "--json", "-o", "result.json")
    code(*args, cwd=tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["language"] != "json"


def test_incomplete_explanation_with_an_output_spec_is_not_written_to_a_pipe(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    template = tmp_path / "explain.yaml"
    template.write_text(
        "llmtool: 1\nname: t\ntask: code\ninputs: {code: {type: text}}\nprompt: '{{ code }}'\n"
        "output: {json: {type: array, items: {type: integer}, minItems: 9}}\n"
    )
    (tmp_path / "add.py").write_text("x = 1\n")
    done = run_llmtool(
        "code", "explain", "add.py", "-t", template, "--max-tokens", "4", "-m", tiny, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (17, b"")


def test_no_code_runs_and_no_file_is_written_by_default(
    run_llmtool: Callable[..., Done], tiny: Path, repository: Path
) -> None:
    (repository / "add.py").write_text(BROKEN)
    before = files_of(repository)
    for args in (
        ["write a file called x with the text y in Python", "-l", "py", "--max-tokens", "12"],
        ["fix", "add.py", "--max-tokens", "12"],
        ["tests", "add.py", "--max-tokens", "12"],
        ["explain", "add.py", "--max-tokens", "8"],
        ["review", "--staged", "--max-tokens", "12"],
        ["commit", "--max-tokens", "12"],
        ["commit", "--hook", "--max-tokens", "12"],
    ):
        run_llmtool("code", *args, "-m", tiny, cwd=repository)
        assert files_of(repository) == before, args


# Subcommands


def test_fix_is_a_patch_that_git_applies(
    code_of_starter: Callable[..., Done], repository: Path
) -> None:
    (repository / "add.py").write_text(BROKEN)
    done = code_of_starter("fix", "add.py", cwd=repository)
    assert done.returncode == 0 and (repository / "add.py").read_text() == BROKEN
    subprocess.run(["git", "apply", "-"], input=done.stdout, cwd=repository, check=True)
    ast.parse((repository / "add.py").read_text())


@pytest.mark.parametrize("place", [".", "sub", "other"])
def test_patch_applies_at_the_root_and_in_the_folder(
    code: Callable[..., Done], repository: Path, place: str
) -> None:
    for folder in ("sub", "other"):
        (repository / folder).mkdir()
    file = repository / "sub" / "add.py"
    file.write_text(BROKEN)
    named = os.path.relpath(file, repository / place)
    done = code("fix", named, cwd=repository / place)
    assert done.stdout.startswith(b"--- a/sub/add.py\n+++ b/sub/add.py\n")
    for where in {".", place} - {"other"}:
        file.write_text(BROKEN)
        apply = ["git", "apply", "-"]
        subprocess.run(apply, input=done.stdout, cwd=repository / where, check=True)
        ast.parse(file.read_text())


def test_patch_paths_never_go_above_the_root(code: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "add.py").write_text(BROKEN)
    done = code("fix", "../add.py", cwd=tmp_path / "work")
    assert done.stdout.startswith(b"--- a/add.py\n+++ b/add.py\n")


def test_write_fixes_the_file_and_saves_a_backup(code: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "add.py"
    file.write_text(BROKEN)
    file.chmod(0o755)
    done = code("fix", file, "--write", "--error", "-", input=b"SyntaxError: expected ':'\n")
    assert done.returncode == 0 and done.stdout.startswith(b"--- a/")
    ast.parse(file.read_text())
    assert (tmp_path / "add.py.orig").read_text() == BROKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o755


def test_fix_that_does_not_parse_is_not_written(code: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{")
    done = code("fix", file, "--write", "--repair", "0")
    assert done.returncode == 17 and file.read_text() == "{"
    assert [path.name for path in tmp_path.glob("x.json*")] == ["x.json"]


def test_fix_of_a_correct_file_needs_an_error(code: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "ok.py").write_text("x = 1\n")
    assert "--error" in error_line(code("fix", tmp_path / "ok.py"), 2)


def test_explain_accepts_a_line_range(code: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("secret = 1\ndef area(r):\n    return 3.14 * r * r\n")
    shown = code("explain", f"{file}:2-3", "--dry-run").stdout.decode()
    assert "def area(r)" in shown and "secret" not in shown
    done = code("explain", file)
    assert (done.returncode, done.stdout) == (0, b"It returns the area of a circle.\n")
    assert "has 3 lines" in error_line(code("explain", f"{file}:2-9"), 2)
    assert "is empty" in error_line(code("explain", "-", input=b" \n"), 14)


def test_tests_are_generated_for_a_file(code: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "half.py"
    file.write_text("def half(n):\n    return n / 2\n")
    done = code("tests", file)
    assert done.returncode == 0 and b"def test_" in done.stdout
    shown = code("tests", file, "-l", "js", "--dry-run").stdout
    assert b"Write tests with node:test" in shown


def test_tests_of_a_line_range_use_the_language_of_the_file(
    code: Callable[..., Done], tmp_path: Path
) -> None:
    file = tmp_path / "half.ts"
    file.write_text("let a = 1\nfunction half(n) { return n / 2 }\n")
    shown = code("tests", f"{file}:2", "--dry-run").stdout
    assert b"Write tests with vitest" in shown and b"let a" not in shown


@pytest.mark.parametrize("verb", ["explain", "fix", "tests", "complete"])
def test_unreadable_file_is_14(code: Callable[..., Done], tmp_path: Path, verb: str) -> None:
    file = tmp_path / "latin.py"
    file.write_bytes(b"x = 'caf\xe9'\n")
    place = f"{file}:1" if verb == "complete" else file
    assert error_line(code(verb, place), 14).endswith("not UTF-8 at byte 8 (0xe9)")
    assert error_line(code(verb, f"{file}x:1"), 14).endswith(": no such file")


def test_patch_needs_a_whole_file(code: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(BROKEN)
    assert "a.py:1: no such file" in error_line(code("fix", f"{tmp_path / 'a.py'}:1"), 14)
    (tmp_path / "b.py").write_text("\n")
    assert "is empty" in error_line(code("fix", tmp_path / "b.py"), 14)


def test_review_findings_are_on_changed_lines(code: Callable[..., Done], repository: Path) -> None:
    done = code("review", "--staged", "--json", cwd=repository)
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["n_parts"] == 1
    assert result["skipped"] == [{"path": "uv.lock", "reason": "a lock file"}]
    assert [(f["path"], f["line"]) for f in result["findings"]] == [("mail.py", 1)]
    assert b"skipped uv.lock (a lock file)" in done.stderr


def test_review_fail_on_sets_the_exit_code(code: Callable[..., Done], repository: Path) -> None:
    diff = git(repository, "diff", "--staged")
    done = code("review", "--sarif", "--fail-on", "note", input=diff)
    assert done.returncode == 15
    assert [each["level"] for each in json.loads(done.stdout)["runs"][0]["results"]] == ["warning"]
    none = code("review", "-f", "-", "--fail-on", "error", input=diff)
    assert (none.returncode, none.stdout) == (0, b"mail.py:1: warning: It waits for too long.\n")


def test_text_that_is_not_a_diff_is_an_input_error(code: Callable[..., Done]) -> None:
    assert "no changes to review" in error_line(code("review", input=b"hello\n"), 14)


@pytest.mark.parametrize(
    "diff", [b"", b"\n", b"diff --git a/x b/x\nBinary files a/x and b/x differ\n"]
)
def test_review_of_an_empty_diff_succeeds_without_a_model(
    run_llmtool: Callable[..., Done], diff: bytes
) -> None:
    args = ("code", "review", "-m", "not/installed", "--fail-on", "note")
    done = run_llmtool(*args, "--json", input=diff)
    assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, [])
    done = run_llmtool(*args, "--sarif", input=diff)
    assert (done.returncode, json.loads(done.stdout)["runs"][0]["results"]) == (0, [])
    done = run_llmtool(*args, "--github", input=diff)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no changes to review" in done.stderr


def test_review_with_nothing_staged_succeeds(
    run_llmtool: Callable[..., Done], repository: Path
) -> None:
    git(repository, "reset", "-q", "--hard")
    done = run_llmtool("code", "review", "--staged", "--json", cwd=repository)
    assert (done.returncode, json.loads(done.stdout)["findings"]) == (0, [])


FINDING = Finding(path="a,b.py", line=3, severity="note", message="100%\n::set-output name=x::y")


@pytest.mark.parametrize("n_omitted", [0, 7])
def test_review_prints_github_annotations(
    run_llmtool: Callable[..., Done], tiny: Path, monkeypatch: pytest.MonkeyPatch, n_omitted: int
) -> None:
    def review(*_: object, **__: object) -> Review:
        usage = Usage(prompt_tokens=1, cached_tokens=0, completion_tokens=1)
        return Review(
            text="", findings=(FINDING,), n_parts=1, n_omitted=n_omitted, model="m", usage=usage,
            seconds=1,
        )  # fmt: skip

    monkeypatch.setattr("llmtool.tasks.code.review.review", review)
    diff = b"--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n"
    args = ("code", "review", "-m", tiny, "--github", "--fail-on", "error")
    done = run_llmtool(*args, input=diff)
    assert done.returncode == (3 if n_omitted else 0)
    assert done.stdout == (
        b"::notice file=a%2Cb.py,line=3,title=llmtool code review::"
        b"100%25%0A::set-output name=x::y\n"
    )
    assert (b"7 added lines of the diff were not reviewed" in done.stderr) == bool(n_omitted)


@pytest.mark.parametrize(
    "args",
    [("review", "-f", "m.diff"), ("commit",), ("complete", "mail.py:1")],
    ids=["review", "commit", "complete"],
)
def test_options_are_checked_before_the_model_is_found(
    run_llmtool: Callable[..., Done], repository: Path, args: tuple[str, ...]
) -> None:
    (repository / "m.diff").write_text("--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n+b\n")
    options = ("--seed", "1") if "complete" in args else ("-p", "nothing=1")
    options = (*options, "--temperature", "nan")
    done = run_llmtool("code", *args, "-m", "not/installed", *options, cwd=repository)
    assert "not/installed" not in error_line(done, 2)


def test_commit_message_of_a_model_has_a_subject(
    run_llmtool: Callable[..., Done], tiny: Path, repository: Path
) -> None:
    done = run_llmtool("code", "commit", "-m", tiny, *GREEDY, cwd=repository)
    assert done.returncode == 0
    subject = done.stdout.decode().removesuffix("\n")
    assert re.fullmatch(r"[a-z]+(\([a-z0-9._/-]+\))?: [a-z].+", subject) and len(subject) <= 72


def test_commit_message_has_a_subject_and_body(code: Callable[..., Done], repository: Path) -> None:
    result = json.loads(code("commit", "--body", "--json", cwd=repository).stdout)
    assert result["subject"] == "fix(mail): wait 30 seconds"
    assert result["body"] == "- It waits longer.\n- It prints the time."
    assert result["text"] == f"{result['subject']}\n\n{result['body']}"


def test_commit_without_staged_changes_is_an_error(
    code: Callable[..., Done], repository: Path
) -> None:
    git(repository, "reset", "-q", "--hard")
    assert "nothing is staged" in error_line(code("commit", cwd=repository), 14)


@linux
def test_repository_config_cannot_run_programs(
    run_llmtool: Callable[..., Done], tiny: Path, repository: Path
) -> None:
    mark = repository / "was-run"
    program = repository / "evil"
    program.write_text(f'#!/bin/sh\ntouch {mark}\ncat "$1" 2>/dev/null\n')
    program.chmod(0o755)
    git(repository, "config", "diff.external", str(program))
    git(repository, "config", "diff.evil.textconv", str(program))
    git(repository, "config", "core.fsmonitor", str(program))
    git(repository, "config", "core.pager", str(program))
    (repository / ".git" / "info" / "attributes").write_text("* diff=evil\n")
    done = run_llmtool("code", "commit", "-m", tiny, cwd=repository)
    assert done.returncode in (0, 17) and not mark.exists()


@linux
def test_hook_fills_only_empty_messages(
    code: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "llmtool"
    monkeypatch.setattr(sys, "argv", [str(fake)])
    script, message = tmp_path / "hook", tmp_path / "message"
    script.write_bytes(code("commit", "--hook").stdout)
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "fix: $4"\n')
    fake.chmod(0o755)

    def run(*source: str) -> str:
        message.write_text("# comment\n")
        path = f"{fake.parent}:/usr/bin:/bin"
        subprocess.run(["sh", script, message, *source], env={"PATH": path}, check=True)
        return message.read_text()

    assert run() == "fix: --timeout=60\n\n# comment\n"
    assert run("message") == "# comment\n"
    fake.write_text("#!/bin/sh\nexit 14\n")
    assert run() == "# comment\n"


# Completion


@pytest.fixture(scope="module")
def filler(tiny_model: Callable[..., Path]) -> Path:
    vocabulary = bpe_vocabulary()
    for name in ("prefix", "suffix", "middle"):
        text = f"<|fim_{name}|>"  # llama.cpp recognizes these names
        vocabulary.add(text, text.encode(), TokenType.CONTROL)
    return tiny_model("plain", vocabulary=vocabulary, printable=True, n_ctx=256)


def test_completion_fills_the_gap_exactly(
    run_llmtool: Callable[..., Done], filler: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("The river rose\nduring the night\n")
    args = ("code", "complete", f"{file}:1:5", "-m", filler, *GREEDY, "--max-tokens", "5")
    shown = run_llmtool(*args, "--dry-run").stdout.decode()
    assert shown.startswith(
        "<|fim_prefix|>The <|fim_suffix|>river rose\nduring the night\n<|fim_middle|>"
    )
    result = json.loads(run_llmtool(*args, "--json").stdout)
    done = run_llmtool(*args)
    assert done.returncode == 0 and done.stdout.decode() == result["text"] != ""
    assert b"\n" not in done.stdout[-1:] or result["text"].endswith("\n")
    assert result["usage"]["completion_tokens"] == 5


def test_long_file_is_truncated_around_the_cursor(
    run_llmtool: Callable[..., Done], filler: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("".join(f"line {i}\n" for i in range(200)))
    done = run_llmtool(
        "code", "complete", f"{file}:100", "-m", filler, *GREEDY, "--max-tokens", "5"
    )
    assert done.returncode == 0 and b"did not fit into the context" in done.stderr


def test_completion_that_breaks_the_file_is_reported(
    run_llmtool: Callable[..., Done], filler: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.py"
    file.write_text("x = (\n")
    args = ("code", "complete", f"{file}:1", "-m", filler, *GREEDY, "--max-tokens", "3")
    done = run_llmtool(*args)
    assert (
        done.returncode == 0
        and b"a.py has a syntax error with the inserted text: line 1" in done.stderr
    )
    strict = run_llmtool(*args, "--strict", "--quiet")
    assert "has a syntax error" in error_line(strict, 17)


def test_model_without_fim_tokens_is_an_error(
    run_llmtool: Callable[..., Done], tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    done = run_llmtool("code", "complete", f"{tmp_path / 'a.py'}:1", "-m", tiny)
    assert "has no fill-in-the-middle tokens" in error_line(done, 2)


# gen -x


def test_extract_prints_only_the_code(run_llmtool: Callable[..., Done], starter: Path) -> None:
    args = ("gen", "-m", starter, *GREEDY)
    done = run_llmtool(*args, "-x", "Write a Python function add(a, b) in a code block.")
    assert done.returncode == 0 and done.stdout.startswith(b"def add") and b"```" not in done.stdout


def test_extract_without_code_prints_nothing(
    run_llmtool: Callable[..., Done], starter: Path
) -> None:
    done = run_llmtool("gen", "-m", starter, *GREEDY, "-x", "Say hello.", "--max-tokens", "8")
    assert "no fenced code block" in error_line(done, 17)


@pytest.mark.parametrize("option", [["--json"], ["--each", "line"], ["--logprobs", "2"]], ids=str)
def test_extract_needs_a_single_text_reply(
    run_llmtool: Callable[..., Done], tiny: Path, option: list[str]
) -> None:
    assert "-x cannot be combined" in error_line(
        run_llmtool("gen", "-m", tiny, "-x", "hi", *option), 2
    )
