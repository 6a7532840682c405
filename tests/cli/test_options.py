"""Options of all commands are consistent, and every help has an example."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from llmtool.cli.app import COMMANDS, app, load_command, root_command
from llmtool.cli.framework.completion import walk
from llmtool.cli.framework.default_group import DEFAULT
from llmtool.cli.options.tasks import OPTIONS

# `-l` is labels or language, `-n` samples or (in `logs`) a count; no command has both.
TWO_MEANINGS = {"-l": {"--label", "--language"}, "-n": {"--samples", "--count"}}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the Typer app with its words."""
    yield "llmtool", typer.main.get_command(app)
    for name in COMMANDS:
        command = load_command(name)
        yield name, command
        for child, each in getattr(command, "commands", {}).items():
            yield f"{name} {child}", each


def options() -> Iterator[tuple[str, Any]]:
    for name, command in commands():
        for param in command.params:
            if param.opts[0].startswith("-"):
                yield name, param


def test_all_commands_are_checked() -> None:
    """Completions are generated from the same commands."""
    walked = {" ".join(command.words) or "llmtool" for command in walk(root_command())}
    assert walked == {name for name, _ in commands() if not name.endswith(f" {DEFAULT}")}
    assert len(walked) > 40


def test_short_flag_has_one_meaning() -> None:
    meanings = defaultdict(set)
    for _, param in options():
        long = [name for name in param.opts if name.startswith("--")]
        for short in (name for name in param.opts if not name.startswith("--")):
            assert long, f"{short} has no long name"
            meanings[short].update(long)
    assert "-m" in meanings
    ambiguous = {short: names for short, names in meanings.items() if len(names) > 1}
    assert ambiguous == TWO_MEANINGS


def test_option_has_the_same_short_flag_everywhere() -> None:
    shorts = defaultdict(set)
    for _, param in options():
        shorts[param.opts[0]].add(tuple(sorted(param.opts)))
    assert {name: sorted(found) for name, found in shorts.items() if len(found) > 1} == {}


def test_long_option_is_a_flag_or_takes_a_value_everywhere() -> None:
    kinds = defaultdict(lambda: defaultdict(list))
    for command, param in options():
        for name in (*param.opts, *param.secondary_opts):
            kinds[name]["switch" if param.is_flag else "value"].append(command)
    assert {name: dict(kind) for name, kind in kinds.items() if len(kind) > 1} == {}


def test_same_help_means_same_value_type() -> None:
    values = defaultdict(set)
    for _, param in options():
        if not param.is_flag:
            values[param.opts[0], param.help].add(param.metavar or param.type.name.upper())
    assert {name: sorted(found) for name, found in values.items() if len(found) > 1} == {}


def test_boolean_options_have_a_no_form() -> None:
    for command, param in options():
        for name in param.secondary_opts:
            assert name == f"--no-{param.opts[0][2:]}", f"{command} {name}"


def test_names_are_lower_case_words() -> None:
    for command, param in options():
        for name in (*param.opts, *param.secondary_opts):
            assert name.strip("-").replace("-", "").isalnum(), f"{command} {name}"
            assert name == name.lower(), f"{command} {name}"


def test_every_option_has_help() -> None:
    silent = [f"{command} {p.opts[0]}" for command, p in options() if not p.help]
    assert silent == []


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_help_has_an_example(name: str) -> None:
    command = dict(commands())[name]
    shown = getattr(command, "default", command)  # a group with a default command
    epilog = shown.epilog or ""
    words = name.removesuffix(" text").removeprefix("llmtool")
    assert epilog.startswith(("Example: ", "Example:\n", "Examples:\n"))
    assert f"llmtool {words}".strip() in epilog


def test_task_options_are_fields_of_their_structs() -> None:
    for kind, declared in OPTIONS.items():
        assert declared.keys() <= set(kind.__struct_fields__), kind


GROUPS = ("Options", "Input", "Output", "Batch", "Reply", "Sampling", "Model", "General")


def test_help_lists_option_groups_in_one_order(run_llmtool: Callable[..., Any]) -> None:
    wrong = {}
    for words, _ in commands():
        if words == "llmtool" or words.endswith(f" {DEFAULT}"):
            continue
        text = run_llmtool(*words.split(), "--help", env={"COLUMNS": "100"}).stdout.decode()
        shown = [line[:-1] for line in text.splitlines() if line[:-1] in GROUPS and line[-1] == ":"]
        too_wide = [line for line in text.splitlines() if len(line) > 100]
        if not shown or shown != [name for name in GROUPS if name in shown] or too_wide:
            wrong[words] = shown, too_wide
    assert wrong == {}
    text = run_llmtool("gen", "--help", env={"COLUMNS": "100"}).stdout.decode()
    assert [name for name in GROUPS if f"\n{name}:\n" in text] == list(GROUPS[1:])
