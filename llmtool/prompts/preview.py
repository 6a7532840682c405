"""Preview of a template: inputs without a value appear as `<name>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmtool.errors import TemplateError, UsageError
from llmtool.option_names import option
from llmtool.prompts.render import Rendered, render
from llmtool.prompts.schema import Input
from llmtool.prompts.template import Template

_NUMBERS = ("int", "float", "bool")


def preview(
    template: Template,
    variables: Mapping[str, Any],
    *,
    model_name: str | None = None,
    system: str | None = None,
) -> Rendered:
    """Render a template with a placeholder for each required input that has no value.

    Raises:
        UsageError: a value is not valid, or the template calculates with a number that is missing.
        As `render` does.

    Example:
        >>> from llmtool.prompts.template import parse_template
        >>> text = "llmtool: 1\\nname: hi\\ninputs: {who: {type: string, required: true}}\\n"
        >>> template = parse_template(text + "prompt: Hi {{ who }}", source="hi.yaml")
        >>> preview(template, {}).messages[0].content
        'Hi <who>'
    """
    template = template.for_model(model_name)
    missing = [
        name for name, spec in template.inputs.items() if spec.required and name not in variables
    ]
    placeholders = {name: _placeholder(name, template.inputs[name]) for name in missing}
    shown = msgspec.structs.replace(template, inputs={**template.inputs, **placeholders})
    try:
        return render(shown, variables, system=system)
    except TemplateError as exc:
        numbers = [name for name in missing if template.inputs[name].type in _NUMBERS]
        if not numbers:
            raise
        needed = option("variables", dict.fromkeys(numbers, "VALUE"))
        raise UsageError(f"template {template.name!r} needs a value: pass {needed}") from exc


def _placeholder(name: str, spec: Input) -> Input:
    if spec.type == "list":
        return Input(type="list", default=[f"<{name}>"])
    return Input(type="text", default=f"<{name}>")
