"""Find the command for arguments that do not begin with one: `llmtool "Tell me a joke"`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from llmtool.cli.framework.app_factory import INSTEAD, SYNONYMS
from llmtool.errors import UsageError
from llmtool.suggest import edit_distance

DEFAULT = "gen"
# Commands of other programs: the arguments that do the same, or what to use instead.
SAME = {
    "-V": ["--version"],
    "download": ["models", "pull"],
    "import": ["models", "import"],
    "list": ["models", "ls"],
    "ls": ["models", "ls"],
    "prune": ["models", "prune"],
    "pull": ["models", "pull"],
    "rm": ["models", "rm"],
    "show": ["models", "info"],
    "templates": ["prompts"],
    "version": ["--version"],
}
_LISTS = {  # without a subcommand, or with `list`
    "aliases": ["models", "alias"],
    "models": ["models", "ls"],  # after the name of another program
    "templates": ["prompts", "ls"],
}
_PROGRAMS = ("llm", "ollama")
_ACCOUNT = "models need no account; for gated ones, set HF_TOKEN"
_CHAT = "use `llmtool chat`"
_CLEAN = "use `llmtool models prune` or `llmtool cache clear`"
_CONTINUE = "use `llmtool gen -c` or `llmtool chat --session NAME`"
_DEFAULT_MODEL = "use `llmtool config set model NAME`"
_GGUF = "import a GGUF file with `llmtool models import`"
_NO_EMBEDDINGS = "llmtool has no embeddings"
_SERVE = "use `llmtool serve`, or `llmtool serve --detach` for the background"
_NO_UPLOAD = "llmtool does not upload models"
_REMOVE = "use `llmtool models rm` or `llmtool sessions rm`"
_SAME_NAMES = ("ps", "serve", "stop")  # commands of other programs and ours
_INSTEAD = {
    "aliases": "use `llmtool models alias NAME REF`",
    "ask": "did you mean 'gen'?",
    "auth": _ACCOUNT,
    "batch": "use --each line, jsonl, csv or file",
    "benchmark": "did you mean 'bench'?",
    "clean": _CLEAN,
    "cleanup": _CLEAN,
    "collections": _NO_EMBEDDINGS,
    "continue": _CONTINUE,
    "convert": _GGUF,
    "cp": "use `llmtool models alias` to give a model a name",
    "create": "use `llmtool prompts new`",
    "daemon": _SERVE,
    "default": _DEFAULT_MODEL,
    "delete": _REMOVE,
    "df": "use `llmtool models ls`",
    "docs": "use `llmtool --help`",
    "embed": _NO_EMBEDDINGS,
    "embed-models": _NO_EMBEDDINGS,
    "embed-multi": _NO_EMBEDDINGS,
    "env": "use `llmtool doctor`",
    "eval": "use `llmtool prompts test` or `llmtool classify eval`",
    "extract": "use `llmtool run extract`",
    "fragments": "use -f FILE",
    "gc": _CLEAN,
    "generate": "did you mean 'gen'?",
    "get": "use `llmtool config show`",
    "history": "use `llmtool logs` or `llmtool sessions ls`",
    "info": "use `llmtool doctor` or `llmtool models info`",
    "inspect": "use `llmtool models info`",
    "install": "use `llmtool models pull`",
    "interactive": _CHAT,
    "keys": "put the key of a server into LLMTOOL_API_KEY, or name its variable in config.toml",
    "launch": _SERVE,
    "load": _SERVE,
    "login": _ACCOUNT,
    "logout": _ACCOUNT,
    "openai": "use -m openai:MODEL",
    "plugins": "llmtool has no plugins",
    "prompt": "did you mean 'gen' or 'prompts'?",
    "push": _NO_UPLOAD,
    "quantize": _GGUF,
    "rag": "pass the texts with -f",
    "remove": _REMOVE,
    "repl": _CHAT,
    "resume": _CONTINUE,
    "schemas": "use `llmtool gen --schema`",
    "search": "use `llmtool sessions search` or `llmtool models recommend`",
    "server": _SERVE,
    "set": "use `llmtool config set`",
    "settings": "did you mean 'config'?",
    "shell": _CHAT,
    "signin": _ACCOUNT,
    "signout": _ACCOUNT,
    "similar": _NO_EMBEDDINGS,
    "start": _CHAT,
    "status": "use `llmtool doctor`",
    "summaries": "did you mean 'sum'?",
    "summarise": "did you mean 'sum'?",
    "summarize": "did you mean 'sum'?",
    "summary": "did you mean 'sum'?",
    "tag": "use `llmtool models alias` to give a model a name",
    "template": "did you mean 'prompts'?",
    "test": "use `llmtool prompts test`",
    "tools": "models cannot call tools",
    "tui": _CHAT,
    "uninstall": "use `llmtool models rm`",
    "unload": "did you mean 'stop'?",
    "update": "use `pip install --upgrade llmtool`",
    "upgrade": "use `pip install --upgrade llmtool`",
    "upload": _NO_UPLOAD,
    "use": _DEFAULT_MODEL,
    "whoami": _ACCOUNT,
}


def complete_arguments(
    args: list[str],
    commands: Collection[str],
    default: Callable[[], Any],
    groups: Callable[[], Mapping[str, Any]],
) -> list[str]:
    """Return the arguments with a command in front.

    Text, and options of the default command, are passed to it.

    Args:
        default: imports the default command, whose options may come first.
        groups: imports the commands that have subcommands, by name.

    Raises:
        UsageError: options come before a command, or a word resembles a command, is a subcommand
            or is a command of another program.
    """
    first = args[0]
    if first in commands or first in ("--help", "-h", "--version"):
        return args
    if first in _LISTS:
        rest = args[2:] if args[1:2] == ["list"] else args[1:]
        if not rest or rest[0].startswith("-"):
            return [*_LISTS[first], *rest]
    if first in SAME:
        return [*SAME[first], *args[1:]]
    if first.startswith("-") and first not in ("-", "--"):
        command = _command_after_options(args, commands, default)
        if command is not None:
            raise UsageError(f"put options after the command: llmtool {command} {first} …")
        return [DEFAULT, *args]
    if first == "help":
        return [*args[1:], "--help"]
    if first in _PROGRAMS:
        raise UsageError(f"unknown command {first!r}; {_instead_of_program(first, args[1:])}")
    if first in _INSTEAD:
        raise UsageError(f"unknown command {first!r}; {_INSTEAD[first]}")
    if first[:1].isalpha() and not any(map(str.isspace, first)):
        if re.fullmatch("[a-z-]+", first):  # not "Explain"
            _check_no_subcommand(first, groups())
        _check_no_typo(first, commands)
    return [DEFAULT, *args]


def _instead_of_program(program: str, args: list[str]) -> str:
    """Return what to use instead of another program and its arguments."""
    verb, *rest = args or [""]
    if verb == "run" and rest:
        return f"use `llmtool {'gen' if rest[1:] else 'chat'} -m {rest[0]}`"
    ours = _LISTS.get(verb) or SAME.get(verb) or ([verb] if verb in _SAME_NAMES else None)
    return f"use `llmtool {' '.join(ours)}`" if ours else _INSTEAD.get(verb, f"omit {program!r}")


def _check_no_subcommand(word: str, groups: Mapping[str, Any]) -> None:
    """Fail for a word that names a subcommand here, or only in other programs."""
    found = [f"{name} {word}" for name, group in groups.items() if word in group.commands]
    found = found or [
        f"{name} {ours}"
        for name, group in groups.items()
        for ours in SYNONYMS.get(word, ())
        if ours in group.commands
    ]
    hints = [f"use {' or '.join(f'`llmtool {each}`' for each in found)}"] if found else []
    hints += [INSTEAD[f"{name} {word}"] for name in groups if f"{name} {word}" in INSTEAD]
    if found or len(set(hints)) == 1:
        raise UsageError(
            f"unknown command {word!r}; {hints[0]} (for a prompt of one word: llmtool gen {word})"
        )


def _check_no_typo(word: str, commands: Collection[str]) -> None:
    """Fail for a word that resembles a command, or closely one of another program."""
    typed = word.lower()
    near = [each for each in (*commands, "help") if _is_typo(typed, each)]
    near += [each for each in (*SAME, *_INSTEAD) if _is_near(typed, each, 1)]
    if near:
        nearest = min(near, key=partial(edit_distance, typed))
        hint = _INSTEAD.get(nearest, f"did you mean {nearest!r}?")
        raise UsageError(f"unknown command {word!r}; {hint} (see 'llmtool --help')")


def _is_typo(typed: str, command: str) -> bool:
    """Whether a word is the beginning of a command, or has one or two typing errors.

    Example:
        >>> [_is_typo(typed, "config") for typed in ("conf", "cnofgi", "confirm")]
        [True, True, True]
        >>> [_is_typo(typed, "gen") for typed in ("gne", "env")]
        [True, False]
    """
    return (len(typed) > 2 and command.startswith(typed)) or _is_near(typed, command, 2)


def _is_near(typed: str, name: str, n_allowed: int) -> bool:
    """Whether a word differs from a name by `n_allowed` typing errors, or fewer if it is short.

    Many short words are similar: `git` and `get`, `cat` and `chat`, `what` and `chat`.
    """
    n_letters = min(len(typed), len(name))
    if n_letters < 4:
        return sorted(typed) == sorted(name)
    if n_letters < 5:
        return typed[0] == name[0] and edit_distance(typed, name) <= 1
    return edit_distance(typed, name) <= n_allowed


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
