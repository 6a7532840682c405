"""Find the command for arguments that do not begin with one: `llmtool "Tell me a joke"`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Any

from llmtool.errors import UsageError

DEFAULT = "gen"
# Commands of other programs: the arguments that do the same, or what to use instead.
_SAME = {
    "-V": ["--version"],
    "download": ["models", "pull"],
    "list": ["models", "ls"],
    "ls": ["models", "ls"],
    "pull": ["models", "pull"],
    "rm": ["models", "rm"],
    "show": ["models", "info"],
    "templates": ["prompts"],
    "version": ["--version"],
}
_REMOVE = "use `llmtool models rm` or `llmtool sessions rm`"
_INSTEAD = {
    "aliases": "`llmtool models alias` lists aliases",
    "ask": "did you mean 'gen'?",
    "benchmark": "did you mean 'bench'?",
    "collections": "llmtool has no embeddings",
    "complete": "did you mean 'gen'?",
    "cp": "use `llmtool models alias` to give a model a name",
    "create": "use `llmtool prompts new`",
    "delete": _REMOVE,
    "embed": "llmtool has no embeddings",
    "embed-models": "llmtool has no embeddings",
    "embed-multi": "llmtool has no embeddings",
    "eval": "use `llmtool prompts test` or `llmtool classify eval`",
    "extract": "use `llmtool run extract`",
    "fragments": "use -f FILE",
    "generate": "did you mean 'gen'?",
    "get": "use `llmtool config show`",
    "history": "use `llmtool logs` or `llmtool sessions ls`",
    "info": "use `llmtool doctor` or `llmtool models info`",
    "inspect": "use `llmtool models info`",
    "install": "use `llmtool models pull`",
    "keys": "models on this machine need no keys",
    "llm": "omit 'llm'",
    "login": "models need no account; for gated ones, set HF_TOKEN",
    "ollama": "omit 'ollama'",
    "plugins": "llmtool has no plugins",
    "prompt": "did you mean 'gen' or 'prompts'?",
    "ps": "a model is loaded only while a command runs (installed models: `llmtool models ls`)",
    "push": "llmtool does not upload models",
    "remove": _REMOVE,
    "schemas": "use `llmtool gen --schema`",
    "search": "use `llmtool sessions search` or `llmtool models recommend`",
    "serve": "llmtool has no server",
    "set": "use `llmtool config set`",
    "settings": "did you mean 'config'?",
    "similar": "llmtool has no embeddings",
    "start": "use `llmtool chat`",
    "status": "use `llmtool doctor`",
    "stop": "a model is loaded only while a command runs",
    "summarise": "did you mean 'sum'?",
    "summarize": "did you mean 'sum'?",
    "template": "did you mean 'prompts'?",
    "test": "use `llmtool prompts test`",
    "tools": "models cannot call tools",
    "uninstall": "use `llmtool models rm`",
    "update": "use `pip install --upgrade llmtool`",
    "upgrade": "use `pip install --upgrade llmtool`",
}


def complete_arguments(
    args: list[str], commands: Collection[str], default: Callable[[], Any]
) -> list[str]:
    """Return the arguments with a command in front.

    Text, and options of the default command, are passed to it.

    Args:
        default: imports the default command, whose options may come first.

    Raises:
        UsageError: options come before a command, or a word resembles a command or is one of
            another program.
    """
    first = args[0]
    if first in commands or first in ("--help", "-h", "--version"):
        return args
    if first == "templates" and (len(args) == 1 or args[1].startswith("-")):
        return ["prompts", "ls", *args[1:]]
    if first in _SAME:
        return [*_SAME[first], *args[1:]]
    if first.startswith("-") and first not in ("-", "--"):
        command = _command_after_options(args, commands, default)
        if command is not None:
            raise UsageError(f"put options after the command: llmtool {command} {first} …")
        return [DEFAULT, *args]
    if first == "help":
        return [*args[1:], "--help"]
    if first in _INSTEAD:
        raise UsageError(f"unknown command {first!r}; {_INSTEAD[first]}")
    if not any(map(str.isspace, first)):
        _check_no_typo(first, commands)
    return [DEFAULT, *args]


def _check_no_typo(word: str, commands: Collection[str]) -> None:
    """Fail for a word that resembles a command or, closely, one of another program."""
    find = difflib.get_close_matches
    near = find(word.lower(), [*commands, *_SAME, *_INSTEAD], n=1, cutoff=0.8)
    near = near or find(word.lower(), commands, n=1)
    if near:
        hint = _INSTEAD.get(near[0], f"did you mean {near[0]!r}?")
        raise UsageError(f"unknown command {word!r}; {hint} (see 'llmtool --help')")


def _command_after_options(
    args: list[str], commands: Collection[str], default: Callable[[], Any]
) -> str | None:
    """Return the word after leading options if it is a command."""
    takes_value = {
        name: not param.is_flag
        for param in default().params
        if param.param_type_name == "option"
        for name in (*param.opts, *param.secondary_opts)
    }
    at = 0
    while at < len(args) and args[at].startswith("-"):
        name, _, value = args[at].partition("=")
        at += 1 if value or not takes_value.get(name, False) else 2
    return args[at] if at < len(args) and args[at] in commands else None
