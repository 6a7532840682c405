"""`write_code`: extraction, repair, formatting, tests, and that nothing else is run."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import ContextOverflow, EngineError, OutputValidationError, UsageError
from llmtool.machine import find_program
from llmtool.tasks.code import format, generate
from llmtool.tasks.code.candidates import Candidate, has_loop, number_lines
from llmtool.tasks.code.extract import extract_code
from llmtool.tasks.code.generate import drop_unfinished_end
from llmtool.tasks.code.run_tests import TestCommand
from llmtool.tasks.results import TestRun
from llmtool.text import syntax
from llmtool.toolbox import Toolbox

GOOD = "def f():\n    return 1\n"
BAD = "def f(:\n    return 1\n"
BETTER = "def f():\n    return 1\n\n\ndef g(:\n    pass\n"  # its error is in a later line
PYTHON = "python"

Replies = str | list[str] | Callable[[str], str]


def make_toolbox(
    tmp_path: Path, replies: Replies, **options: Any
) -> tuple[Toolbox, ScriptedEngine]:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "c", hub_cache=tmp_path)
    engine = ScriptedEngine(replies, **options)
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={}), engine


@pytest.fixture(autouse=True)
def no_formatter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "find_program", lambda name: None)


def test_valid_code_needs_one_request(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, GOOD)
    result = toolbox.write_code("a function f", language="py")
    assert (result.text, str(result)) == (GOOD, GOOD)
    assert (result.language, result.status, result.rounds) == ("python", "ok", 0)
    assert result.diagnostics == () and result.formatter is None and result.tests is None
    assert len(engine.prompts) == 1 and "a function f" in engine.prompts[0]


def test_to_dict_has_code_and_all_other_fields(tmp_path: Path) -> None:
    result = make_toolbox(tmp_path, [BAD, BAD])[0].write_code("f", language="py").to_dict()
    assert list(result) == [
        "text", "language", "status", "rounds", "diagnostics", "formatter", "tests", "model",
        "usage", "seconds", "finish_reason", "seed", "warnings",
    ]  # fmt: skip
    assert result["status"] == "error"
    assert result["diagnostics"] == [{"message": "invalid syntax", "line": 1, "column": 7}]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("x = 1\n```\nThat is all.", "x = 1\n"),
        ("x = 1", "x = 1\n"),
        ("\n\nx = 1\n\n\n", "x = 1\n"),
        ("    \n  x = 1\n", "    \n  x = 1\n"),
    ],
    ids=["text after the fence", "unclosed fence", "blank lines", "indented"],
)
def test_fence_of_the_prefill_is_part_of_the_reply(tmp_path: Path, reply: str, code: str) -> None:
    assert make_toolbox(tmp_path, reply)[0].write_code("x", check=False).text == code


def test_extract_code_accepts_aliases_of_the_language() -> None:
    reply = "```sh\npip install a-long-name-of-a-package\n```\nthen\n~~~js\nlet x\n~~~\n"
    assert extract_code(reply, "javascript") == ("let x\n", "javascript")
    assert extract_code(reply, "bash") == (
        "pip install a-long-name-of-a-package\n",
        "bash",
    )
    assert extract_code("no fence", PYTHON) is None


def test_empty_reply_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputValidationError, match="no fenced code block"):
        make_toolbox(tmp_path, "```\n")[0].write_code("x")


def test_repair_prompt_has_the_error_and_numbered_lines(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, [BAD, GOOD])
    result = toolbox.write_code("f", language="python")
    assert (result.text, result.status, result.rounds) == (GOOD, "ok", 1)
    assert "line 1, column 7: invalid syntax" in engine.prompts[1]
    assert "> 1 | def f(:\n  2 |     return 1" in engine.prompts[1]
    assert result.usage.completion_tokens == 10  # four words and a newline in each reply


@pytest.mark.parametrize(
    ("replies", "repair", "code", "n_requests"),
    [
        ([BAD, BETTER, GOOD], 2, GOOD, 3),
        ([BAD, BETTER, GOOD], 1, BETTER, 2),
        ([BAD, BETTER, GOOD], 0, BAD, 1),
        ([BAD, BAD, GOOD], 5, BAD, 2),
        ([BETTER, BAD, GOOD], 5, BETTER, 2),
    ],
    ids=["two improvements", "one round", "no repair", "no improvement", "worse"],
)
def test_repair_stops_without_improvement_and_returns_the_best(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replies: list[str],
    repair: int,
    code: str,
    n_requests: int,
) -> None:
    monkeypatch.setattr(generate, "MAX_RESUMPTIONS", 0)
    toolbox, engine = make_toolbox(tmp_path, replies)
    result = toolbox.write_code("f", language="py", repair=repair)
    assert result.text == code and len(engine.prompts) == n_requests
    assert result.status == ("ok" if code == GOOD else "error")


def test_code_that_no_repair_fixed_is_resumed_before_its_error(tmp_path: Path) -> None:
    broken = "x = 1\ny = (\n"
    toolbox, engine = make_toolbox(tmp_path, [broken, broken, "y = ]\n", "y = 2\n"])
    result = toolbox.write_code("f", language="py")
    assert (result.text, result.status, result.rounds) == ("x = 1\ny = 2\n", "ok", 3)
    assert result.finish_reason == "stop" and not result.warnings
    assert [prompt.endswith("```python\nx = 1\n") for prompt in engine.prompts] == [
        False, False, True, True,
    ]  # fmt: skip


def test_code_that_does_not_parse_is_complete_with_a_warning(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, BAD)
    result = toolbox.write_code("f", language="py")
    assert (result.text, result.status, len(engine.prompts)) == (BAD, "error", 4)
    assert any("does not parse: line 1, column 7" in each for each in result.warnings)


def test_syntax_error_is_returned_with_its_position(tmp_path: Path) -> None:
    result = make_toolbox(tmp_path, BAD)[0].write_code("f", language="py")
    (first,) = result.diagnostics
    assert (result.status, first.line, first.column) == ("error", 1, 7)


def test_language_without_a_checker_is_unchecked_with_a_warning(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "puts 1")
    result = toolbox.write_code("x", language="ruby")
    assert (result.status, len(engine.prompts)) == ("unchecked", 1)
    assert any("ruby" in warning for warning in result.warnings)


def test_check_false_disables_repair(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, BAD)
    result = toolbox.write_code("f", language="py", check=False)
    assert (result.status, result.text, len(engine.prompts)) == ("unchecked", BAD, 1)


def test_truncated_reply_is_continued_before_a_repair(tmp_path: Path) -> None:
    whole = "def f(a, b):\n    return (a + b)\n"

    def reply(prompt: str) -> str:
        return whole[len(prompt.split("```python\n")[-1]) :]

    toolbox, engine = make_toolbox(tmp_path, reply)
    result = toolbox.write_code("f", language="py", max_tokens=4)
    assert (result.text, result.status, result.rounds) == (whole, "ok", 0)
    assert (result.finish_reason, len(engine.prompts)) == ("stop", 2)
    assert engine.prompts[1].endswith("```python\ndef f(a, b):\n    return")


def test_number_of_continuations_is_limited(tmp_path: Path) -> None:
    numbers = itertools.count()
    toolbox, engine = make_toolbox(tmp_path, lambda prompt: f"x{next(numbers)} = (1,\n" * 9)
    result = toolbox.write_code("f", language="py", max_tokens=4, repair=1)
    assert len(engine.prompts) == 3 * 4 and result.status == "error"
    assert result.finish_reason == "length"
    assert any("truncated" in warning for warning in result.warnings)


def test_loop_is_not_continued(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, "f(11)\n" * 40)
    result = toolbox.write_code("f", language="py", max_tokens=20)
    assert len(engine.prompts) == 1 and result.finish_reason == "length"


def test_loop_is_regenerated_instead_of_repaired(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, ["x = (1, " + "f(lambda: " * 30, "x = 1\n"])
    result = toolbox.write_code("f", language="py", max_tokens=25)
    assert (result.text, result.rounds) == ("x = 1\n", 1)
    assert engine.prompts[1] == engine.prompts[0]


def test_prefilled_fence_names_the_language(tmp_path: Path) -> None:
    for language, fence in (("sh", "```bash\n"), ("c++", "```cpp\n")):
        toolbox, engine = make_toolbox(tmp_path, "x")
        toolbox.write_code("f", language=language, repair=0)
        assert engine.prompts[0].endswith(fence)


def test_unfinished_end_is_dropped_and_reported(tmp_path: Path) -> None:
    toolbox, _ = make_toolbox(tmp_path, "a = 1\nb = 2\nc = (\n")
    result = toolbox.write_code("f", language="py", max_tokens=8, repair=0)
    assert (result.text, result.status, result.finish_reason) == ("a = 1\nb = 2\n", "ok", "length")
    assert any("1 unfinished line dropped" in warning for warning in result.warnings)


def test_at_most_half_of_truncated_code_is_dropped() -> None:
    code = "a = 1\nb = (\n" + "c\n" * 9
    cut = Candidate(code=code, check=syntax.check(PYTHON, code), is_truncated=True)
    assert drop_unfinished_end(cut, PYTHON) == cut


def test_repair_that_does_not_fit_returns_the_best_code(tmp_path: Path) -> None:
    code = BAD + "x = 1\n" * 30
    toolbox, engine = make_toolbox(tmp_path, code, n_ctx=160)
    result = toolbox.write_code("f", language="py", max_tokens=120)
    assert (result.text, result.status, len(engine.prompts)) == (code, "error", 2)


def test_request_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContextOverflow):
        make_toolbox(tmp_path, GOOD, n_ctx=20)[0].write_code("word " * 40)


def test_engine_error_in_a_repair_is_raised(tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        if "This python code is wrong" in prompt:
            raise EngineError("broken")
        return BAD

    with pytest.raises(EngineError):
        make_toolbox(tmp_path, reply)[0].write_code("f", language="py")


@pytest.mark.parametrize(
    "options",
    [{"language": "py\n```"}, {"repair": -1}, {"repair": 11}, {"colour": "red"}, {"top_k": -1}],
    ids=str,
)
def test_invalid_options_are_rejected_before_any_request(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    toolbox, engine = make_toolbox(tmp_path, GOOD)
    with pytest.raises(UsageError):
        toolbox.write_code("f", **options)
    assert engine.prompts == []


# Several requests


def reply(prompt: str) -> str:
    """Return invalid code for odd numbers, and fixed code in a repair."""
    number = int(prompt.split("number ")[1].split()[0]) if "number " in prompt else None
    if number is None:
        return "fixed = 1\n"
    return f"x = {number}\n" if number % 2 == 0 else f"x = ({number}\n"


def test_results_are_in_order_despite_repairs(tmp_path: Path) -> None:
    toolbox, _ = make_toolbox(tmp_path, reply)
    requests = [f"number {i} ." for i in range(40)]
    found = toolbox.write_code(requests, language="py")
    assert [r.text for r in found] == ["fixed = 1\n" if i % 2 else f"x = {i}\n" for i in range(40)]
    assert [r.rounds for r in found] == [i % 2 for i in range(40)]


def test_iterator_is_read_lazily(tmp_path: Path) -> None:
    read: list[int] = []

    def requests() -> Iterator[str]:
        for i in itertools.count():
            read.append(i)
            yield f"number {i} ."

    results = make_toolbox(tmp_path, reply)[0].write_code(requests(), language="py")
    assert [next(results).rounds for _ in range(4)] == [0, 1, 0, 1]
    assert len(read) < 300  # the number of concurrent requests is limited


def test_first_failed_request_raises(tmp_path: Path) -> None:
    results = make_toolbox(tmp_path, lambda p: GOOD if "first" in p else "```\n")[0].write_code(
        iter(["the first", "the second"]), language="py"
    )
    assert next(results).text == GOOD
    with pytest.raises(OutputValidationError):
        next(results)


def test_async_write_code_returns_the_same_results(tmp_path: Path) -> None:
    toolbox, _ = make_toolbox(tmp_path, reply)

    async def both() -> tuple[Any, Any]:
        one = await toolbox.awrite_code("number 2 .", language="py")
        return one, await toolbox.awrite_code(["number 1 .", "number 4 ."], language="py")

    one, several = asyncio.run(both())
    assert one.text == "x = 2\n" and [r.text for r in several] == ["fixed = 1\n", "x = 4\n"]


# Generated code is not run


def test_generated_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "was-run"
    python = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
    bash = f"touch {marker}\n$(touch {marker})\n"
    for language, code in (("py", python), ("sh", bash), ("js", f"'{marker}'\n")):
        assert (
            make_toolbox(tmp_path / "box", code)[0].write_code("x", language=language).text == code
        )
    assert not marker.exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_valid_code_is_formatted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ruff"
    program.write_text("#!/bin/sh\nsed 's/  *= */ = /'\n")
    program.chmod(0o755)
    monkeypatch.setattr(format, "find_program", lambda name: str(program))
    result = make_toolbox(tmp_path, "x   =1")[0].write_code("x", language="py")
    assert (result.text, result.formatter) == ("x = 1\n", "ruff")
    assert (
        make_toolbox(tmp_path, "x   =1")[0].write_code("x", language="py", format=False).text
        == "x   =1\n"
    )


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo 'x = ('", "true", "printf '\\377'", "sleep 30"],
    ids=["fails", "invalid code", "no output", "not UTF-8", "times out"],
)
def test_failed_formatter_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ruff"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(format, "find_program", lambda name: str(program))
    monkeypatch.setattr(format.format_code, "__kwdefaults__", {"timeout_seconds": 0.2})
    result = make_toolbox(tmp_path, "x   =1")[0].write_code("x", language="py")
    assert (result.text, result.status, result.formatter) == ("x   =1\n", "ok", None)


def test_formatter_in_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ruff"
    program.write_text("#!/bin/sh\necho 'x = \"run\"'\n")
    program.chmod(0o755)
    monkeypatch.setattr(format, "find_program", find_program)
    monkeypatch.chdir(tmp_path)
    for path in (".", "", f"{os.pathsep}.{os.pathsep}no/such/place"):
        monkeypatch.setenv("PATH", path)
        assert format.format_code(PYTHON, "x  = 1\n") is None
    monkeypatch.setenv("PATH", f".{os.pathsep}{tmp_path}")  # an absolute path is trusted
    assert format.format_code(PYTHON, "x  = 1\n") == ('x = "run"\n', "ruff")


# The user's tests


def test_failed_tests_are_repaired(tmp_path: Path) -> None:
    toolbox, engine = make_toolbox(tmp_path, ["x = 1\n", "x = 2\n"])

    def run(code: str) -> TestRun:
        passed = "2" in code
        output = "" if passed else "expected 2"
        return TestRun(command="t", exit_code=0 if passed else 1, output=output, seconds=0.0)

    result = toolbox.write_code("x", language="py", run_tests=run)
    assert (result.text, result.status, result.rounds) == ("x = 2\n", "ok", 1)
    assert result.tests is not None and result.tests.passed
    assert "expected 2" in engine.prompts[1] and "exit code 1" in engine.prompts[1]


def test_code_that_fails_tests_ranks_above_code_that_does_not_parse(tmp_path: Path) -> None:
    def run(code: str) -> TestRun:
        return TestRun(command="t", exit_code=1, output="no", seconds=0.0)

    result = make_toolbox(tmp_path, [BAD, GOOD, GOOD])[0].write_code(
        "f", language="py", run_tests=run
    )
    assert (result.text, result.status) == (GOOD, "error")
    assert result.diagnostics[0].message == "the tests failed with exit code 1"


def test_code_with_a_syntax_error_is_not_tested(tmp_path: Path) -> None:
    def run(code: str) -> TestRun:
        raise AssertionError("it was run")

    assert (
        make_toolbox(tmp_path, BAD)[0].write_code("f", language="py", run_tests=run).status
        == "error"
    )


def test_command_gets_a_temporary_file_with_the_code() -> None:
    run = TestCommand("cat {}; echo; basename {}; test -f {}", name="it's.py")("x = 1")
    assert (run.exit_code, run.output) == (0, "x = 1\nit's.py\n")
    assert not Path(run.command.split("'")[1]).exists()


def test_command_that_times_out_is_killed_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "late"
    command = TestCommand(f"(sleep 3; touch {marker}) & sleep 60; : {{}}", timeout_seconds=0.3)
    began = time.monotonic()
    run = command("x")
    assert run.exit_code is None and not run.passed and time.monotonic() - began < 20
    assert "timed out after" in run.reason and not marker.exists()


def test_command_has_no_input_and_limited_output() -> None:
    run = TestCommand("cat; yes | head -c 100000; echo end {} >/dev/null; exit 3")("x")
    assert run.exit_code == 3 and len(run.output) <= 4000


def test_command_without_a_file_is_rejected() -> None:
    with pytest.raises(UsageError, match="output="):
        TestCommand("pytest")


# Candidates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = f(1)\n" * 20, True),
        ("begin\n" + "a = f(1)\nb = 2\n" * 10 + "a = f(", True),
        ("x = " + "f(lambda: " * 20, True),
        ("x = " + "f(lambda: " * 5, False),
        ("a = f(1)\n" * 20 + "and then something else\n", False),
        ("".join(f"x{i} = {i * i}\n" for i in range(90)), False),
        ("x = 1\n" + "-" * 79, False),
        ("\n" * 500, False),
        ("", False),
    ],
    ids=[
        "one line",
        "two lines",
        "within a line",
        "too short",
        "ended",
        "similar rows",
        "separator",
        "blank",
        "empty",
    ],
)
def test_has_loop(text: str, expected: bool) -> None:
    assert has_loop(text) is expected


@given(st.text(alphabet="ab \n", max_size=60), st.integers(-3, 70))
def test_number_lines_matches_the_lines_of_the_code(code: str, line: int) -> None:
    lines = code.splitlines()
    for shown in number_lines(code, line).splitlines():
        number, _, text = shown[2:].partition(" | ") if " | " in shown else ("", "", "")
        assert lines[int(number) - 1] == text


def test_rank_of_candidates() -> None:
    def rank(code: str) -> tuple[int, int, float]:
        return Candidate(code=code, check=syntax.check(PYTHON, code)).rank

    assert rank(GOOD) > rank(BETTER) > rank(BAD)
