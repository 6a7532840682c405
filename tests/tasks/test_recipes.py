"""Recipes of `classify`: what they combine, and how one is chosen for a model."""

from __future__ import annotations

from llmtool.tasks.classify.recipes import Recipe, enumerate_recipes


def test_recipes_are_distinct_and_start_with_the_simplest() -> None:
    recipes = enumerate_recipes()
    assert len({recipe.name for recipe in recipes}) == len(recipes) == 18
    assert recipes[0] == Recipe()
    assert enumerate_recipes(forms=["chat"])[0] == Recipe(form="chat")
