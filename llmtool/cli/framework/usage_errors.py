"""Typer's usage errors, reworded like our own."""

from __future__ import annotations

import re
from typing import Any

# Patterns in typer's messages about types and ranges, and their replacements.
_WORDS = (
    (r"'(.*)' is not a valid int(?:eger)?(?: range)?", r"'\1' is not a whole number"),
    (r"'(.*)' is not a valid float(?: range)?", r"'\1' is not a number"),
    (r"(\S+) is not in the range (\S+)<=x<=(\S+)", r"\1 is not between \2 and \3"),
    (r"(\S+) is not in the range x>=(\S+)", r"\1 is less than \2"),
    (r"(\S+) is not in the range x<=(\S+)", r"\1 is more than \2"),
    (r" \(Possible options: (.*)\)", r" (did you mean \1?)"),
    (r"\. Did you mean (.*)\?", r" (did you mean \1?)"),
    (r"\. Choose from:\s*(.*)", r" (one of \1)"),
    (r"^Option '(.*)' requires an argument", r"option '\1' needs a value"),
    (r"^(No such option: -\d.*)", r"\1 (a value that begins with - goes after --)"),
)
_TOO_MANY = "Got unexpected extra argument"
_READS = {"review": "it reads a diff on standard input or with -f"}


def rewrite_usage_error(message: str, command: Any = None) -> str:
    """Return the message of one of typer's usage errors in our own wording.

    Example:
        >>> rewrite_usage_error("Invalid value for '--limit': 0 is not in the range x>=1.")
        "invalid value for '--limit': 0 is less than 1"
    """
    if is_too_many(message):
        return f"too many arguments ({_why_too_many(command)})"
    message = " ".join(message.split())
    if not message.startswith("No such option"):  # which ends with what was typed
        message = message.removesuffix(".")
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    message = re.sub(r"(\d)\.0 is (not between|less|more)", r"\1 is \2", message)
    return message[:1].lower() + message[1:]


def is_too_many(message: str) -> bool:
    """Whether typer says that there are more arguments than a command takes."""
    return message.startswith(_TOO_MANY)


def _why_too_many(command: Any) -> str:
    """Say it without the arguments, which can be the words of a prompt."""
    if command is None or any(each.param_type_name == "argument" for each in command.params):
        return "text of several words needs quotes"
    return _READS.get(command.name, "this command takes none")
