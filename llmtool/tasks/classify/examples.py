"""Split labelled examples into those for the prompt and those that calibrate the scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmtool.errors import UsageError
from llmtool.prompts.cases import Example
from llmtool.tasks.classify.labels import Label, label_name


def split_examples(
    given: Iterable[Any], labels: Sequence[Label], *, text_input: str
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the examples to show, the first of each label, and the held-out examples.

    The same number of each label is held out, so none if a label has only one example.

    Args:
        given: a template's examples, pairs of a text and its label, or mappings with "text"
            (or "input") and "label".
        text_input: the template input for the text.

    Raises:
        UsageError: an example has another form, no text, or an unknown label.

    Example:
        >>> from llmtool.tasks.classify.labels import make_labels
        >>> shown, held_out = split_examples(
        ...     [("a", "x"), ("b", "y"), ("c", "X"), ("d", "y")],
        ...     make_labels(["x", "y"]),
        ...     text_input="text",
        ... )
        >>> [example.output for example in shown], len(held_out)
        (['x', 'y'], 2)
    """
    names = [label.name for label in labels]
    shown: dict[str, Example] = {}
    rest: dict[str, list[Example]] = {name: [] for name in names}
    for each in given:
        example = _as_example(each, labels, text_input)
        if shown.setdefault(example.output, example) is not example:
            rest[example.output].append(example)
    n = min(map(len, rest.values()))
    held_out = tuple(rest[name][i] for i in range(n) for name in names)
    return tuple(shown.values()), held_out  # in the order of the examples, not of the labels


def _as_example(example: Any, labels: Sequence[Label], text_input: str) -> Example:
    """Return a pair or mapping as an `Example`."""
    if isinstance(example, Example):
        variables, label = example.variables, example.output
    elif isinstance(example, Mapping) and "label" in example:
        variables = {str(name): value for name, value in example.items() if name != "label"}
        name = next((name for name in ("text", "input") if name in variables), None)
        if name is not None:
            variables = {text_input: variables[name]}
        label = example["label"]
    elif isinstance(example, (tuple, list)) and len(example) == 2:
        variables, label = {text_input: example[0]}, example[1]
    else:
        raise UsageError(
            'an example must be a pair of a text and its label, or have "text" and "label"'
        )
    text = variables.get(text_input)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"an example has no text; set its {text_input!r}")
    return Example(variables, label_name(label, labels))
