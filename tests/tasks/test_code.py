"""Writing code: what is taken from a reply, when it is repaired, what is kept, what is not run."""

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
from llmtool.tasks.code import format
from llmtool.tasks.code.candidates import Candidate, has_loop, numbered
from llmtool.tasks.code.extract import extract_code
from llmtool.tasks.code.generate import without_unfinished_end
from llmtool.tasks.code.run_tests import TestCommand
from llmtool.tasks.results import TestRun
from llmtool.text import syntax
from llmtool.text.code_languages import CodeLanguage
from llmtool.toolbox import Toolbox

GOOD = "def f():\n    return 1\n"
BAD = "def f(:\n    return 1\n"
BETTER = "def f():\n    return 1\n\n\ndef g(:\n    pass\n"  # the error stands further down
PYTHON = CodeLanguage.python

Replies = str | list[str] | Callable[[str], str]


def make(tmp_path: Path, replies: Replies, **options: Any) -> tuple[Toolbox, ScriptedEngine]:
    folders = Folders(config=tmp_path, data=tmp_path, cache=tmp_path / "c", hub_cache=tmp_path)
    engine = ScriptedEngine(replies, **options)
    return Toolbox(engine=engine, folders=folders, settings=Settings(), environ={}), engine


@pytest.fixture(autouse=True)
def no_formatter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "find_program", lambda name: None)


def test_code_that_parses_is_done(tmp_path: Path) -> None:
    box, engine = make(tmp_path, GOOD)
    result = box.write_code("a function f", language="py")
    assert (result.text, result.code, str(result)) == (GOOD, GOOD, GOOD)
    assert (result.language, result.status, result.rounds) == ("python", "ok", 0)
    assert result.diagnostics == () and result.formatter is None and result.tests is None
    assert len(engine.prompts) == 1 and "a function f" in engine.prompts[0]


def test_json_says_code_and_everything_else(tmp_path: Path) -> None:
    told = make(tmp_path, [BAD, BAD])[0].write_code("f", language="py").to_dict()
    assert list(told) == [
        "code", "language", "status", "rounds", "diagnostics", "formatter", "tests", "model",
        "usage", "seconds", "finish_reason", "seed", "warnings",
    ]  # fmt: skip
    assert told["status"] == "error"
    assert told["diagnostics"] == [{"message": "invalid syntax", "line": 1, "column": 7}]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("x = 1\n```\nThat is all.", "x = 1\n"),
        ("x = 1", "x = 1\n"),
        ("\n\nx = 1\n\n\n", "x = 1\n"),
        ("    \n  x = 1\n", "    \n  x = 1\n"),
    ],
    ids=["words behind", "no end", "blank lines", "indented"],
)
def test_the_fence_that_the_prompt_opened_counts(tmp_path: Path, reply: str, code: str) -> None:
    assert make(tmp_path, reply)[0].write_code("x", check=False).text == code


def test_the_block_of_the_language_is_taken_by_any_of_its_names() -> None:
    reply = "```sh\npip install a-long-name-of-a-package\n```\nthen\n~~~js\nlet x\n~~~\n"
    assert extract_code(reply, CodeLanguage.javascript) == ("let x\n", CodeLanguage.javascript)
    assert extract_code(reply, CodeLanguage.bash) == (
        "pip install a-long-name-of-a-package\n",
        CodeLanguage.bash,
    )
    assert extract_code("no fence", PYTHON) is None


def test_an_empty_reply_has_no_code(tmp_path: Path) -> None:
    with pytest.raises(OutputValidationError, match="no code in it"):
        make(tmp_path, "```\n")[0].write_code("x")


def test_an_error_goes_back_with_numbered_lines(tmp_path: Path) -> None:
    box, engine = make(tmp_path, [BAD, GOOD])
    result = box.write_code("f", language="python")
    assert (result.text, result.status, result.rounds) == (GOOD, "ok", 1)
    assert "line 1, column 7: invalid syntax" in engine.prompts[1]
    assert "> 1 | def f(:\n  2 |     return 1" in engine.prompts[1]
    assert result.usage.completion_tokens == 10  # four words and a newline in each reply


@pytest.mark.parametrize(
    ("replies", "repair", "kept", "n_asked"),
    [
        ([BAD, BETTER, GOOD], 2, GOOD, 3),
        ([BAD, BETTER, GOOD], 1, BETTER, 2),
        ([BAD, BETTER, GOOD], 0, BAD, 1),
        ([BAD, BAD, GOOD], 5, BAD, 2),
        ([BETTER, BAD, GOOD], 5, BETTER, 2),
    ],
    ids=["better twice", "one round", "no repair", "nothing improves", "it gets worse"],
)
def test_repair_stops_when_nothing_improves_and_keeps_the_best(
    tmp_path: Path, replies: list[str], repair: int, kept: str, n_asked: int
) -> None:
    box, engine = make(tmp_path, replies)
    result = box.write_code("f", language="py", repair=repair)
    assert result.text == kept and len(engine.prompts) == n_asked
    assert result.status == ("ok" if kept == GOOD else "error")


def test_an_error_is_no_exception_but_carries_its_place(tmp_path: Path) -> None:
    result = make(tmp_path, BAD)[0].write_code("f", language="py")
    (first,) = result.diagnostics
    assert (result.status, first.line, first.column) == ("error", 1, 7)


def test_what_nothing_checks_is_unchecked_and_says_why(tmp_path: Path) -> None:
    box, engine = make(tmp_path, "puts 1")
    result = box.write_code("x", language="ruby")
    assert (result.status, len(engine.prompts)) == ("unchecked", 1)
    assert any("ruby" in warning for warning in result.warnings)


def test_without_a_check_there_is_no_repair(tmp_path: Path) -> None:
    box, engine = make(tmp_path, BAD)
    result = box.write_code("f", language="py", check=False)
    assert (result.status, result.text, len(engine.prompts)) == ("unchecked", BAD, 1)


def test_a_reply_that_was_cut_goes_on_first(tmp_path: Path) -> None:
    whole = "def f(a, b):\n    return (a + b)\n"

    def reply(prompt: str) -> str:
        return whole[len(prompt.split("```python\n")[-1]) :]

    box, engine = make(tmp_path, reply)
    result = box.write_code("f", language="py", max_tokens=4)
    assert (result.text, result.status, result.rounds) == (whole, "ok", 0)
    assert (result.finish_reason, len(engine.prompts)) == ("stop", 2)
    assert engine.prompts[1].endswith("```python\ndef f(a, b):\n    return")


def test_going_on_has_an_end(tmp_path: Path) -> None:
    numbers = itertools.count()
    box, engine = make(tmp_path, lambda prompt: f"x{next(numbers)} = (1,\n" * 9)
    result = box.write_code("f", language="py", max_tokens=4, repair=1)
    assert len(engine.prompts) == 6 and result.status == "error"
    assert result.finish_reason == "length"
    assert any("cut" in warning for warning in result.warnings)


def test_a_loop_does_not_go_on(tmp_path: Path) -> None:
    box, engine = make(tmp_path, "f(11)\n" * 40)
    result = box.write_code("f", language="py", max_tokens=20)
    assert len(engine.prompts) == 1 and result.finish_reason == "length"


def test_a_reply_in_circles_is_asked_for_again_and_not_mended(tmp_path: Path) -> None:
    box, engine = make(tmp_path, ["x = (1, " + "f(lambda: " * 30, "x = 1\n"])
    result = box.write_code("f", language="py", max_tokens=25)
    assert (result.text, result.rounds) == ("x = 1\n", 1)
    assert engine.prompts[1] == engine.prompts[0]


def test_the_fence_names_the_language(tmp_path: Path) -> None:
    for language, fence in (("sh", "```bash\n"), ("c++", "```cpp\n")):
        box, engine = make(tmp_path, "x")
        box.write_code("f", language=language, repair=0)
        assert engine.prompts[0].endswith(fence)


def test_an_unfinished_end_is_left_out_and_told(tmp_path: Path) -> None:
    box, _ = make(tmp_path, "a = 1\nb = 2\nc = (\n")
    result = box.write_code("f", language="py", max_tokens=8, repair=0)
    assert (result.text, result.status, result.finish_reason) == ("a = 1\nb = 2\n", "ok", "length")
    assert any("last 1 line, unfinished" in warning for warning in result.warnings)


def test_at_most_half_of_what_was_cut_is_left_out() -> None:
    code = "a = 1\nb = (\n" + "c\n" * 9
    cut = Candidate(code=code, check=syntax.check(PYTHON, code), is_truncated=True)
    assert without_unfinished_end(cut, PYTHON) == cut


def test_a_repair_without_room_keeps_what_there_is(tmp_path: Path) -> None:
    code = BAD + "x = 1\n" * 30
    box, engine = make(tmp_path, code, n_ctx=160)
    result = box.write_code("f", language="py", max_tokens=120)
    assert (result.text, result.status, len(engine.prompts)) == (code, "error", 2)


def test_a_request_without_room_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContextOverflow):
        make(tmp_path, GOOD, n_ctx=20)[0].write_code("word " * 40)


def test_an_engine_that_fails_is_no_code(tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        if "This python code is wrong" in prompt:
            raise EngineError("broken")
        return BAD

    with pytest.raises(EngineError):
        make(tmp_path, reply)[0].write_code("f", language="py")


@pytest.mark.parametrize(
    "options",
    [{"language": "pyton"}, {"repair": -1}, {"repair": 11}, {"colour": "red"}, {"top_k": -1}],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_is_asked(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    box, engine = make(tmp_path, GOOD)
    with pytest.raises(UsageError):
        box.write_code("f", **options)
    assert engine.prompts == []


# Several requests


def answer(prompt: str) -> str:
    """Break the code of odd numbers; mend it when asked to."""
    number = int(prompt.split("number ")[1].split()[0]) if "number " in prompt else None
    if number is None:
        return "mended = 1\n"
    return f"x = {number}\n" if number % 2 == 0 else f"x = ({number}\n"


def test_many_requests_keep_their_order_through_repairs(tmp_path: Path) -> None:
    box, _ = make(tmp_path, answer)
    requests = [f"number {i} ." for i in range(40)]
    found = box.write_code(requests, language="py")
    assert [r.text for r in found] == ["mended = 1\n" if i % 2 else f"x = {i}\n" for i in range(40)]
    assert [r.rounds for r in found] == [i % 2 for i in range(40)]


def test_an_iterator_is_read_as_it_is_needed(tmp_path: Path) -> None:
    read: list[int] = []

    def requests() -> Iterator[str]:
        for i in itertools.count():
            read.append(i)
            yield f"number {i} ."

    results = make(tmp_path, answer)[0].write_code(requests(), language="py")
    assert [next(results).rounds for _ in range(4)] == [0, 1, 0, 1]
    assert len(read) < 300  # what may be under way, and no more


def test_the_first_request_that_fails_raises(tmp_path: Path) -> None:
    results = make(tmp_path, lambda p: GOOD if "first" in p else "```\n")[0].write_code(
        iter(["the first", "the second"]), language="py"
    )
    assert next(results).text == GOOD
    with pytest.raises(OutputValidationError):
        next(results)


def test_asyncio_has_the_same(tmp_path: Path) -> None:
    box, _ = make(tmp_path, answer)

    async def both() -> tuple[Any, Any]:
        one = await box.awrite_code("number 2 .", language="py")
        return one, await box.awrite_code(["number 1 .", "number 4 ."], language="py")

    one, several = asyncio.run(both())
    assert one.text == "x = 2\n" and [r.text for r in several] == ["mended = 1\n", "x = 4\n"]


# Nothing is run


def test_nothing_that_was_written_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "was-run"
    python = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    bash = f"touch {mark}\n$(touch {mark})\n"
    for language, code in (("py", python), ("sh", bash), ("js", f"'{mark}'\n")):
        assert make(tmp_path / "box", code)[0].write_code("x", language=language).text == code
    assert not mark.exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_formatter_lays_out_what_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ruff"
    program.write_text("#!/bin/sh\nsed 's/  *= */ = /'\n")
    program.chmod(0o755)
    monkeypatch.setattr(format, "find_program", lambda name: str(program))
    result = make(tmp_path, "x   =1")[0].write_code("x", language="py")
    assert (result.text, result.formatter) == ("x = 1\n", "ruff")
    assert (
        make(tmp_path, "x   =1")[0].write_code("x", language="py", format=False).text == "x   =1\n"
    )


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo 'x = ('", "true", "printf '\\377'", "sleep 30"],
    ids=["fails", "breaks the code", "says nothing", "is not UTF-8", "takes too long"],
)
def test_a_formatter_is_never_a_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ruff"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(format, "find_program", lambda name: str(program))
    monkeypatch.setattr(format, "_TIMEOUT_SECONDS", 0.2)
    result = make(tmp_path, "x   =1")[0].write_code("x", language="py")
    assert (result.text, result.status, result.formatter) == ("x   =1\n", "ok", None)


def test_a_formatter_in_the_current_folder_is_not_run(
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
    monkeypatch.setenv("PATH", f".{os.pathsep}{tmp_path}")  # named in full, it is the user's own
    assert format.format_code(PYTHON, "x  = 1\n") == ('x = "run"\n', "ruff")


# The user's tests


def test_tests_that_fail_are_an_error_to_repair(tmp_path: Path) -> None:
    box, engine = make(tmp_path, ["x = 1\n", "x = 2\n"])

    def run(code: str) -> TestRun:
        passed = "2" in code
        said = "" if passed else "expected 2"
        return TestRun(command="t", exit_code=0 if passed else 1, output=said, seconds=0.0)

    result = box.write_code("x", language="py", run_tests=run)
    assert (result.text, result.status, result.rounds) == ("x = 2\n", "ok", 1)
    assert result.tests is not None and result.tests.passed
    assert "expected 2" in engine.prompts[1] and "exit code 1" in engine.prompts[1]


def test_code_that_parses_beats_code_that_does_not_although_its_tests_fail(tmp_path: Path) -> None:
    def run(code: str) -> TestRun:
        return TestRun(command="t", exit_code=1, output="no", seconds=0.0)

    result = make(tmp_path, [BAD, GOOD, GOOD])[0].write_code("f", language="py", run_tests=run)
    assert (result.text, result.status) == (GOOD, "error")
    assert result.diagnostics[0].message == "the tests ended with exit code 1"


def test_code_that_does_not_parse_is_not_tested(tmp_path: Path) -> None:
    def run(code: str) -> TestRun:
        raise AssertionError("it was run")

    assert make(tmp_path, BAD)[0].write_code("f", language="py", run_tests=run).status == "error"


def test_a_command_finds_the_code_in_a_temporary_file() -> None:
    run = TestCommand("cat {}; echo; basename {}; test -f {}", name="it's.py")("x = 1")
    assert (run.exit_code, run.output) == (0, "x = 1\nit's.py\n")
    assert not Path(run.command.split("'")[1]).exists()


def test_a_command_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "late"
    command = TestCommand(f"(sleep 3; touch {mark}) & sleep 60; : {{}}", timeout_seconds=0.3)
    began = time.monotonic()
    run = command("x")
    assert run.exit_code is None and not run.passed and time.monotonic() - began < 20
    assert "stopped after" in run.reason and not mark.exists()


def test_a_command_has_no_input_and_its_output_is_bounded() -> None:
    run = TestCommand("cat; yes | head -c 100000; echo end {} >/dev/null; exit 3")("x")
    assert run.exit_code == 3 and len(run.output) <= 4000


def test_a_command_that_cannot_find_the_code_is_refused() -> None:
    with pytest.raises(UsageError, match="-o"):
        TestCommand("pytest")


# Small things


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
        "a line",
        "two lines",
        "in a line",
        "too short",
        "over",
        "rows",
        "a ruler",
        "blank",
        "none",
    ],
)
def test_loops_are_seen(text: str, expected: bool) -> None:
    assert has_loop(text) is expected


@given(st.text(alphabet="ab \n", max_size=60), st.integers(-3, 70))
def test_numbered_lines_are_those_of_the_code(code: str, line: int) -> None:
    lines = code.splitlines()
    for shown in numbered(code, line).splitlines():
        number, _, text = shown[2:].partition(" | ") if " | " in shown else ("", "", "")
        assert lines[int(number) - 1] == text


def test_the_order_of_candidates() -> None:
    def rank(code: str) -> tuple[int, int, float]:
        return Candidate(code=code, check=syntax.check(PYTHON, code)).rank

    assert rank(GOOD) > rank(BETTER) > rank(BAD)
