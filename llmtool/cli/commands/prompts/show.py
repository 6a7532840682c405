"""Print templates: as a list, as data, or as messages with token counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from llmtool.cli import bootstrap
from llmtool.cli.options.groups import ModelOptions
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.inputs import Input
from llmtool.config import Folders, Settings
from llmtool.engine.types import Prompt
from llmtool.errors import ModelNotFound, TemplateError, UsageError
from llmtool.models.store import Store
from llmtool.prompts.library import Library, is_path
from llmtool.prompts.preview import preview
from llmtool.prompts.render import Rendered
from llmtool.prompts.template import Template
from llmtool.sizes import format_count
from llmtool.tasks.options import PromptOptions


def entries(library: Library) -> list[dict[str, Any]]:
    """Return the templates for `ls --json`; invalid ones have an `error`."""
    found = []
    for name in library.names():
        path = library.find(name)
        entry: dict[str, Any] = {"name": name, "task": None, "description": ""}
        error = None
        try:
            template = library.load(name)
            entry |= {"task": template.task, "description": template.description}
        except TemplateError as exc:
            error = str(exc)
        overridden = library.overridden_by(path)
        found.append(
            {
                **entry,
                "built_in": library.is_built_in(path),
                "path": str(path),
                "overrides": None if overridden is None else str(overridden),
                "error": error,
            }
        )
    return found


def rows(found: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return the table rows of `ls`: name, task, source, and description or error."""
    lines = []
    for entry in found:
        folder = str(Path(entry["path"]).parent)
        source = "built-in" if entry["built_in"] else folder
        if entry["overrides"] is not None:
            source += ", overrides another"
        is_invalid = entry["error"] is not None
        description = entry["description"]
        if is_invalid:
            description = f"invalid: {entry['error'].removeprefix(folder + '/')}"
        lines.append((entry["name"], "-" if is_invalid else entry["task"], source, description))
    return lines


def to_dict(library: Library, name: str) -> dict[str, Any]:
    """Return a parsed template as data for `show --json`."""
    template = library.load(name)
    path, *parents = map(Path, template.files)
    overridden = None if is_path(name) else library.overridden_by(path)
    return {
        "name": template.name,
        "description": template.description,
        "task": template.task,
        "path": str(path),
        "built_in": library.is_built_in(path),
        "overrides": None if overridden is None else str(overridden),
        "extends": [{"name": parent.stem, "path": str(parent)} for parent in parents],
        "inputs": {
            key: {
                "type": spec.type,
                "description": spec.description,
                "required": spec.required,
                "default": None if spec.default is UNSET else spec.default,
                "enum": list(spec.enum),
                "max_tokens": spec.max_tokens,
            }
            for key, spec in template.inputs.items()
        },
        "system": template.system.text if template.system else None,
        "prompt": template.prompt.text,
        "prefill": template.prefill,
        "form": template.form,
        "examples": msgspec.to_builtins(template.examples),
        "output": _output(template),
        "model": {"prefer": list(template.prefer), "params": dict(template.params)},
        "variants": [pattern for pattern, _ in template.variants],
        "tests": len(template.tests),
        "tuned": msgspec.to_builtins(template.tuned),
    }


def _output(template: Template) -> dict[str, Any]:
    kind = template.output.kind
    return {"kind": kind, **({} if kind == "text" else {kind: getattr(template.output, kind)})}


def model_name(folders: Folders, settings: Settings, reference: str | None) -> str | None:
    """Return the model name that selects the variant; the model need not be installed."""
    if reference is None:
        return None
    try:
        return Store(folders, settings.aliases, offline=True).find(reference).name
    except ModelNotFound:
        return reference


def render(
    console: Console,
    template: Template,
    options: PromptOptions,
    *,
    input: Input,
    model_name: str | None,
) -> Rendered:
    """Return the messages for these values, and for text from files or standard input."""
    values = dict(options.variables)
    chosen = template.for_model(model_name)
    _, text = inputs.gather(console, None, input, required=False)
    if text is not None:
        material = chosen.primary_input(values)
        if material is None:
            raise UsageError(
                f"template {template.name!r} has no text input; omit -f and piped input"
            )
        values[material] = text
    return preview(chosen, values, system=options.system)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of each message's text and of the whole prompt, chat template included."""

    messages: tuple[int, ...]
    prompt: int
    model: str


def count(
    console: Console,
    folders: Folders,
    settings: Settings,
    reference: str | None,
    rendered: Rendered,
) -> Counts:
    """Count tokens with a model's tokenizer."""
    options = ModelOptions(reference=reference)
    context = bootstrap.open_context(console, folders, settings, options)
    whole = len(context.engine.tokenize(rendered.prompt()).token_ids)
    # Special tokens, such as BOS, may surround a text; do not count them.
    n_special = len(context.engine.tokenize(Prompt(text="a")).token_ids) - 1
    texts = [message.content for message in rendered.messages]
    counted = tuple(
        max(len(context.engine.tokenize(Prompt(text=text)).token_ids) - n_special, 0) if text else 0
        for text in texts
    )
    return Counts(messages=counted, prompt=whole, model=context.model.name)


def messages(console: Console, rendered: Rendered, counts: Counts | None, *, as_json: bool) -> None:
    """Print messages with their roles, and with token counts if given."""
    if as_json:
        each = counts.messages if counts is not None else [None] * len(rendered.messages)
        console.stdout.write_json(
            {
                "messages": [
                    {"role": message.role, "content": message.content, "n_tokens": n}
                    for message, n in zip(rendered.messages, each, strict=True)
                ],
                "prompt": rendered.text,
                "prefill": rendered.prefill,
                "params": rendered.params,
                "prompt_tokens": None if counts is None else counts.prompt,
                "model": None if counts is None else counts.model,
            }
        )
        return
    if rendered.text is not None:
        console.stdout.write(rendered.text)
        console.stdout.end_line()
    else:
        _write_turns(console, rendered, counts)
    if counts is not None:
        special = "" if rendered.text is not None else ", including the chat template"
        console.note(f"{format_count(counts.prompt, 'token')} in total for {counts.model}{special}")


def _write_turns(console: Console, rendered: Rendered, counts: Counts | None) -> None:
    heads: list[str] = [message.role for message in rendered.messages]
    if counts is not None:
        heads = [
            f"{role} ({format_count(n, 'token')})"
            for role, n in zip(heads, counts.messages, strict=True)
        ]
    texts = [message.content for message in rendered.messages]
    if rendered.prefill:
        heads, texts = [*heads, "assistant"], [*texts, rendered.prefill]
    for index, (head, text) in enumerate(zip(heads, texts, strict=True)):
        console.stdout.write(f"{'' if index == 0 else chr(10)}{head}:\n{text}")
        console.stdout.end_line()
