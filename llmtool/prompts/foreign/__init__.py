"""Import templates of other tools: llm (YAML), fabric (Markdown), prompty (front matter).

Notes list everything that cannot be converted. Text that looks like Jinja is escaped.
"""

from __future__ import annotations

import re
from typing import Literal

from llmtool.errors import TemplateError, UsageError
from llmtool.option_names import option
from llmtool.prompts.foreign.common import Imported
from llmtool.prompts.raw_template import NAME, NAME_RULE
from llmtool.prompts.template import parse_template
from llmtool.prompts.writing import to_yaml

Format = Literal["llm", "fabric", "prompty"]


def convert(
    text: str, *, source: str, format: Format | None = None, user: str = "", name: str | None = None
) -> Imported:
    """Convert a template of another tool and validate the result.

    `source` is the name of the file, for error messages and to detect the format if none is given.
    `user` is the text of fabric's `user.md`. `name` is the name of the new template.

    Raises:
        TemplateError: the text is not in that format, or cannot be converted.
        UsageError: the template's own name is not valid here and no `name` is given.

    Example:
        >>> made = convert("prompt: 'Say $what'", source="say.yaml")
        >>> made.values["prompt"], list(made.values["inputs"])
        ('Say {{ what }}\\n\\n{{ input }}', ['what', 'input'])
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
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
        raise UsageError(
            f"{named!r} is not a valid template name: {NAME_RULE}; choose one with {option('name')}"
        )
    made.values = {"llmtool": 1, "name": named, **made.values}
    made.format = chosen
    reason = _find_error(made, source)
    if reason is not None and "tests" in made.values:  # an invalid sample
        del made.values["tests"]
        made.notes.append(f"sample: {reason.removeprefix('tests.0.vars').lstrip(':. ')}; skipped")
        reason = _find_error(made, source)
    if reason is not None:
        raise TemplateError(f"{source}:1: cannot convert this template: {reason}")
    return made


def _find_error(made: Imported, source: str) -> str | None:
    """Return why a converted template is not valid, or None."""
    try:
        parse_template(made.text(), source=source)
    except TemplateError as exc:
        return re.sub(r"^.*?:\d+: ", "", str(exc).removeprefix(source))
    return None


def detect(text: str, *, source: str) -> Format:
    """Detect the format of a file by its name and its first line."""
    start = text.lstrip("\ufeff \t\r\n")
    if source.endswith(".prompty") or re.match(r"(---|\+\+\+)[ \t]*\r?\n", start):
        return "prompty"
    if source.endswith((".yaml", ".yml")) or re.match(r"(prompt|system)[ \t]*:", start):
        return "llm"
    return "fabric"


def slug(name: str) -> str:
    """Convert a title to a valid template name.

    Example:
        >>> slug("Basic Prompt (v2)")
        'basic-prompt-v2'
    """
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-_")


__all__ = ["Format", "Imported", "convert", "detect", "slug", "to_yaml"]
