"""Arguments that do not begin with a command: text, options, and commands of other programs."""

from __future__ import annotations

import contextlib
import os
import pty
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command import error_line

from llmtool.cli.app import COMMANDS, load_command, load_groups, root_command
from llmtool.cli.framework import app_factory, default_command, usage_errors
from llmtool.cli.framework.completion import walk
from llmtool.cli.framework.default_command import complete_arguments
from llmtool.errors import UsageError


@pytest.mark.parametrize(
    ("args", "completed"),
    [
        (["Tell me a joke"], ["gen", "Tell me a joke"]),
        (["Hello"], ["gen", "Hello"]),
        (["讲个笑话"], ["gen", "讲个笑话"]),
        (["help me write a letter"], ["gen", "help me write a letter"]),
        (["list three rivers", "--json"], ["gen", "list three rivers", "--json"]),
        (["-m", "starter", "Hi there"], ["gen", "-m", "starter", "Hi there"]),
        (["-m", "chat", "Hi there"], ["gen", "-m", "chat", "Hi there"]),
        (["--temperature=0", "Hi"], ["gen", "--temperature=0", "Hi"]),
        (["-f", "notes.txt"], ["gen", "-f", "notes.txt"]),
        (["-"], ["gen", "-"]),
        (["--", "-1 + 2?"], ["gen", "--", "-1 + 2?"]),
        ([""], ["gen", ""]),
        (["sum", "a.txt"], ["sum", "a.txt"]),
        (["--version"], ["--version"]),
        (["help"], ["--help"]),
        (["help", "models", "pull"], ["models", "pull", "--help"]),
        (["version"], ["--version"]),
        (["list"], ["models", "ls"]),
        (["ls", "--json"], ["models", "ls", "--json"]),
        (["pull", "org/name"], ["models", "pull", "org/name"]),
        (["rm", "name"], ["models", "rm", "name"]),
        (["show", "starter"], ["models", "info", "starter"]),
        (["templates"], ["prompts", "ls"]),
        (["templates", "--json"], ["prompts", "ls", "--json"]),
        (["templates", "list"], ["prompts", "ls"]),
        (["aliases"], ["models", "alias"]),
        (["aliases", "list", "--json"], ["models", "alias", "--json"]),
        (["import", "a.gguf"], ["models", "import", "a.gguf"]),
        (["prune", "--dry-run"], ["models", "prune", "--dry-run"]),
        (["Clone"], ["gen", "Clone"]),
        (["Novel"], ["gen", "Novel"]),
        (["-m", "starter", "load"], ["gen", "-m", "starter", "load"]),
        (["templates", "show", "gen"], ["prompts", "show", "gen"]),
        (["-V"], ["--version"]),
        (["explain this error"], ["gen", "explain this error"]),
        (["Explain"], ["gen", "Explain"]),
        (["git", "diff"], ["gen", "git", "diff"]),
        (["cat", "a.txt"], ["gen", "cat", "a.txt"]),
        (["what", "is", "this"], ["gen", "what", "is", "this"]),
        (["hello"], ["gen", "hello"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_text_and_familiar_verbs_get_a_command(args: list[str], completed: list[str]) -> None:
    assert (
        complete_arguments(args, COMMANDS, partial(load_command, "gen"), load_groups) == completed
    )


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["clasify", "hi"], "unknown command 'clasify'; did you mean 'classify'?"),
        (["gne", "hi"], "did you mean 'gen'?"),
        (["SUM", "a.txt"], "did you mean 'sum'?"),
        (["Translate"], "did you mean 'translate'?"),
        (["summarize", "a.txt"], "unknown command 'summarize'; did you mean 'sum'?"),
        (["sumarise", "a.txt"], "unknown command 'sumarise'; did you mean 'sum'?"),
        (["pulll", "org/name"], "did you mean 'pull'?"),
        (["versions"], "did you mean 'version'?"),
        (["generate", "hi"], "did you mean 'gen'?"),
        (["unload"], "did you mean 'stop'?"),
        (["keys"], "put the key of a server into LLMTOOL_API_KEY"),
        (["aliases", "set", "small", "org/name"], "`llmtool models alias NAME REF`"),
        (["daemon"], "`llmtool serve --detach`"),
        (["similar", "x"], "no embeddings"),
        (["embed-models"], "no embeddings"),
        (["uninstall", "qwen3"], "use `llmtool models rm`"),
        (["delete", "qwen3"], "use `llmtool models rm` or `llmtool sessions rm`"),
        (["set", "model", "x"], "use `llmtool config set`"),
        (["fragments"], "use -f FILE"),
        (["schemas"], "use `llmtool gen --schema`"),
        (["status"], "`llmtool doctor`"),
        (["update"], "`pip install --upgrade llmtool`"),
        (["login"], "HF_TOKEN"),
        (["ollama", "run", "qwen3"], "unknown command 'ollama'; use `llmtool chat -m qwen3`"),
        (["ollama", "run", "qwen3", "Why?"], "use `llmtool gen -m qwen3`"),
        (["ollama", "list"], "use `llmtool models ls`"),
        (["ollama", "ps"], "use `llmtool ps`"),
        (["ollama"], "omit 'ollama'"),
        (["llm", "templates"], "use `llmtool prompts ls`"),
        (["llm", "aliases"], "use `llmtool models alias`"),
        (["llm", "keys", "set"], "put the key of a server into LLMTOOL_API_KEY"),
        (["llm", "models"], "use `llmtool models ls`"),
        (["llm", "Tell me a joke"], "omit 'llm'"),
        (["Env"], "`llmtool doctor`"),
        (["signin"], "no account"),
        (["logout"], "no account"),
        (["unload", "qwen3"], "did you mean 'stop'?"),
        (["convert"], "`llmtool models import`"),
        (["continue"], "`llmtool gen -c`"),
        (["helo"], "did you mean 'help'?"),
        (["cnofig"], "did you mean 'config'?"),
        (["conf"], "did you mean 'config'?"),
        (["modle"], "did you mean 'models'?"),
        (["review"], "unknown command 'review'; use `llmtool code review` (for a prompt of one"),
        (["complete", "a.py:3"], "use `llmtool code complete`"),
        (["lint", "x"], "use `llmtool prompts lint`"),
        (["unset", "model"], "use `llmtool config unset`"),
        (["find", "river"], "use `llmtool sessions search`"),
        (["rename", "a", "b"], "use `llmtool models alias` to give a model a name"),
        (["validate", "a.yaml"], "use `llmtool prompts lint`"),
        (["summary", "a.txt"], "did you mean 'sum'?"),
        (["-m", "starter", "chat"], "put options after the command: llmtool chat -m …"),
        (["-q", "models", "ls"], "put options after the command: llmtool models -q …"),
        (["--temperature=0", "gen", "hi"], "llmtool gen --temperature=0 …"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_typo_and_unsupported_verb_name_the_right_command(args: list[str], reason: str) -> None:
    with pytest.raises(UsageError) as error:
        complete_arguments(args, COMMANDS, partial(load_command, "gen"), load_groups)
    assert reason in str(error.value)


def test_no_subcommand_is_a_prompt() -> None:
    names = {each.words[1] for each in walk(root_command()) if len(each.words) == 2}
    assert {"review", "commit", "recommend", "export", "explain", "alias"} <= names
    prompts = []
    for name in names:
        with contextlib.suppress(UsageError):
            args = complete_arguments([name], COMMANDS, partial(load_command, "gen"), load_groups)
            prompts += [name] * (args[0] == "gen")
    assert prompts == []


def test_text_runs_gen(run_llmtool: Callable[..., Any], tiny: Path) -> None:
    args = ("-m", tiny, "--dry-run", "Sum up")
    expected = run_llmtool("gen", *args, input=b"Some notes.")
    assert expected.returncode == 0 and b"Some notes." in expected.stdout
    assert run_llmtool(*args, input=b"Some notes.").stdout == expected.stdout
    text_first = run_llmtool("Sum up", "-m", tiny, "--dry-run", input=b"Some notes.")
    assert text_first.stdout == expected.stdout


def test_bare_program_prints_the_help(run_llmtool: Callable[..., Any]) -> None:
    shown = run_llmtool()
    assert shown.returncode == 0
    assert shown.stdout == run_llmtool("--help").stdout
    assert b"Text without a command is a prompt for gen" in shown.stdout
    assert run_llmtool("help", "sum").stdout == run_llmtool("sum", "--help").stdout
    assert run_llmtool("models").stdout == run_llmtool("models", "--help").stdout


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (("models", "list"), "models ls"),
        (("models", "show"), "models info"),
        (("models", "remove"), "models rm"),
        (("models", "download"), "models pull"),
        (("prompts", "list"), "prompts ls"),
        (("prompts", "create"), "prompts new"),
        (("sessions", "delete"), "sessions rm"),
        (("sessions", "find"), "sessions search"),
        (("config", "get"), "config show"),
        (("config", "list"), "config show"),
        (("config", "ls"), "config show"),
    ],
)
def test_familiar_names_of_subcommands(
    run_llmtool: Callable[..., Any], args: tuple[str, ...], command: str
) -> None:
    shown = run_llmtool(*args, "--help")
    expected = run_llmtool(*command.split(), "--help")
    assert shown.returncode == 0
    assert shown.stdout.partition(b"\n\n")[2] == expected.stdout.partition(b"\n\n")[2]


@pytest.mark.parametrize(
    ("args", "remedy"),
    [
        ("config edit", "`llmtool config show path` prints the path of the file"),
        ("config path", "`llmtool config show path` prints the path of the file"),
        ("config reset model", "use `llmtool config unset`"),
        ("models default qwen3", "use `llmtool config set model NAME`"),
        ("models search llama", "use `llmtool models recommend`"),
        ("models run qwen3", "use `llmtool gen -m NAME`"),
        ("models ps", "use `llmtool ps`"),
        ("models unload", "use `llmtool stop`"),
        ("models install", "use `llmtool models pull`"),
        ("cache purge", "use `llmtool cache clear`"),
        ("prompts edit sum", "`llmtool prompts show NAME --json`"),
        ("prompts validate sum", "use `llmtool prompts lint`"),
        ("sessions resume work", "use `llmtool chat --session NAME`"),
    ],
)
def test_subcommand_of_another_program_names_ours(
    run_llmtool: Callable[..., Any], args: str, remedy: str
) -> None:
    group, name = args.split()[:2]
    line = error_line(run_llmtool(*args.split()), 2)
    assert line.startswith(f"llmtool: unknown command {name!r}; ") and remedy in line
    assert line.endswith(f"(see 'llmtool {group} --help')")


def test_missing_aliases_are_reported(run_llmtool: Callable[..., Any]) -> None:
    shown = run_llmtool("aliases")
    assert (shown.returncode, shown.stdout) == (0, b"")
    assert shown.stderr == b"llmtool: no aliases; `llmtool models alias NAME REF` sets one\n"


def test_config_get_prints_one_value(run_llmtool: Callable[..., Any]) -> None:
    run_llmtool("config", "set", "aliases.small", "org/name")
    for args, shown in (
        (("max_tokens",), b"-\n"),
        (("aliases.small",), b"org/name\n"),
        (("log", "--json"), b"true\n"),
        (("max_tokens", "--json"), b"null\n"),
    ):
        assert run_llmtool("config", "get", *args).stdout == shown
    assert run_llmtool("config", "show", "path").stdout.endswith(b"config.toml\n")
    line = error_line(run_llmtool("config", "get", "modle"), 2)
    assert line == "llmtool: unknown key 'modle'; did you mean 'model'?"


def test_hints_name_commands_that_exist() -> None:
    hints = [*default_command._INSTEAD.values(), *app_factory.INSTEAD.values()]
    hints += usage_errors._INSTEAD.values()
    for words in re.findall("`llmtool ([a-z][a-z -]+)", "\n".join(hints)):
        group, *rest = words.split(" -")[0].split()
        assert group in COMMANDS, words
        if rest and group != "run":
            assert rest[0] in load_command(group).commands, words
    for key in app_factory.INSTEAD:
        group, name = key.split()
        assert name not in load_command(group).commands, key


def test_usage_error_of_default_command_names_gen(run_llmtool: Callable[..., Any]) -> None:
    line = error_line(run_llmtool("--temp", "0", "hi"), 2)
    assert line.endswith("did you mean --temperature? (see 'llmtool gen --help')")


@pytest.mark.parametrize("name", ["llama3.2", "org/name", "qwen3", "gemma"])
def test_run_with_a_model_names_the_command(run_llmtool: Callable[..., Any], name: str) -> None:
    line = error_line(run_llmtool("run", name, "hi"), 12)
    assert line.endswith(f"(to run a model, use `llmtool gen -m {name}`)")
    line = error_line(run_llmtool("run", name), 12)
    assert line.endswith(f"(to run a model, use `llmtool chat -m {name}`)")


@pytest.mark.parametrize("name", ["sentimnt", "./nothere.yaml"])
def test_run_with_a_similar_or_missing_template_names_no_model(
    run_llmtool: Callable[..., Any], name: str
) -> None:
    assert "to run a model" not in error_line(run_llmtool("run", name, "hi"), 12)


@pytest.mark.parametrize("command", ["code", "classify"])
def test_command_with_subcommands_prints_its_help_on_a_terminal(
    run_llmtool: Callable[..., Any], command: str
) -> None:
    terminal, other_end = pty.openpty()
    try:
        shown = run_llmtool(command, stdin=other_end)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout == run_llmtool(command, "--help").stdout
    assert run_llmtool(command, input=b"").returncode == 14
