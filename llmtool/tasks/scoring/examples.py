"""Examples of labels: those that are shown to the model, and those held back to calibrate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmtool.errors import UsageError
from llmtool.prompts.cases import Example


def split_examples(
    given: Iterable[Any], names: Sequence[str], *, material: str
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the examples that are shown, the first of each label, and those held back.

    Of the latter there are as many of each label; none where a label has none.

    Args:
        given: a template's examples, pairs of a text and its label, or mappings with "text" and
            "label".
        names: the labels.
        material: the input that takes a text.

    Raises:
        UsageError: an example is neither, or has a label that is none.

    Example:
        >>> shown, held_back = split_examples(
        ...     [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")], ["x", "y"], material="text"
        ... )
        >>> [example.output for example in shown], len(held_back)
        (['x', 'y'], 2)
    """
    shown: dict[str, Example] = {}
    rest: dict[str, list[Example]] = {name: [] for name in names}
    for example in (_as_example(each, material) for each in given):
        if example.output not in rest:
            from llmtool.prompts.nearest import nearest

            hint = nearest(example.output, names)
            raise UsageError(f"an example has the label {example.output!r}, which is none{hint}")
        if shown.setdefault(example.output, example) is not example:
            rest[example.output].append(example)
    n = min(map(len, rest.values()))
    held_back = tuple(rest[name][i] for i in range(n) for name in names)
    return tuple(shown.values()), held_back  # in their own order: that of the labels is free


def _as_example(example: Any, material: str) -> Example:
    """Return an example that is a pair of a text and its label, or a mapping with both.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(example, Example):
        return example
    if isinstance(example, Mapping) and "label" in example:
        variables = {str(name): value for name, value in example.items() if name != "label"}
        if "text" in variables:
            variables = {material: variables["text"]}
        return Example(variables, str(example["label"]))
    if isinstance(example, (tuple, list)) and len(example) == 2:
        return Example({material: str(example[0])}, str(example[1]))
    raise UsageError('an example is a pair of a text and its label, or has "text" and "label"')
