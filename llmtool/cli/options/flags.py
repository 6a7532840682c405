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
# Names of options in other programs, without dashes.
_OTHER_NAMES = {
    "batch": "each",
    "c": "ctx-size",
    "context": "ctx-size",
    "ctx": "ctx-size",
    "force": "overwrite",
    "format": "json",
    "gpu": "n-gpu-layers",
    "gpu-layers": "n-gpu-layers",
    "instructions": "system",
    "json-schema": "schema",
    "max-length": "max-tokens",
    "max-new-tokens": "max-tokens",
    "n-ctx": "ctx-size",
    "n-predict": "max-tokens",
    "ngl": "n-gpu-layers",
    "num-ctx": "ctx-size",
    "num-predict": "max-tokens",
    "options": "param",
    "predict": "max-tokens",
    "reasoning": "think",
    "repetition-penalty": "repeat-penalty",
    "retries": "repair",
    "response-format": "json",
    "sep": "delimiter",
    "separator": "delimiter",
    "target": "to",
    "temp": "temperature",
    "v": "debug",
    "var": "param",
    "verbose": "debug",
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


def known_name(typed: str) -> str:
    """Return our name, without dashes, of an option as other programs name it.

    Example:
        >>> known_name("num_ctx=4096"), known_name("--temp")
        ('ctx-size', 'temperature')
    """
    return _OTHER_NAMES.get(plain_name(typed), plain_name(typed))


def plain_name(typed: str) -> str:
    """Return an option as typed without dashes in front and without its value."""
    return typed.lstrip("-").partition("=")[0].replace("_", "-").lower()
