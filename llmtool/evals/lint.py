"""Find errors and weaknesses of a template, without a model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET

from llmtool.errors import InputError, OutputValidationError, TemplateError, UsageError
from llmtool.evals.plan import hash_of
from llmtool.prompts.library import Library, is_path, merge, read_text
from llmtool.prompts.preview import preview
from llmtool.prompts.raw_template import RawTemplate
from llmtool.prompts.template import Template, build, compiled
from llmtool.structured.resolve import resolve
from llmtool.tasks.classify.prompts import LABELS_INPUT
from llmtool.tasks.pipeline.output_spec import output_spec_of

_MAX_SUFFIX = 160  # characters after the text, too few for the prefix cache to matter
_PLACEHOLDER = "\ue000text\ue000"
_OPENING = ":>\"'`«“‘([{=|"
_CLOSING = "\"'`<»”’)]}|"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of a template: an error makes it unusable, a warning is advice."""

    file: str
    line: int
    level: Literal["error", "warning"]
    reason: str

    def __str__(self) -> str:
        warning = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}: {warning}{self.reason}"


def lint(library: Library, name_or_path: str) -> list[Finding]:
    """Return the error of a template, or else its warnings.

    Raises:
        TemplateError: the template was not found.

    Example:
        >>> from pathlib import Path
        >>> from llmtool.prompts.library import Library
        >>> _ = Path("triage.yaml").write_text('''llmtool: 1
        ... name: triage
        ... prompt: "Topic: {{ text }}"
        ... inputs:
        ...   text: {type: str}
        ...   tone: {type: str}
        ... ''')
        >>> str(lint(Library(), "./triage.yaml")[0])
        "triage.yaml:6: warning: input 'tone' is never used"
    """
    path = library.find(name_or_path)
    if is_path(name_or_path) and not os.path.isfile(path):
        read_text(path)  # raises the error
    try:
        lineage = library.lineage(name_or_path)
        raw = merge(lineage)
        template = build(raw)
        _try_cases(raw, template)
    except TemplateError as exc:
        return [_to_finding(exc, path)]
    except (UsageError, InputError) as exc:  # a test that cannot be rendered
        return [Finding(file=str(path), line=1, level="error", reason=str(exc))]
    warnings = list(_find_warnings(raw, template))
    if template.tuned and len(lineage) > 1:
        if hash_of(merge(lineage[1:]).value) != template.tuned.original_sha256:
            reason = "the original template has changed since this one was tuned; tune it again"
            warnings.append((raw.position_of(("tuned",)), reason))
    return [
        Finding(file=file, line=line, level="warning", reason=reason)
        for (file, line), reason in warnings
        if file == str(path)  # skip the findings of a template that it extends
    ]


def _to_finding(exc: TemplateError, path: Path) -> Finding:
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


def _find_warnings(raw: RawTemplate, template: Template) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield positions and warnings."""
    for name in _unused(template):
        yield raw.position_of(("inputs", name)), f"input {name!r} is never used"
    shown = {example.output for example in template.examples}
    unseen = [label for label in template.output.labels if label not in shown]
    if template.examples and unseen:
        yield (
            raw.position_of(("examples",)),
            f"no example has the label {unseen[0]!r}; models prefer labels that they have seen",
        )
    for index, test in enumerate(template.tests):
        if test.dataset is not UNSET and not (Path(test.file).parent / test.dataset).is_file():
            position = raw.position_of(("tests", index, "dataset"))
            yield (
                position,
                f"tests.{index}: dataset {test.dataset!r} not found in the folder of the template",
            )
    yield from _check_primary_input(raw, template)
    if not template.tests:
        yield (raw.source, 1), "no tests; add some to detect regressions"


def _unused(template: Template) -> list[str]:
    used: set[str] = set()
    for each in (template, *(variant for _, variant in template.variants)):
        for part in (each.prompt, each.system):
            used |= set(compiled(part).names) if part is not None else set()
    if template.task == "classify" or template.output.kind == "labels":
        used.add(LABELS_INPUT)  # set and used by the command
    return [name for name in template.inputs if name not in used]


def _check_primary_input(
    raw: RawTemplate, template: Template
) -> Iterator[tuple[tuple[str, int], str]]:
    primary = template.primary_input()
    if primary is None:
        return
    texts = {n: f"<{n}>" for n, s in template.inputs.items() if s.type in ("text", "string")}
    try:
        content = preview(template, {**texts, primary: _PLACEHOLDER}).messages[-1].content
    except (TemplateError, UsageError, InputError):
        return  # the prompt needs real values
    before, found, after = content.rpartition(_PLACEHOLDER)
    if not found:
        return
    position = raw.start_of(("prompt",))
    if not _is_delimited(before, after):
        yield (
            position,
            f"{primary!r} is not separated from the text around it; put it in quotes or tags",
        )
    if len(after.strip()) > _MAX_SUFFIX:
        yield (
            position,
            f"{len(after.strip())} characters follow {primary!r} and are processed again for each "
            "text; move them before it, where they are cached",
        )


def _is_delimited(before: str, after: str) -> bool:
    """Whether quotes, tags, a label, a heading or blank lines surround a text."""
    *lines, line = before.split("\n")
    if not line.strip() and lines:
        line = lines[-1]  # the text starts a line, so check the line above
    is_opened = not line.strip() or line.startswith("#") or line.rstrip()[-1] in _OPENING
    is_closed = not after.strip() or after.lstrip(" ")[0] in "\n" + _CLOSING
    return (is_opened or not any(map(str.isalnum, line))) and is_closed
