"""Reword Typer's usage errors to match our own."""

from __future__ import annotations

import re
from typing import Any

# Patterns in Typer's messages, and their replacements, applied in order.
_REWORDINGS = (
    (r"^Invalid value for '([^']+)'(?: / '[^']+')*: ", r"\1: "),
    (r"^(\S+): '(.*)' is not a valid int(?:eger)?(?: range)?$", r"\1 '\2': must be a whole number"),
    (r"^(\S+): '(.*)' is not a valid float(?: range)?$", r"\1 '\2': must be a number"),
    (r"^(\S+): '(.*)' is not one of (.*)", r"\1 '\2': must be one of \3"),
    (r": must be one of ('[^',]+')$", r": must be \1"),
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
_OPTION_SUGGESTIONS = re.compile(r"^(unknown option --(\S+)); did you mean (.*)\?$")
_TOO_MANY = "Got unexpected extra argument"
_INPUT_OF = {"review": "pipe the diff in, or name its file with -f"}


def rewrite_usage_error(message: str, command: Any = None) -> str:
    """Return one of Typer's usage errors in our wording.

    Example:
        >>> rewrite_usage_error("Invalid value for '--limit': 0 is not in the range x>=1.")
        "--limit '0': must be at least 1"
    """
    if is_too_many(message):
        return f"too many arguments; {_remedy_for_too_many(command)}"
    message = " ".join(message.split())
    if not message.startswith("No such option"):  # the user's text may end with a full stop
        message = message.removesuffix(".")
    for pattern, replacement in _REWORDINGS:
        message = re.sub(pattern, replacement, message)
    message = _OPTION_SUGGESTIONS.sub(_keep_similar, message)
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _keep_similar(found: re.Match[str]) -> str:
    """Drop suggested options that resemble the typed one only in their leading dashes."""
    import difflib

    names = re.findall(r"--([^\s,'?]+)", found[3])
    near = [f"--{name}" for name in difflib.get_close_matches(found[2], names)]
    return f"{found[1]}; did you mean {' or '.join(near)}?" if near else found[1]


def is_too_many(message: str) -> bool:
    """Whether Typer reports more arguments than the command takes."""
    return message.startswith(_TOO_MANY)


def _remedy_for_too_many(command: Any) -> str:
    """Return what to do; omits the arguments, which may be the words of a prompt."""
    if command is None or any(each.param_type_name == "argument" for each in command.params):
        return "put quotes around text of several words"
    return _INPUT_OF.get(command.name, "this command takes none")
