"""Reword Typer's usage errors to match our own."""

from __future__ import annotations

import os
import re
from typing import Any

from llmtool.cli.options.flags import known_name, plain_name

# Patterns in Typer's messages, and their replacements, applied in order.
_REWORDINGS = (
    (r"^Invalid value for '([^']+)'(?: / '[^']+')*: ", r"\1: "),
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
    (r"^(unknown option -\d.*)", r"\1; put -- before a value that begins with -"),
)
_UNKNOWN_OPTION = re.compile(r"^(unknown option (-\S+))(?:; did you mean .*\?)?$")
_TEXTS = ("message", "prompt", "request", "text")  # names of arguments
_MIN_SIMILARITY = 0.8  # of a suggested option
# What to do instead of an option, without dashes.
_INSTEAD = {
    "api-key": "a local model needs no key",
    "i": "use `llmtool chat`",
    "interactive": "use `llmtool chat`",
    "key": "a local model needs no key",
    "no-color": "use --color never",
    "stream": "replies are streamed unless --no-stream is given",
}
_TOO_MANY = "Got unexpected extra argument"
_INPUT_OF = {"review": "pipe the diff in, or name its file with -f"}


def rewrite_usage_error(message: str, command: Any = None) -> str:
    """Return one of Typer's usage errors in our wording.

    Example:
        >>> rewrite_usage_error("Invalid value for '--limit': 0 is not in the range x>=1.")
        "--limit '0': must be at least 1"
    """
    if is_too_many(message):
        return f"too many arguments; {_remedy_for_too_many(message, command)}"
    message = " ".join(message.split())
    if not message.startswith("No such option"):  # the user's text may end with a full stop
        message = message.removesuffix(".")
    for pattern, replacement in _REWORDINGS:
        message = re.sub(pattern, replacement, message)
    unknown = _UNKNOWN_OPTION.match(message)
    if unknown:
        message = unknown[1] + _suggest_option(unknown[2], command)
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _suggest_option(typed: str, command: Any) -> str:
    """Return what to use instead of an unknown option, or "" if nothing is similar enough."""
    import difflib

    params = command.params if command is not None else ()
    known = [each for param in params for each in (*param.opts, *param.secondary_opts)]
    known = [each for each in (*known, "--help") if each.startswith("--")]
    name = plain_name(typed)
    if name in _TEXTS and any(param.name in _TEXTS for param in params):
        return "; pass the text as an argument"
    other = f"--{known_name(typed)}"
    if other in known:
        return f"; did you mean {other}?"
    if name in _INSTEAD:
        return f"; {_INSTEAD[name]}"
    if len(name) < 2:
        return ""
    found = [
        each for each in known if each.startswith(f"--{name}") or f"--{name}".startswith(f"{each}-")
    ] or difflib.get_close_matches(name, [each[2:] for each in known], cutoff=_MIN_SIMILARITY)
    near = [f"--{each.lstrip('-')}" for each in found[:2]]
    return f"; did you mean {' or '.join(near)}?" if near else ""


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
