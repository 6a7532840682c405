"""The flag of each option that errors and warnings name."""

from __future__ import annotations

_FLAGS = {  # by the name of the Python argument; others have the same name
    "labels": "-l",
    "language": "-l",
    "model": "-m",
    "n": "-n",
    "n_ctx": "--ctx-size",
    "n_parallel": "--parallel",
    "n_threads": "--threads",
    "output": "-o",
    "source": "--from",
    "template": "-t",
    "template_args": "--template-arg",
    "thinking": "--think",
    "variables": "-p",
}


def format_flag(name: str, value: tuple[object, ...] = ()) -> str:
    """Return how the command's user writes an option.

    Example:
        >>> format_flag("n_ctx"), format_flag("labels", (["good", "bad"],))
        ('--ctx-size', '-l good,bad')
        >>> format_flag("variables", ({"to": "TEXT"},)), format_flag("thinking", (False,))
        ('-p to=TEXT', '--no-think')
    """
    flag = _FLAGS.get(name) or f"--{name.replace('_', '-')}"
    for each in value:
        if isinstance(each, bool):
            return flag if each else flag.replace("--", "--no-")
        if isinstance(each, dict):
            return " ".join(f"{flag} {key}={text}" for key, text in each.items())
        return f"{flag} {','.join(each) if isinstance(each, list) else each}"
    return flag
