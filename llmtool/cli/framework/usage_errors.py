"""Reword Typer's usage errors to match our own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from llmtool.cli.options.flags import known_flags, plain_name
from llmtool.tasks.options import SamplingOptions

# Patterns in Typer's messages, and their replacements, applied in order.
_REWORDINGS = (
    (r"^(\S+): '(.*)' is not a valid int(?:eger)?(?: range)?$", r"\1 '\2': must be a whole number"),
    (r"^(\S+): '(.*)' is not a valid float(?: range)?$", r"\1 '\2': must be a number"),
    (r"^(\S+): '(.*)' is not one of (.*)", r"\1 '\2': must be one of \3"),
    (r": must be one of ('[^',]+')$", r": must be \1"),
    (r"^(--each '(?i:tsv|tabs?)': .*'csv'.*)", r"\1; for tabs, use --each csv"),
    (r"^(\S+): '(.*)' is not ", r"\1 '\2': not "),
    (r"^(\S+): '(.*)': ", r"\1 '\2': "),
    (r"(\S+)\.0 is not in the range ", r"\1 is not in the range "),
    (r": (\S+) is not in the range (\S+)<=x<=(\S+)", r" '\1': must be between \2 and \3"),
    (r": (\S+) is not in the range x>=(\S+)", r" '\1': must be at least \2"),
    (r": (\S+) is not in the range x<=(\S+)", r" '\1': must be at most \2"),
    (r": (\S+) is not between ", r" '\1': must be between "),
    (r" \(Possible options: (?:(.*), )?(.*)\)", r"; did you mean \1 or \2?"),
    (r"did you mean  or ", "did you mean "),
    (r"\. Did you mean (.*)\?", r"; did you mean \1?"),
    (r"^Missing (argument|option) '([^']+)'(?: / '[^']+')*", r"missing \1 \2"),
    (r"\. Choose from:\s*(.*)", r": one of \1"),
    (r"^Option '(.*)' requires an argument", r"\1 needs a value"),
    (r"^No such (option|command):? ", r"unknown \1 "),
    (r"^(SHELL 'install': .*)", r"\1; `llmtool completions SHELL --install` installs a script"),
    (r"^(unknown option -\d.*)", r"\1; put -- before a value that begins with -"),
)
_INVALID_VALUE = re.compile(r"^Invalid value for ('[^']+'(?: / '[^']+')*): ")
_UNKNOWN_OPTION = re.compile(r"^(unknown option (-\S+))(?:; did you mean .*\?)?$")
_TEXTS = ("message", "prompt", "request", "text")  # names of arguments
_MIN_SIMILARITY = 0.8  # of a suggested option
_NO_IMAGES = "models read text only"
_NO_TOOLS = "models cannot call tools"
_KEY = "put the key of a server into LLMTOOL_API_KEY, or name its variable in config.toml"
_SERVER = "use --base-url URL"
_WARM = "use `llmtool serve --detach --idle MIN`"
_CHAT = "use `llmtool chat`"
_ONE_REPLY = "`llmtool gen` ends after one reply"
_SESSION = "use `llmtool chat --session NAME`"
_LIST_PROMPTS = "use `llmtool prompts ls`"
_LIST_MODELS = "use `llmtool models ls`"
_SHOW_LOG = "use `llmtool logs`"
_FLASH = "llama.cpp uses flash attention where it can"
_CPU = "use -ngl 0"
_UNSUPPORTED = "not supported"
_QUANT = "name it after the model: -m org/name:QUANT"
# What to do instead of an option, without dashes.
_INSTEAD = {
    "agent": _NO_TOOLS,
    "api-key": _KEY,
    "api-base": _SERVER,
    "audio": _NO_IMAGES,
    "b": "the batch size is chosen automatically",
    "batch-size": "the batch size is chosen automatically",
    "chat": _CHAT,
    "cid": _SESSION,
    "cnv": _CHAT,
    "code": "use `llmtool code`",
    "conversation": _SESSION,
    "copy": "pipe the reply to a program such as pbcopy, wl-copy or xclip",
    "cpu": _CPU,
    "create-role": "use `llmtool prompts new`",
    "fa": _FLASH,
    "flash-attention": _FLASH,
    "flash-attn": _FLASH,
    "functions": _NO_TOOLS,
    "greedy": "use --temperature 0",
    "host": _SERVER,
    "i": _CHAT,
    "image": _NO_IMAGES,
    "images": _NO_IMAGES,
    "install-integration": "use `llmtool completions SHELL --install`",
    "interactive": _CHAT,
    "keep-alive": _WARM,
    "keepalive": _WARM,
    "key": _KEY,
    "length-penalty": "the only penalty is --repeat-penalty",
    "list-chats": "use `llmtool sessions ls`",
    "list-models": _LIST_MODELS,
    "list-patterns": _LIST_PROMPTS,
    "list-prompts": _LIST_PROMPTS,
    "list-roles": _LIST_PROMPTS,
    "list-sessions": "use `llmtool sessions ls`",
    "listmodels": _LIST_MODELS,
    "listpatterns": _LIST_PROMPTS,
    "mmproj": _NO_IMAGES,
    "multiline-input": _CHAT,
    "no-cnv": _ONE_REPLY,
    "no-color": "use --color never",
    "no-conversation": _ONE_REPLY,
    "no-gpu": _CPU,
    "no-progress": "use --progress none",
    "option": "give each option its own name, such as --temperature 0",
    "ot": _UNSUPPORTED,
    "override-tensor": _UNSUPPORTED,
    "quant": _QUANT,
    "quantization": _QUANT,
    "rag": "pass the texts with -f",
    "repl": _CHAT,
    "samplers": "the order of the samplers is fixed",
    "save": "use `llmtool prompts new`",
    "serve": "use `llmtool serve`",
    "session": _SESSION,
    "settings": "use `llmtool config show`",
    "show-chat": _SHOW_LOG,
    "show-last": _SHOW_LOG,
    "single-turn": _ONE_REPLY,
    "sm": _UNSUPPORTED,
    "sp": _UNSUPPORTED,
    "special": _UNSUPPORTED,
    "split-mode": _UNSUPPORTED,
    "st": _ONE_REPLY,
    "stream": "replies are streamed unless --no-stream is given",
    "tool": _NO_TOOLS,
    "tools": _NO_TOOLS,
    "version": "use `llmtool --version`",
}
_SINGLE_DASH = re.compile(r"-[a-zA-Z][a-zA-Z_-]+")
_TOO_MANY = "Got unexpected extra argument"
_INPUT_OF = {"review": "pipe the diff in, or name its file with -f"}


def rewrite_usage_error(message: str, command: Any = None, args: Sequence[str] = ()) -> str:
    """Return one of Typer's usage errors in our wording; `args` are those of the command line.

    Example:
        >>> rewrite_usage_error("Invalid value for '--limit': 0 is not in the range x>=1.")
        "--limit '0': must be at least 1"
    """
    if is_too_many(message):
        return f"too many arguments; {_remedy_for_too_many(message, command)}"
    message = " ".join(message.split())
    if not message.startswith("No such option"):  # the user's text may end with a full stop
        message = message.removesuffix(".")
    names: list[str] = []
    if invalid := _INVALID_VALUE.match(message):
        names = re.findall("'([^']+)'", invalid[1])
        message = f"{_typed_name(names, args)}: {message[invalid.end() :]}"
    for pattern, replacement in _REWORDINGS:
        message = re.sub(pattern, replacement, message)
    if "--samples" in names:
        message += "; --max-tokens limits the length of a reply"
    unknown = _UNKNOWN_OPTION.match(message)
    if unknown:
        message = unknown[1] + _suggest_option(unknown[2], command, _value_of(unknown[2], args))
    if message.startswith("missing argument VALUE"):
        message += "".join(f"; write {each.replace('=', ' ', 1)}" for each in args if "=" in each)
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _typed_name(names: list[str], args: Sequence[str]) -> str:
    """Return the name of an option as it was typed, of all its names.

    Example:
        >>> _typed_name(["--samples", "-n"], ["gen", "-nx"])
        '-n'
    """
    options = [arg.partition("=")[0] for arg in args if arg.startswith("-")]
    short = [each for each in names if not each.startswith("--")]
    found = [each for each in names if each in options]
    found += [each for each in short for arg in options if arg.startswith(each)]
    return (found or names)[0]


def _value_of(typed: str, args: Sequence[str]) -> str:
    """Return the value after an option, or "" if there is none."""
    for arg, following in zip(args, (*args[1:], ""), strict=False):
        name, equals, value = arg.partition("=")
        if name == typed.partition("=")[0]:
            return value if equals else following
    return ""


def _suggest_option(typed: str, command: Any, value: str) -> str:
    """Return what to use instead of an unknown option, or "" if nothing is similar enough.

    A `value` may name an option: `--format sarif` is `--sarif`.
    """
    import difflib

    params = command.params if command is not None else ()
    known = [each for param in params for each in (*param.opts, *param.secondary_opts)]
    known = [each for each in (*known, "--help") if each.startswith("--")]
    name = plain_name(typed)
    if value and f"--{value.lower()}" in known:
        return f"; did you mean --{value.lower()}?"
    if name in _TEXTS and any(param.name in _TEXTS for param in params):
        return "; pass the text as an argument"
    ours = known_flags(typed)
    if any(param.param_type_name == "argument" and param.name == ours[0] for param in params):
        return f"; pass the {ours[0]} as an argument"
    if others := [f"--{each}" for each in ours if f"--{each}" in known]:
        return f"; did you mean {others[0]}?"
    if name in _INSTEAD:
        return f"; {_INSTEAD[name]}"
    if "--label" in known and ours[0].replace("-", "_") in SamplingOptions.__struct_fields__:
        best = (
            "; --top K prints the K best labels" if ours == ["top-k"] and "--top" in known else ""
        )
        return f"; labels are scored, not generated{best}"
    if len(name) < 3 or ours != [name]:  # or an option of other commands
        return ""
    found = [
        each for each in known if each.startswith(f"--{name}") or f"--{name}".startswith(f"{each}-")
    ] or difflib.get_close_matches(
        name, [each[2:] for each in known if each[2] == name[0]], cutoff=_MIN_SIMILARITY
    )
    near = [f"--{each.lstrip('-')}" for each in found[:2]]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def find_single_dash(args: Sequence[str], command: Any) -> str | None:
    """Return a long option with one dash, which Typer would read as short ones: -seed as -s eed.

    It may also be the name of an option in other programs.
    """
    known = {each for param in command.params for each in (*param.opts, *param.secondary_opts)}
    for arg in args:
        option = arg.partition("=")[0]
        if not _SINGLE_DASH.fullmatch(option) or option in known:
            continue
        is_option = any(f"--{each}" in known for each in known_flags(option))
        if is_option or plain_name(option) in (*_INSTEAD, *_TEXTS, "help"):
            return option
    return None


def is_too_many(message: str) -> bool:
    """Whether Typer reports more arguments than the command takes."""
    return message.startswith(_TOO_MANY)


def _remedy_for_too_many(message: str, command: Any) -> str:
    """Return what to do; omits the arguments, which may be the words of a prompt."""
    extra = re.search(r"argument(?:\(s\)|s)? \((.*)\)", message)
    if extra and any(map(os.path.isfile, extra[1].split())):
        if any("--each" in each.opts for each in getattr(command, "params", ())):
            return "for several files, use --each file -f FILE -f FILE"
    if command is None or any(each.param_type_name == "argument" for each in command.params):
        return "put quotes around text of several words"
    return _INPUT_OF.get(command.name, "this command takes none")
