"""What typer finds wrong with arguments, in the words of our own errors."""

from __future__ import annotations

import re

# Where typer speaks of its types and ranges: a pattern, and what is said instead.
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
    (
        r"^Got unexpected extra argument\(s\) \(.*\)",  # they can be the words of a prompt
        "too many arguments (text of several words needs quotes)",
    ),
    (r"^(No such option: -\d.*)", r"\1 (a value that begins with - goes after --)"),
)


def in_our_words(message: str) -> str:
    """Return the message of a usage error of typer as we would say it.

    Example:
        >>> in_our_words("Invalid value for '--limit': 0 is not in the range x>=1.")
        "invalid value for '--limit': 0 is less than 1"
    """
    message = " ".join(message.split())
    if not message.startswith("No such option"):  # which ends with what was typed
        message = message.removesuffix(".")
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    message = re.sub(r"(\d)\.0 is (not between|less|more)", r"\1 is \2", message)
    return message[:1].lower() + message[1:]
