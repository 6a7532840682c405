"""Run a template by its contract: a reply, a value or a label, for one case or for many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast, overload

import msgspec

from llmtool.engine.types import Failed, Token
from llmtool.errors import LlmtoolError, UsageError
from llmtool.tasks.classify.task import ClassifyTask
from llmtool.tasks.options import ClassifyOptions, GenerateOptions, keywords_of, make_options
from llmtool.tasks.pipeline.prepare import Case, PreparedTask
from llmtool.tasks.results import Classification, Generation, Result

if TYPE_CHECKING:
    from llmtool.batch.readers import Reader
    from llmtool.batch.runner import BatchOptions, BatchRunner
    from llmtool.prompts.template import Template
    from llmtool.tasks.classify.classifier import Classifier
    from llmtool.tasks.keywords import GenerateKeywords

# What a template of labels takes of a generation's options; the seed changes nothing there.
_OF_LABELS = ("template", "variables", "system", "input", "seed")

CaseValues = Mapping[str, Any] | str


class RunTask(ClassifyTask):
    """`run` and its forms."""

    @overload
    def run(
        self, template: str | Template, *, options: GenerateKeywords | None = None, **inputs: Any
    ) -> Generation | Classification: ...
    @overload
    def run(
        self,
        template: str | Template,
        cases: Iterator[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Iterator[Generation | Classification]: ...
    @overload
    def run(
        self,
        template: str | Template,
        cases: list[Any] | tuple[Any, ...],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> list[Generation | Classification]: ...
    def run(
        self,
        template: str | Template,
        cases: Iterable[CaseValues] | None = None,
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Any:
        """Run a template on values for its inputs.

        `cases` are mappings of such values, or texts for the template's material; what they have in
        common goes into `inputs`. They are decoded together. A sequence gives a list; an iterator,
        which is read as the results need it, gives an iterator; both in the cases' order. The first
        case in that order which fails raises its error.

        Args:
            template: by name or path, or a loaded `Template`.
            options: those of `generate` (`system`, `temperature`, `seed`, `max_tokens`, …).
            inputs: values for the template's inputs.

        Returns:
            A `Classification` where the template's output is labels, else a `Generation`, whose
            `value` holds what a JSON output says.

        Raises:
            TemplateError: there is no such template, or it is broken.
            UsageError: an input is unknown, missing or of the wrong type.
            As `generate` and `classify` do.

        Example:
            >>> box.run("title", text="Rain is expected all week.").text    # doctest: +SKIP
            'A Week of Rain'
            >>> [r.label for r in box.run("sentiment", ["Great!", "Awful."])]  # doctest: +SKIP
            ['positive', 'negative']
        """
        prepared = self.prepare_run(_options(template, options, inputs))
        if cases is None:
            return next(self._run_cases(prepared, [{}]))
        if isinstance(cases, (str, Mapping)):
            raise UsageError("cases are a sequence or an iterator; one case goes into the inputs")
        results = self._run_cases(prepared, cases)
        return results if isinstance(cases, Iterator) else list(results)

    def run_each(
        self,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateOptions | GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Iterator[Generation | Classification | LlmtoolError]:
        """Like `run` on many cases, but a case that fails yields its error and the rest goes on."""
        prepared = self.prepare_run(_options(template, options, inputs))
        for outcome in self._outcomes(prepared, cases):
            yield outcome.error if isinstance(outcome, Failed) else outcome

    def prepare_batch(
        self,
        template: str | Template,
        reader: Reader,
        output: BatchOptions,
        *,
        field: str | None = None,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> BatchRunner[Result]:
        """Prepare a batch: a template run on records, with rows in a file that can be resumed.

        Nothing is written before the runner's `run`. A record that fails gets a row with its error.

        Args:
            field: the field of a record that is the text; None takes the only one, or `text`.
            options: those of `generate`; `seed` and a record's content give each its own seed.
            inputs: values for the template's other inputs.

        Raises:
            TemplateError, UsageError: as `run` does, or the records have no such field.
            InputError: a CSV has no header.

        Example:
            >>> reader = Reader("jsonl", ["reviews.jsonl"])                     # doctest: +SKIP
            >>> output = BatchOptions(output=Path("out.jsonl"), resume=True)    # doctest: +SKIP
            >>> batch = box.prepare_batch("sentiment", reader, output)          # doctest: +SKIP
            >>> [str(row.outcome) for row in batch.run()]                       # doctest: +SKIP
            ['positive', 'negative']
        """
        from llmtool.tasks.pipeline.records import Binding, make_batch

        chosen = _options(template, options, inputs)
        task = self.prepare_run(chosen)
        given = frozenset(chosen.variables)
        binding = Binding(template=task.template, field=field, given=given)
        return make_batch(self, task, binding, reader, output, seed=chosen.sampling.seed)

    @overload
    async def arun(
        self, template: str | Template, *, options: GenerateKeywords | None = None, **inputs: Any
    ) -> Generation | Classification: ...
    @overload
    async def arun(
        self,
        template: str | Template,
        cases: list[Any] | tuple[Any, ...],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> list[Generation | Classification]: ...
    async def arun(
        self,
        template: str | Template,
        cases: list[Any] | tuple[Any, ...] | None = None,
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> Any:
        """`run` for asyncio: runs in a thread; cancelling the task stops it."""
        results = self.arun_each(
            template, [{}] if cases is None else cases, options=options, **inputs
        )
        found = [result async for result in results]
        return found[0] if cases is None else found

    def arun_each(
        self,
        template: str | Template,
        cases: Iterable[CaseValues],
        *,
        options: GenerateKeywords | None = None,
        **inputs: Any,
    ) -> AsyncIterator[Generation | Classification]:
        """`run` of many cases for asyncio: results as they are there, in the cases' order."""
        return self.turns.stream(
            lambda: self._run_cases(self.prepare_run(_options(template, options, inputs)), cases)
        )

    def prepare_run(self, options: GenerateOptions) -> PreparedTask | Classifier:
        """Load a template, check options, and choose the task that its output asks for.

        Raises:
            TemplateError, UsageError: as `run` says.
        """
        loaded = self.load_template(options.template)
        if loaded.output.kind != "labels" and loaded.task != "classify":
            return self.prepare(msgspec.structs.replace(options, template=loaded))
        for name in keywords_of(options):
            if name not in _OF_LABELS:
                raise UsageError(f"{name} does not go with a template whose output is labels")
        chosen = ClassifyOptions(
            template=loaded, variables=options.variables, system=options.system
        )
        return self.prepare_labels(None, chosen)

    def _outcomes(
        self, prepared: PreparedTask | Classifier, cases: Iterable[CaseValues]
    ) -> Iterator[Generation | Classification | Failed]:
        made = (self._case(prepared, i, values) for i, values in enumerate(cases))
        outcomes = cast(
            "Generator[Token | Generation | Classification | Failed, None, None]",
            prepared.outcomes(self.engine, made),
        )
        for outcome in outcomes:
            if not isinstance(outcome, Token):
                yield outcome

    def _run_cases(
        self, prepared: PreparedTask | Classifier, cases: Iterable[CaseValues]
    ) -> Generator[Generation | Classification, None, None]:
        for outcome in self._outcomes(prepared, cases):
            if isinstance(outcome, Failed):
                raise outcome.error
            yield outcome

    def _case(
        self, prepared: PreparedTask | Classifier, id: int, values: CaseValues
    ) -> Case | Failed:
        if isinstance(values, Mapping):
            return Case(id=id, variables=values)
        name = prepared.template.find_material(frozenset(prepared.options.variables))
        if name is None:
            return Failed(id, UsageError(f"template {prepared.template.name!r} takes no text"))
        return Case(id=id, variables={name: values})


def _options(
    template: str | Template,
    options: GenerateOptions | GenerateKeywords | None,
    inputs: Mapping[str, Any],
) -> GenerateOptions:
    """Return the options of a call of `run`, its inputs among the variables."""
    given: Mapping[str, Any]
    given = keywords_of(options) if isinstance(options, GenerateOptions) else {**(options or {})}
    variables = {**(given.get("variables") or {}), **inputs}
    return make_options(GenerateOptions, {**given, "template": template, "variables": variables})
