"""Plan the tests of a template: read datasets and build the test cases, without a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import UNSET

from llmtool.batch.lines import format_place
from llmtool.errors import InputError, LlmtoolError
from llmtool.evals.dataset import Sample, read_dataset
from llmtool.evals.results import Kind, Outcome
from llmtool.prompts.assertions import METRICS
from llmtool.prompts.cases import LocatedTest
from llmtool.prompts.library import Library
from llmtool.prompts.output import given
from llmtool.prompts.template import Template
from llmtool.tasks.options import GenerateOptions, make_options

_NAME_LENGTH = 60


class PlannedTest(msgspec.Struct, frozen=True, kw_only=True):
    """A test with its cases and options; `id` and `name` depend on the cases, not the line."""

    id: str
    name: str
    kind: Kind
    test: LocatedTest
    samples: tuple[Sample, ...]
    options: GenerateOptions


class EvalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The tests of one template."""

    template: Template
    tests: tuple[PlannedTest, ...]

    def datasets(self) -> list[Path]:
        """Return the dataset files."""
        return [_dataset_of(each.test) for each in self.tests if each.kind == "dataset"]


def make_plan(library: Library, reference: str, *, split: str | None = None) -> EvalPlan:
    """Return the tests of a template, with the rows of their datasets.

    Raises:
        TemplateError: the template was not found, or is invalid.
        InputError: a dataset cannot be read, or is invalid.

    Example:
        >>> from llmtool.prompts.library import Library
        >>> plan = make_plan(Library(), "sentiment")
        >>> [(test.kind, len(test.samples)) for test in plan.tests]
        [('vars', 1), ('vars', 1)]
    """
    template = library.load(reference)
    names: dict[str, int] = {}
    ids: dict[str, int] = {}
    tests = []
    for test in template.tests:
        planned = _plan(test, template, split)
        tests.append(
            msgspec.structs.replace(
                planned,
                id=_numbered(planned.id, ids, "{}-{}"),
                name=_numbered(planned.name, names, "{} ({})"),
            )
        )
    return EvalPlan(template=template, tests=tuple(tests))


def untestable(library: Library, reference: str, error: LlmtoolError) -> Outcome:
    """Return the outcome of a template that is unknown or cannot be tested because of an error."""
    file, message = (
        str(library.find(reference)) if library.has(reference) else reference,
        str(error),
    )
    found = re.match(r":(\d+)", message.removeprefix(file)) if message.startswith(file) else None
    name = Path(file).stem
    return Outcome(
        template=name,
        model="",
        id=hash_of(["file", name])[:12],
        name=Path(file).name,
        kind="file",
        status="error",
        reason=message,
        n=0,
        file=file,
        line=int(found[1]) if found else 1,
    )


def unfinished(
    plans: Iterable[EvalPlan], models: Iterable[str], outcomes: Iterable[Outcome], reason: str
) -> list[Outcome]:
    """Return an error for each test without an outcome, in a run that ended early."""
    done = {(outcome.template, outcome.model, outcome.id) for outcome in outcomes}
    return [
        Outcome(
            template=plan.template.name,
            model=model,
            id=planned.id,
            name=planned.name,
            kind=planned.kind,
            status="error",
            reason=f"no result: {reason}",
            n=0,
            file=planned.test.file,
            line=planned.test.line,
        )
        for model in models
        for plan in plans
        for planned in plan.tests
        if (plan.template.name, model, planned.id) not in done
    ]


def _plan(test: LocatedTest, template: Template, split: str | None) -> PlannedTest:
    kind: Kind
    content: object
    if test.vars is not UNSET:
        kind, content, name = "vars", test.vars, describe(test.vars)
        samples = [Sample(name=name, variables=test.vars)]
    elif test.dataset is not UNSET:
        kind, content = "dataset", [test.dataset, split]
        name = test.dataset if split is None else f"{test.dataset} ({split})"
        samples = _read(test, template, split)
    else:
        assert test.invariant is not UNSET
        rows = zip(*test.invariant.values(), strict=True)
        cases = [dict(zip(test.invariant, row, strict=True)) for row in rows]
        kind, content = "invariant", test.invariant
        samples = [Sample(name=describe(case), variables=case) for case in cases]
        name = f"invariant: {samples[0].name}"
    return PlannedTest(
        id=hash_of([kind, content])[:12],
        name=name,
        kind=kind,
        test=test,
        samples=tuple(samples),
        options=_options(test, template),
    )


def _dataset_of(test: LocatedTest) -> Path:
    assert test.dataset is not UNSET
    return Path(test.file).parent / test.dataset


def _read(test: LocatedTest, template: Template, split: str | None) -> list[Sample]:
    folder, path = Path(test.file).parent, _dataset_of(test)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path} is outside the folder of the template; move it there")
    samples = read_dataset(path, inputs=template.inputs, output=template.output, split=split)
    if any(each.type.removeprefix("not-") in METRICS for each in test.assertions):
        for sample in samples:
            if sample.expected is None:
                place = format_place(str(path), sample.line)
                raise InputError(f"{place}: missing answer; add a column `expected` or `label`")
    return samples


def _options(test: LocatedTest, template: Template) -> GenerateOptions:
    """Return the sampling options: greedy, with the template's token limit, or as the test sets.

    Labels are scored, not sampled.
    """
    params = given(test.params)
    if template.output.kind != "labels":
        limit = {k: v for k, v in template.params.items() if k == "max_tokens"}
        params = {"temperature": 0.0, "seed": 0, **limit, **params}
    return make_options(GenerateOptions, params)


def describe(variables: Mapping[str, object]) -> str:
    """Return a short description of a case: its only value, or all values with names.

    Example:
        >>> describe({"text": "Hello\\nthere"}), describe({"text": "Hello", "lang": "de"})
        ('Hello there', 'text=Hello lang=de')
    """
    if len(variables) == 1:
        words = " ".join(str(*variables.values()).split())
    else:
        words = " ".join(f"{name}={value}" for name, value in variables.items())
    words = " ".join(words.split()) or "no variables"
    return words if len(words) <= _NAME_LENGTH else words[: _NAME_LENGTH - 1] + "…"


def hash_of(value: object) -> str:
    """Return the SHA-256 of a value as JSON, in hexadecimal, regardless of the order of keys."""
    # Unquoted strings in a template file have their own class.
    return hashlib.sha256(msgspec.json.encode(value, order="sorted", enc_hook=str)).hexdigest()


def _numbered(word: str, seen: dict[str, int], form: str) -> str:
    seen[word] = seen.get(word, 0) + 1
    return word if seen[word] == 1 else form.format(word, seen[word])
