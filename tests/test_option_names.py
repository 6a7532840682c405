"""Messages name an option as the user writes it: a Python argument, or a flag of the command."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from offenders import syntax_nodes

from llmtool.batch.runner import BatchOptions
from llmtool.cli.app import root_command
from llmtool.cli.framework.completion import walk
from llmtool.cli.options.flags import _LONG_FLAGS, format_flag, known_flags
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import LlmtoolError
from llmtool.option_names import _OTHER_NAMES, known_names, option, use_format
from llmtool.tasks import options as task_options
from llmtool.toolbox import Toolbox

PACKAGE = Path(__file__).resolve().parent.parent / "llmtool"
LIBRARY = [path for path in sorted(PACKAGE.rglob("*.py")) if "cli" not in path.parts]
FLAG = re.compile(r"(?:(?<=[ (])-|^--|(?<=[ (])--)[a-z]")
# Strings with the options of other programs, or in CSS.
OTHER_PROGRAMS = ("tasks/code/git.py", "tasks/code/format.py", "tasks/code/hook.py")
OTHER_PROGRAMS += ("tasks/code/diffs.py", "sessions/export.py", "engine/llama/preflight.py")
OTHER_PROGRAMS += ("server/errors.py",)  # options of `llmtool serve`, for its clients
# Functions that read the values of flags, and reports that only the command prints.
COMMAND_ONLY = {
    "kind",
    "ray",
    "shard",
    "server",
    "each",
    "field",
    "glob",
    "encoding",
    "errors",
    "update_baseline",
    "name",
    "error",
}

STRUCTS = [
    each
    for each in vars(task_options).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct)
]


def messages(path: Path) -> list[str]:
    """Return the strings of a file that are not docstrings, without commands in backquotes."""
    docs = {
        id(node.body[0].value)
        for node in syntax_nodes(path)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in syntax_nodes(path):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            text = node.value
        else:
            continue
        found.append(re.sub(r"`[^`]*(`|\Z)|^pip .*", "", text))
    return found


def test_library_does_not_name_flags() -> None:
    offenders = [
        f"{path.relative_to(PACKAGE)}: {text!r}"
        for path in LIBRARY
        if path.relative_to(PACKAGE).as_posix() not in OTHER_PROGRAMS
        for text in messages(path)
        if FLAG.search(text) and "offline" not in text  # of `llmtool models pull`
    ]
    assert not offenders, "\n".join(offenders)


def named_options() -> set[str]:
    """Return the names in all calls of `option` in the library."""
    return {
        node.args[0].value
        for path in LIBRARY
        for node in syntax_nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "option"
        and isinstance(node.args[0], ast.Constant)
    }


def test_named_options_exist_in_python_and_in_the_command() -> None:
    flags = {
        name for command in walk(root_command()) for flag in command.flags for name in flag.names
    }
    methods = [getattr(Toolbox, name) for name in dir(Toolbox) if name[0] != "_"]
    arguments = {*inspect.signature(Toolbox).parameters, *BatchOptions.__struct_fields__}
    for method in filter(callable, methods):
        arguments |= inspect.signature(method).parameters.keys()
    names = named_options()
    assert len(names) > 20
    assert names - arguments <= COMMAND_ONLY
    python_only = {"calibrate", "engine", "messages", "overflow", "retries", "variants"}
    missing = {name for name in names if format_flag(name).split()[0] not in flags}
    assert missing <= python_only


def test_other_names_belong_to_options_that_exist() -> None:
    flags = {
        name for command in walk(root_command()) for flag in command.flags for name in flag.names
    }
    for ours, others in _OTHER_NAMES.items():
        assert f"--{_LONG_FLAGS.get(ours, ours.replace('_', '-'))}" in flags, ours
        for other in others.split():
            assert "-" not in other and ours in known_names(other)


def test_name_of_another_program_is_known_in_python_and_in_the_command() -> None:
    assert known_names("num_return_sequences") == ["n"]
    assert known_flags("--num-return-sequences") == ["samples"]
    box = Toolbox("scripted", engine=ScriptedEngine("one"), environ={})
    for typed, ours in {"best_of": "n", "topk": "top_k", "reverse_prompt": "stop"}.items():
        with pytest.raises(LlmtoolError, match=f"did you mean '{ours}'"):
            box.generate("Hello", **{typed: 1})


def test_every_option_of_a_task_has_a_name_in_both() -> None:
    assert option("max_tokens") == "max_tokens="
    with use_format(format_flag):
        assert option("max_tokens") == "--max-tokens"
        assert option("n_gpu_layers", "half") == "--n-gpu-layers half"
    assert option("n_gpu_layers", "half") == "n_gpu_layers='half'"


def warnings_of(box: Toolbox) -> str:
    return " ".join(box.generate("Hello", max_tokens=1).warnings)


def error_of(call: Callable[[Toolbox], object]) -> Callable[[Toolbox], str]:
    def run(box: Toolbox) -> str:
        with pytest.raises(LlmtoolError) as caught:
            call(box)
        return str(caught.value)

    return run


CASES: dict[str, tuple[Callable[[Toolbox], str], str, str]] = {
    "truncated": (warnings_of, "raise max_tokens=", "raise --max-tokens"),
    "labels": (
        error_of(lambda box: box.classify("Hello")),
        "labels=['positive', 'negative']",
        "-l positive,negative",
    ),
    "input": (
        error_of(lambda box: box.run("title")),
        "pass text=VALUE to `run`",
        "pass -p text=VALUE",
    ),
    "n": (error_of(lambda box: box.generate("Hello", n=0)), "n=0: must", "-n 0: must"),
    "value": (
        error_of(lambda box: box.generate("Hello", top_p=2.5)),
        "top_p=2.5: ",
        "--top-p 2.5: ",
    ),
    "error": (error_of(lambda box: box.fix_code("x = 1", language="py")), "error=", "--error"),
    "code": (
        error_of(lambda box: box.write_code("x", repair=99)),
        "repair=99: must",
        "--repair 99: must",
    ),
    "retries": (
        error_of(lambda box: box.generate("Hello", retries=1)),
        "retries= requires schema=, regex= or grammar=",
        "--retries requires --schema, --regex or --grammar",
    ),
    "two constraints": (
        error_of(lambda box: box.generate("Hello", schema="a", regex="b")),
        "schema= and regex= cannot",
        "--schema and --regex cannot",
    ),
    "template with labels": (
        error_of(lambda box: box.run("sentiment", "Hello", options={"max_tokens": 5})),
        "max_tokens= cannot be used with template",
        "--max-tokens cannot be used with template",
    ),
    "multi": (
        error_of(lambda box: box.classify("Hello", ["a", "b"], multi=True, min_margin=0.5)),
        "min_margin= cannot be used with multi=True",
        "--min-margin cannot be used with --multi",
    ),
    "prior": (
        error_of(lambda box: box.classify("Hello", ["a", "b"], prior={"a": 1})),
        "prior= has no label",
        "--prior has no label",
    ),
    "style": (
        error_of(lambda box: box.summarize("Hello.", style="tldr", length="3 points")),
        "use style='bullets'",
        "use --style bullets",
    ),
    "strategy": (
        error_of(lambda box: box.summarize("word " * 9000, strategy="stuff")),
        "use strategy='write'",
        "use --strategy write",
    ),
}


@pytest.mark.parametrize(("message_of", "in_python", "in_shell"), CASES.values(), ids=CASES)
def test_message_names_the_option_as_the_user_writes_it(
    message_of: Callable[[Toolbox], str], in_python: str, in_shell: str
) -> None:
    box = Toolbox("scripted", engine=ScriptedEngine("one two three"), environ={})
    message = message_of(box)
    assert in_python in message and not FLAG.search(message)
    with use_format(format_flag):
        assert in_shell in message_of(box)


def test_structs_of_options_are_covered() -> None:
    fields = {field for kind in STRUCTS for field in kind.__struct_fields__}
    shell: dict[str, Any] = {name: format_flag(name) for name in fields}
    assert all(flag.startswith("-") for flag in shell.values())
