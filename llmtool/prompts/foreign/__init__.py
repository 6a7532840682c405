"""Templates of other tools as ours: simonw/llm (YAML), fabric (Markdown), prompty (front matter).

What cannot be carried over is told in notes. Text that would be Jinja to us stays text.
"""

from __future__ import annotations

import re
from typing import Literal

from llmtool.errors import TemplateError, UsageError
from llmtool.prompts.foreign.common import Imported
from llmtool.prompts.schema import NAME, OF_NAMES
from llmtool.prompts.template import parse_template
from llmtool.prompts.writing import to_yaml

Format = Literal["llm", "fabric", "prompty"]


def convert(
    text: str, *, source: str, format: Format | None = None, user: str = "", name: str | None = None
) -> Imported:
    """Return a template of another tool as the mapping of one of ours, checked.

    `source`, the file's name, stands in errors and says the format where none is given; `user` is
    the text of fabric's `user.md`; `name` is the new template's.

    Raises:
        TemplateError: it is not of that format, or our format cannot hold it.
        UsageError: it needs a `name`.

    Example:
        >>> made = convert("prompt: 'Say $what'", source="say.yaml")
        >>> made.values["prompt"], list(made.values["inputs"])
        ('Say {{ what }}\\n\\n{{ input }}', ['what', 'input'])
    """
    chosen = format or detect(text, source=source)
    if chosen == "llm":
        from llmtool.prompts.foreign.llm import read_llm

        made = read_llm(text, source=source)
    elif chosen == "prompty":
        from llmtool.prompts.foreign.prompty import read_prompty

        made = read_prompty(text, source=source)
    else:
        from llmtool.prompts.foreign.fabric import read_fabric

        made = read_fabric(text, user, source=source)
    named = name or slug(made.name)
    if not re.fullmatch(NAME, named):
        raise UsageError(f"{named!r} cannot be a template name: {OF_NAMES} (--name gives another)")
    made.values = {"llmtool": 1, "name": named, **made.values}
    try:
        parse_template(made.text(), source=source)
    except TemplateError as exc:
        reason = re.sub(r"^.*?:\d+: ", "", str(exc).removeprefix(source))
        raise TemplateError(f"{source}:1: it does not fit into our format: {reason}") from exc
    return made


def detect(text: str, *, source: str) -> Format:
    """Return the format that a file is in, by its name and its beginning."""
    start = text.lstrip("\ufeff \t\r\n")
    if source.endswith(".prompty") or re.match(r"(---|\+\+\+)[ \t]*\r?\n", start):
        return "prompty"
    if source.endswith((".yaml", ".yml")) or re.match(r"(prompt|system)[ \t]*:", start):
        return "llm"
    return "fabric"


def slug(name: str) -> str:
    """Return a name as ours are.

    Example:
        >>> slug("Basic Prompt (v2)")
        'basic-prompt-v2'
    """
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")


__all__ = ["Format", "Imported", "convert", "detect", "slug", "to_yaml"]
