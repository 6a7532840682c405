"""What is wrong or weak in a template, found without a model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET

from llmtool.errors import InputError, OutputValidationError, TemplateError, UsageError
from llmtool.prompts.library import Library, is_path, read_text
from llmtool.prompts.preview import preview
from llmtool.prompts.raw_template import RawTemplate
from llmtool.prompts.template import Template, build, compiled
from llmtool.structured.resolve import resolve
from llmtool.tasks.classify.prompts import LABELS_INPUT
from llmtool.tasks.pipeline.output_spec import output_spec_of

MAX_BEHIND = 160  # characters behind the material, as few as the prefix cache would not keep

_MARK = "\ue000material\ue000"
_OPENING = ":>\"'`«“‘([{=|"
_CLOSING = "\"'`<»”’)]}|"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to change. A template with an error cannot be used; a warning is advice."""

    file: str
    line: int
    level: Literal["error", "warning"]
    reason: str

    def to_dict(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line, "level": self.level, "reason": self.reason}

    def __str__(self) -> str:
        warning = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}: {warning}{self.reason}"


def lint(library: Library, name_or_path: str) -> list[Finding]:
    """Return what is wrong with a template, and then what is weak.

    Raises:
        TemplateError: there is no such template.

    Example:
        >>> [str(finding) for finding in lint(Library(), "triage")]     # doctest: +SKIP
        ["triage.yaml:7: warning: the input 'tone' is never used"]
    """
    path = library.find(name_or_path)
    if is_path(name_or_path) and not path.is_file():
        read_text(path)  # which says why not
    try:
        raw = library.read(name_or_path)
        template = build(raw)
        _try_cases(raw, template)
    except TemplateError as exc:
        return [_told(exc, path)]
    except (UsageError, InputError) as exc:  # of a case that the template cannot be rendered for
        return [Finding(file=str(path), line=1, level="error", reason=str(exc))]
    advice = _advise(raw, template)
    return [
        Finding(file=file, line=line, level="warning", reason=reason)
        for (file, line), reason in advice
        if file == str(path)  # what it extends has findings of its own
    ]


def _told(exc: TemplateError, path: Path) -> Finding:
    position = re.match(r"(.+?):(\d+): (.*)", str(exc), re.DOTALL)
    if position is None:
        return Finding(
            file=str(path), line=1, level="error", reason=str(exc).removeprefix(f"{path}: ")
        )
    return Finding(file=position[1], line=int(position[2]), level="error", reason=position[3])


def _try_cases(raw: RawTemplate, template: Template) -> None:
    """Compile the output spec, and render the tests and examples.

    Raises:
        TemplateError: the output spec or the answer of an example is invalid.
    """
    try:
        spec = output_spec_of(template.output)
    except UsageError as exc:
        raw.fail(("output", template.output.kind), f"output.{template.output.kind}: {exc}")
    for index, example in enumerate(template.examples if spec else ()):
        try:
            if template.output.json is not None:
                resolve(template.output.json).parse(example.output)
            elif spec is not None and not spec.matches(example.output):
                raise OutputValidationError("the reply does not match its output")
        except OutputValidationError as exc:
            reason = str(exc).replace("the reply", "its answer", 1)
            raw.fail(("examples", index, "output"), f"examples.{index}: {reason}")
    for test in template.tests:
        if test.vars is not UNSET:
            given = {k: v for k, v in test.vars.items() if template.inputs[k].type != "file"}
            preview(template, given)


def _advise(raw: RawTemplate, template: Template) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield places and advice."""
    for name in _unused(template):
        yield raw.position_of(("inputs", name)), f"the input {name!r} is never used"
    shown = {example.output for example in template.examples}
    unseen = [label for label in template.output.labels if label not in shown]
    if template.examples and unseen:
        yield (
            raw.position_of(("examples",)),
            f"no example has the label {unseen[0]!r}; models lean towards labels they have seen",
        )
    for index, test in enumerate(template.tests):
        if test.dataset is not UNSET and not (Path(test.file).parent / test.dataset).is_file():
            position = raw.position_of(("tests", index, "dataset"))
            yield position, f"tests.{index}: there is no file {test.dataset!r} beside the template"
    yield from _advise_on_material(raw, template)
    if not template.tests:
        yield (raw.source, 1), "no tests: nothing shows when a change or a model makes it worse"


def _unused(template: Template) -> list[str]:
    used: set[str] = set()
    for each in (template, *(variant for _, variant in template.variants)):
        for part in (each.prompt, each.system):
            used |= set(compiled(part).names) if part is not None else set()
    if template.task == "classify" or template.output.kind == "labels":
        used.add(LABELS_INPUT)  # the command fills it in, and reads it
    return [name for name in template.inputs if name not in used]


def _advise_on_material(
    raw: RawTemplate, template: Template
) -> Iterator[tuple[tuple[str, int], str]]:
    material = template.primary_input()
    if material is None:
        return
    texts = {n: f"<{n}>" for n, s in template.inputs.items() if s.type in ("text", "string")}
    try:
        content = preview(template, {**texts, material: _MARK}).messages[-1].content
    except (TemplateError, UsageError, InputError):
        return  # it needs real values
    before, found, after = content.rpartition(_MARK)
    if not found:
        return
    position = raw.start_of(("prompt",))
    if not _is_apart(before, after):
        yield (
            position,
            f"{material!r} runs into the text around it: set it apart, with quotes or tags",
        )
    if len(after.strip()) > MAX_BEHIND:
        yield (
            position,
            f"{len(after.strip())} characters follow {material!r}: they are computed again for "
            "each text, what stands before it only once",
        )


def _is_apart(before: str, after: str) -> bool:
    """Whether marks, a label, a heading or blank lines are around a passage."""
    *lines, line = before.split("\n")
    if not line.strip() and lines:
        line = lines[-1]  # it begins a line: what counts is the one above
    opened = not line.strip() or line.startswith("#") or line.rstrip()[-1] in _OPENING
    closed = not after.strip() or after.lstrip(" ")[0] in "\n" + _CLOSING
    return (opened or not any(map(str.isalnum, line))) and closed
