"""Classify texts: labels are scored by the model's own probabilities, and none is generated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from llmtool.engine.types import Failed
from llmtool.errors import UsageError
from llmtool.tasks.options import ClassifyOptions, make_options
from llmtool.tasks.pipeline.context import Tools
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Classification

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.classify.calibration import Fit
    from llmtool.tasks.classify.classifier import Classifier, OnScored
    from llmtool.tasks.classify.labels import Labels
    from llmtool.tasks.keywords import ClassifyKeywords

DEFAULT, MULTI = "classify", "classify-multi"


class ClassifyTask(Tools):
    """`classify` and its forms."""

    @overload
    def classify(
        self, text: str, labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Classification: ...
    @overload
    def classify(
        self, text: Iterator[str], labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Iterator[Classification]: ...
    @overload
    def classify(
        self,
        text: list[str] | tuple[str, ...],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> list[Classification]: ...
    def classify(
        self,
        text: str | Iterable[str],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Classification | Iterator[Classification] | list[Classification]:
        """Say which label fits a text, by the probability that the model gives each.

        Several texts are scored together. A sequence gives a list; an iterator, which is read as
        the results need it, gives an iterator; both in the texts' order. The first text in that
        order which fails raises its error.

        Args:
            text: what to classify, or several.
            labels: names, a mapping of names to descriptions, an Enum class or `bool`; None takes
                those of the template.
            examples: pairs of a text and its label, or mappings with "text" and "label".
            template: a prompt template with labels, by name or path.
            system: the instruction; None takes the template's.
            variables: values for the template's other inputs.
            min_confidence: the score under which the label is None; `min_margin` is the same of
                what the best score has before the second, `min_coverage` of what the model gives to
                all labels together.
            prior: how frequent each label is, by name; all alike if left out.
            multi: whether any number of labels may fit; each is asked apart, and `labels` of the
                result holds them.
            form: "chat" or "completion", how the model is asked; None takes the template's.
            overflow: "chunk" scores a text that is longer than the context in parts.
            calibrate: "auto" takes out what the model favours unasked, by a fit to labelled texts
                if one is kept, else by anchors; "anchors" leaves a fit aside; "none" takes nothing
                out. "balanced" assumes that the labels are about equally frequent among the texts,
                which are a sequence, and takes out what makes them differ: wrong where they do.

        Returns:
            A `Classification`: `label` (a name, or the member of the Enum, or True and False),
            `score`, `scores` by name, which add up to 1, `coverage`, `usage`. `str()` of it is the
            label's name. A score is no probability unless it was calibrated on labelled texts.

        Raises:
            UsageError: labels are missing, too few, or cannot be told apart; an option is wrong.
            ContextOverflow: a text is longer than the context.
            InputError: a text is empty.

        Example:
            >>> box.classify("I was charged twice", ["billing", "bug"]).label   # doctest: +SKIP
            'billing'
        """
        labelling = self.prepare_labels(labels, make_options(ClassifyOptions, options))
        if isinstance(text, str):
            return next(self._classify_each(labelling, [text]))
        results = self._classify_each(labelling, text)
        return results if isinstance(text, Iterator) else list(results)

    def _classify_each(
        self, labelling: Classifier, texts: Iterable[str]
    ) -> Generator[Classification, None, None]:
        name = labelling.material
        if name is None:
            raise UsageError(f"template {labelling.template.name!r} takes no text")
        if labelling.options.calibrate == "balanced" and isinstance(texts, Iterator):
            raise UsageError("a balanced batch is a sequence of texts, and no iterator")
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        for outcome in labelling.outcomes(self.engine, cases):
            if isinstance(outcome, Failed):
                raise outcome.error
            yield outcome

    @overload
    async def aclassify(
        self, text: str, labels: Labels | None = None, **options: Unpack[ClassifyKeywords]
    ) -> Classification: ...
    @overload
    async def aclassify(
        self,
        text: list[str] | tuple[str, ...],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> list[Classification]: ...
    async def aclassify(
        self,
        text: str | list[str] | tuple[str, ...],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Classification | list[Classification]:
        """`classify` for asyncio: runs in a thread; cancelling the task stops it."""
        texts = [text] if isinstance(text, str) else text
        found = [each async for each in self.aclassify_each(texts, labels, **options)]
        return found[0] if isinstance(text, str) else found

    def aclassify_each(
        self,
        texts: Iterable[str],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> AsyncIterator[Classification]:
        """`classify` of many texts for asyncio: results as they are there, in the texts' order."""
        return self.turns.stream(
            lambda: self._classify_each(
                self.prepare_labels(labels, make_options(ClassifyOptions, options)), texts
            )
        )

    def calibrate(
        self,
        texts: Sequence[tuple[str, str]],
        labels: Labels | None = None,
        **options: Unpack[ClassifyKeywords],
    ) -> Fit:
        """Fit the scores of these labels and options to labelled texts, and save the fit.

        `classify` uses it from now on where its labels, template and options are the same.

        Args:
            texts: pairs of a text and its label, at least 20, and one of each label.
            labels: as in `classify`, like the options.

        Returns:
            A `Fit`: `accuracy` and `ece` (the expected calibration error) on these texts, before
            and after.

        Raises:
            UsageError: there are too few texts, or one has an unknown label.
            LlmtoolError: a text fails, as in `classify`.

        Example:
            >>> from llmtool.tasks.classify.labelled_texts import read_labelled_texts
            >>> fit = box.calibrate(read_labelled_texts("mails.csv"), ["bug", "billing"])
            ... # doctest: +SKIP
            >>> fit.accuracy  # doctest: +SKIP
            (0.81, 0.88)
        """
        classifier = self.prepare_labels(labels, make_options(ClassifyOptions, options))
        return classifier.fit(self.engine, texts)

    def prepare_labels(
        self,
        labels: Labels | None,
        options: ClassifyOptions,
        *,
        on_scored: OnScored | None = None,
    ) -> Classifier:
        """Check the options of a call and load its template, once for all its texts.

        Args:
            on_scored: gets the number of texts scored after each of them.

        Raises:
            UsageError, TemplateError: as `classify` says.
        """
        from llmtool.tasks.classify.labels import make_labels

        multi = options.multi
        template = self.load_template(options.template or (MULTI if multi else DEFAULT))
        if labels is not None:
            made = make_labels(labels, at_least=1 if multi else 2)
        elif template.output.kind == "labels" and not multi:
            made = make_labels(template.output.labels)
        else:
            raise UsageError(
                f"no labels: template {template.name!r} has none in `output: {{labels: …}}`; "
                "give some (-l positive,negative)"
            )
        return _kind(options)(
            template,
            made,
            options,
            model=self.model_name,
            model_identity=self.model_identity,
            anchors=self.anchors,
            fits=self.fits,
            on_scored=on_scored,
        )


def _kind(options: ClassifyOptions) -> type[Classifier]:
    if options.multi:
        from llmtool.tasks.classify.multi_label import MultiLabelling

        return MultiLabelling
    if options.calibrate == "balanced":
        from llmtool.tasks.classify.balanced import BalancedLabelling

        return BalancedLabelling
    from llmtool.tasks.classify.classifier import Classifier

    return Classifier
