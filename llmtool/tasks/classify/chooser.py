"""Prepare the prompts of a call, and choose and cache its recipe if there are examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmtool.engine.types import Engine
from llmtool.prompts.cases import Example
from llmtool.tasks.classify.examples import read_examples, split_examples
from llmtool.tasks.classify.labels import Label, normalize_label
from llmtool.tasks.classify.prompts import LabelPrompts, content_of
from llmtool.tasks.classify.recipe_choice import (
    VERSION,
    ExampleSet,
    OnProgress,
    RecipeChoice,
    can_choose,
    choose_recipe,
)
from llmtool.tasks.classify.recipes import FORMS, BiasSource, Form, Recipe, enumerate_recipes
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.disk_cache import DiskCache

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

_BIAS_SOURCES: dict[str, tuple[BiasSource, ...]] = {
    "auto": ("neutral", "examples", "none"),
    "anchors": ("neutral", "examples", "none"),
    "balanced": ("examples",),  # similar to the bias of a balanced batch
    "none": ("none",),
}


class RecipeChooser:
    """The examples of a call, and the prompts for them.

    Examples of the options are compared with several recipes, if there are enough. Of a template's
    examples, the first of each label is shown, and the others are anchors.

    Args:
        template: the template's variant for the model.
        model_identity: identifies the model for cached choices.
        cache: caches choices; None disables the cache.
        on_progress: called with (done, total) prompts while the recipe is chosen.

    Raises:
        UsageError: an example has an unknown label.
    """

    def __init__(
        self,
        template: Template,
        labels: Sequence[Label],
        options: ClassifyOptions,
        *,
        model: str,
        model_identity: str,
        cache: DiskCache | None,
        on_progress: OnProgress,
    ) -> None:
        self._template, self._labels, self._options, self._model = template, labels, options, model
        self._cache, self._on_progress = cache, on_progress
        self._names = [label.name for label in labels]
        text_input = template.primary_input() or "text"
        examples = options.examples
        if examples is None:
            known = set(map(normalize_label, self._names))
            examples = [each for each in template.examples if normalize_label(each.output) in known]
        given = read_examples(examples, labels, text_input=text_input)
        self.key: str | None = None
        if options.examples is None or not can_choose(given, self._names):
            shown, held_out = split_examples(given, labels)
            self.base = self._make_prompts(options.form or template.form, shown, held_out)
            return
        forms = [options.form] if options.form else sorted(FORMS, key=lambda f: f != template.form)
        self._recipes = enumerate_recipes(forms=forms, bias=_BIAS_SOURCES[options.calibrate])
        self._examples = ExampleSet(given, self._names)
        self.base = self._make_prompts(forms[0], (), given)
        parts = [VERSION, self._recipes, content_of(given)]
        self.key = self.base.key(model_identity, "recipe", *parts)

    def load(self) -> RecipeChoice | None:
        """Return the cached choice, or None."""
        if self.key is None or self._cache is None:
            return None
        cached = self._cache.load(self.key, RecipeChoice)
        return cached if cached is not None and len(cached.bias) == len(self._labels) else None

    def choose(self, engine: Engine) -> RecipeChoice | None:
        """Choose a recipe, and cache the choice; return None if there is nothing to choose."""
        if self.key is None:
            return None
        choice = choose_recipe(
            engine,
            self._examples,
            self._recipes,
            self._make_prompts,
            on_progress=self._on_progress,
        )
        if self._cache is not None:
            self._cache.try_to_save(self.key, choice)
        return choice

    def prompts(self, recipe: Recipe) -> LabelPrompts:
        """Return the prompts of a recipe."""
        return self._make_prompts(recipe.form, self._examples.shown(recipe.shown))

    def _make_prompts(
        self, form: Form, shown: tuple[Example, ...], held_out: tuple[Example, ...] = ()
    ) -> LabelPrompts:
        return LabelPrompts(
            self._template,
            self._labels,
            self._options,
            model=self._model,
            form=form,
            shown=shown,
            held_out=held_out,
        )
