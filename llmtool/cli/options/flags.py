"""The flags of options, by their Python arguments and by their names in other programs."""

from __future__ import annotations

from llmtool.option_names import known_names

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
    "variants": "--variant",
}
_LONG_FLAGS = {  # those whose names differ from those of the arguments, without dashes
    "labels": "label",
    "n": "samples",
    "n_ctx": "ctx-size",
    "n_parallel": "parallel",
    "n_threads": "threads",
    "source": "from",
    "thinking": "think",
    "variables": "param",
    "variants": "variant",
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
        text = ",".join(each) if isinstance(each, list) else str(each)
        return f"{flag} {text or repr(text)}"
    return flag


def known_flags(typed: str) -> list[str]:
    """Return our flags, without dashes, of an option as typed or as other programs name it.

    Example:
        >>> known_flags("num_ctx=4096"), known_flags("--temp"), known_flags("--top-p")
        (['ctx-size'], ['temperature'], ['top-p'])
    """
    name = plain_name(typed)
    argument = name.replace("-", "_")
    found = [_LONG_FLAGS.get(ours, ours.replace("_", "-")) for ours in known_names(argument)]
    return found or [_LONG_FLAGS.get(argument, name)]


def plain_name(typed: str) -> str:
    """Return an option as typed without dashes in front and without its value."""
    name = typed.lstrip("-").partition("=")[0].replace("_", "-")
    return name if len(name) == 1 else name.lower()
