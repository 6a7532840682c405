"""Signatures and types of the public functions."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llmtool
from llmtool.tasks.options import GenerateOptions, SamplingOptions

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tests" / "typing" / "public_api.py"
FUNCTIONS = [name for name in llmtool.__all__ if name.islower() and name[0] != "_"]


def expected() -> dict[int, str]:
    found = {}
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        code, separator, comment = line.partition("  # ")
        if separator:
            found[number] = comment
    return found


def test_type_checker_infers_the_documented_types() -> None:
    pytest.importorskip("mypy")
    options = ["--config-file", FILE.with_name("mypy.ini"), "--cache-dir", os.devnull]
    args = ["-m", "mypy", *options, "--no-pretty", "--no-error-summary", FILE]
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=ROOT)
    found = {}
    for line in done.stdout.splitlines():
        if match := re.match(r'.*public_api\.py:(\d+): note: Revealed type is "(.*)"', line):
            found[int(match[1])] = re.sub(r"\b\w+\.(?=\w)", "", match[2])
        elif match := re.match(r".*public_api\.py:(\d+): error: .*\[([\w-]+)\]", line):
            found[int(match[1])] = f"error: {match[2]}"
    assert found == expected(), done.stdout + done.stderr


def test_help_lists_every_option_with_its_type_and_default() -> None:
    parameters = inspect.signature(llmtool.generate).parameters
    options = {*GenerateOptions.__struct_fields__, *SamplingOptions.__struct_fields__} - {
        "sampling"
    }
    assert set(parameters) == {"prompt", "messages", "timeout"} | options
    assert str(parameters["seed"]) == "seed: int | None = None"
    assert str(parameters["template"]) == "template: str | Template = 'gen'"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_methods_of_a_toolbox(name: str) -> None:
    function, method = getattr(llmtool, name), getattr(llmtool.Toolbox, name)
    assert function.__func__ is method
    _, *parameters = inspect.signature(method).parameters.values()
    assert list(inspect.signature(function).parameters.values()) == parameters
    assert not any(each.annotation == "Any" for each in parameters if each.name != "inputs")
    assert inspect.getdoc(function)


def test_asyncio_variant_is_a_coroutine_function_with_the_same_signature() -> None:
    assert inspect.iscoroutinefunction(llmtool.asummarize)
    assert inspect.signature(llmtool.asummarize) == inspect.signature(llmtool.summarize)
    assert "for asyncio" in (llmtool.asummarize.__doc__ or "")
