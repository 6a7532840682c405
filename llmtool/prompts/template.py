"""Prompt templates: a validated template file, ready to render."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Any, get_args

import msgspec
from msgspec import UNSET

from llmtool.engine.types import Adapter
from llmtool.errors import TemplateError, UsageError
from llmtool.prompts.cases import Example, LocatedTest, check_example, check_test, convert
from llmtool.prompts.output import Output, check_output, given
from llmtool.prompts.raw_template import (
    NAME,
    NAME_RULE,
    Position,
    RawTemplate,
    read_raw_template,
)
from llmtool.prompts.schema import (
    TYPE_SYNONYMS,
    Abstain,
    Form,
    Input,
    InputType,
    TemplateFile,
    TunedFile,
)
from llmtool.short_repr import short_repr
from llmtool.suggest import suggest
from llmtool.templating import Template as Compiled

# Each variant is built as a separate template, so the total size is limited.
MAX_VALUES = 200_000
MAX_JINJA = 256 * 1024  # characters
RESERVED = frozenset({"loop", "true", "false", "none", "range", "dict", "namespace", "output"})


class Source(msgspec.Struct, frozen=True):
    """Template text with its position in a file, for error messages."""

    text: str
    file: str
    first_line: int


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A validated prompt template with all inheritance resolved."""

    name: str
    description: str
    task: str
    inputs: dict[str, Input]
    system: Source | None
    prompt: Source
    prefill: str
    form: Form
    examples: tuple[Example, ...]
    output: Output
    abstain: Abstain | None
    prefer: tuple[str, ...]
    lora: tuple[Adapter, ...]
    params: dict[str, Any]
    variants: tuple[tuple[str, Template], ...]
    tests: tuple[LocatedTest, ...]
    source: str
    files: tuple[str, ...] = ()  # its own file, then those that it extends
    tuned: TunedFile | None = None

    __repr__ = short_repr("name", "task", "description")

    def primary_input(self, given: Container[str] = ()) -> str | None:
        """Return the input that receives the text of a call, or None.

        It is `input`, else the first required input of type text, else the first of that type.
        `given` are inputs that already have a value.
        """
        texts = [
            (name, spec)
            for name, spec in self.inputs.items()
            if spec.type == "text" and name not in given
        ]
        names = [name for name, _ in texts]
        required = [name for name, spec in texts if spec.required]
        return next((name for name in ("input", *required, *names) if name in names), None)

    def needs_text(self, given: Container[str] = ()) -> bool:
        """Whether the template requires a text; `given` are inputs that already have a value."""
        if "prompt" in self.inputs and "input" in self.inputs:
            return "prompt" not in given and "input" not in given
        name = self.primary_input(given)
        return name is not None and self.inputs[name].required

    def for_model(self, name: str | None) -> Template:
        """Return the first variant whose pattern matches a model's name, or this template."""
        if name is None or not self.variants:
            return self
        from fnmatch import fnmatchcase

        for pattern, variant in self.variants:
            if fnmatchcase(name.lower(), pattern.lower()):
                return variant
        return self


def parse_template(text: str, *, source: str) -> Template:
    """Parse a template that does not extend another; errors name `source` as its file.

    Raises:
        TemplateError: the template is not valid ("file:line: reason").

    Example:
        >>> text = "llmtool: 1\\nname: hi\\ninputs: {who: {type: string}}\\nprompt: Hi {{ who }}"
        >>> parse_template(text, source="hi.yaml").inputs["who"].type
        'string'
    """
    raw = read_raw_template(text, source=source)
    if raw.value.get("extends") is not None:
        raw.fail(("extends",), "only a template loaded by name or path can extend another")
    return build(raw)


def build(raw: RawTemplate) -> Template:
    """Validate a template that is already merged with those that it extends."""
    merged = raw.over(RawTemplate({}, Position(raw.source, 1, 1)))
    _rename_types(merged)
    file = merged.decode(TemplateFile)
    if not re.fullmatch(NAME, file.name):
        merged.fail(("name",), f"name: {file.name!r} is not valid; {NAME_RULE}")
    for name, spec in file.inputs.items():
        _check_input(merged, name, spec)
    _check_size(merged, file)
    variants = []
    base = merged.without("variants", "tests", "extends", "tuned")
    for pattern in file.variants:
        variant = merged.part("variants", pattern).over(base)
        variants.append((pattern, build(variant)))
    prompt = _source(merged, file.prompt, "prompt")
    if prompt is None:
        merged.fail((), "prompt is missing")
    system = _source(merged, file.system, "system")
    for part in (prompt, system):
        _check_names(part, file.inputs)
    output = check_output(merged, file.output)
    return Template(
        name=str(file.name),
        description=file.description,
        task=file.task,
        inputs=file.inputs,
        system=system,
        prompt=prompt,
        prefill=file.prefill,
        form=file.form,
        examples=tuple(
            check_example(merged, index, example, file.inputs, output)
            for index, example in enumerate(file.examples)
        ),
        output=output,
        abstain=_check_abstain(merged, file, output),
        prefer=file.model.prefer,
        lora=_read_lora(merged, file),
        params=given(file.model.params),
        variants=tuple(variants),
        tests=tuple(
            check_test(merged, index, test, file.inputs, output)
            for index, test in enumerate(file.tests)
        ),
        source=raw.source,
        tuned=file.tuned,
    )


def _read_lora(raw: RawTemplate, file: TemplateFile) -> tuple[Adapter, ...]:
    if not file.model.lora:
        return ()
    path = ("model", "lora")
    try:
        folder = os.path.dirname(raw.start_of(path)[0])
        return Adapter.parse_all(map(str, file.model.lora), folder=folder)
    except UsageError as exc:
        raw.fail(path, f"model.lora: {exc}")


def _check_size(raw: RawTemplate, file: TemplateFile) -> None:
    texts = [file.prompt, file.system]
    for variant in file.variants.values():
        texts += [variant.prompt, variant.system]
    if sum(len(text) for text in texts if isinstance(text, str)) > MAX_JINJA:
        raw.fail((), f"the prompts together are longer than {MAX_JINJA:,} characters")
    if len(file.variants) * raw.count() > MAX_VALUES:
        raw.fail(
            ("variants",), f"{len(file.variants)} variants are too many for a template of this size"
        )


def _rename_types(raw: RawTemplate) -> None:
    """Replace names of input types in other languages, such as `integer`."""
    inputs = raw.value.get("inputs")
    if isinstance(inputs, dict):
        raw.value["inputs"] = {name: _with_known_type(spec) for name, spec in inputs.items()}


def _with_known_type(spec: object) -> object:
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        return spec
    name = spec["type"].lower()
    known = name if name in get_args(InputType) else TYPE_SYNONYMS.get(name)
    return spec if known is None else {**spec, "type": known}


def _check_input(raw: RawTemplate, name: str, spec: Input) -> None:
    path = ("inputs", name)
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or keyword.iskeyword(name) or name in RESERVED:
        raw.fail(path, f"{name!r} is not a valid input name; use a name such as max_words")
    if (spec.type == "enum") != bool(spec.enum):
        known = "needs its values (enum: [...])" if spec.type == "enum" else "cannot have enum"
        raw.fail(path, f"inputs.{name}: an input of type {spec.type} {known}")
    if spec.default is UNSET:
        return
    if spec.required or spec.type == "file":
        why = "a required input" if spec.required else "an input of type file"
        raw.fail((*path, "default"), f"inputs.{name}: {why} cannot have a default")
    convert(raw, (*path, "default"), spec, spec.default)


def _check_abstain(raw: RawTemplate, file: TemplateFile, output: Output) -> Abstain | None:
    if file.abstain is None:
        return None
    if not file.abstain.reply.strip():
        raw.fail(("abstain",), "abstain.reply is missing; set the text of the reply")
    if not file.abstain.without:
        raw.fail(("abstain",), "abstain.without is missing; set the inputs to compare without")
    for name in file.abstain.without:
        path = ("abstain", "without", name)
        if name not in file.inputs:
            hint = suggest(name, file.inputs)
            raw.fail(path, f"abstain.without: unknown input {name!r}{hint}")
        if file.inputs[name].type not in ("text", "string"):
            raw.fail(path, f"abstain.without: {name!r} must be a text or string")
    if output.kind != "text":
        raw.fail(("abstain",), f"abstain: needs the output text, not {output.kind}")
    return Abstain(
        reply=str(file.abstain.reply),
        without={str(name): str(value) for name, value in file.abstain.without.items()},
        threshold=file.abstain.threshold,
        numbers=file.abstain.numbers,
    )


def _source(raw: RawTemplate, text: object, key: str) -> Source | None:
    if not isinstance(text, str):
        return None
    file, line = raw.start_of((key,))
    return Source(str(text), file, line)


@lru_cache(maxsize=64)
def compiled(source: Source) -> Compiled:
    """Compile the text of a prompt or system message.

    Raises:
        TemplateError: the syntax is not valid.
    """
    return Compiled(source.text, name=source.file, chat=False, first_line=source.first_line)


def _check_names(part: Source | None, inputs: Mapping[str, Input]) -> None:
    """Fail on syntax errors and unknown variables before the first use."""
    if part is None:
        return
    for name, line in compiled(part).names.items():
        if name not in inputs:
            hint = suggest(name, inputs)
            raise TemplateError(f"{part.file}:{line}: unknown input {name!r}{hint}")
