"""Recipes: how a prompt uses labelled examples, and how the model's bias is corrected.

Which recipe is best depends on the model and the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Form = Literal["completion", "chat"]
Shown = Literal["none", "one", "all"]
BiasSource = Literal["none", "neutral", "examples"]

FORMS: tuple[Form, ...] = ("completion", "chat")
BIAS_SOURCES: tuple[BiasSource, ...] = ("neutral", "examples", "none")
_SHOWN: dict[Shown, str] = {
    "none": "no examples shown",
    "one": "one example per label shown",
    "all": "all examples shown",
}
_BIAS: dict[BiasSource, str] = {
    "none": "bias not corrected",
    "neutral": "bias from neutral texts",
    "examples": "bias from examples",
}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One way to score the labels of a text.

    - `form` is the form of the prompt.
    - `shown` tells which examples are part of the prompt.
    - `bias` tells on which texts the model's bias is measured: neutral sentences, or examples
      that are not shown. The scores are not corrected if it is "none".
    """

    form: Form = "completion"
    shown: Shown = "none"
    bias: BiasSource = "neutral"

    @property
    def name(self) -> str:
        """A description in words.

        Example:
            >>> Recipe(form="chat", bias="examples").name
            'chat, no examples shown, bias from examples'
        """
        return f"{self.form}, {_SHOWN[self.shown]}, {_BIAS[self.bias]}"


def enumerate_recipes(
    *,
    forms: Sequence[Form] = FORMS,
    shown: Sequence[Shown] = ("none", "one", "all"),
    bias: Sequence[BiasSource] = BIAS_SOURCES,
) -> tuple[Recipe, ...]:
    """Return all combinations, the simplest first: the first form, no examples, the first bias.

    Example:
        >>> recipes = enumerate_recipes(shown=["none"], bias=["neutral"])
        >>> [recipe.form for recipe in recipes]
        ['completion', 'chat']
    """
    return tuple(
        Recipe(form=form, shown=examples, bias=source)
        for examples in shown
        for form in forms
        for source in bias
    )
