"""Read labelled examples, and divide them into shown and held-out ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from llmtool.errors import UsageError, about_option
from llmtool.prompts.cases import Example
from llmtool.tasks.classify.labels import Label, label_name


def read_examples(
    given: Iterable[Any], labels: Sequence[Label], *, text_input: str
) -> tuple[Example, ...]:
    """Return examples with the names of their labels.

    Args:
        given: a template's examples, pairs of a text and its label, or mappings with "text"
            (or "input") and "label".
        text_input: the template input for the text.

    Raises:
        UsageError: an example has another form, no text, or an unknown label.

    Example:
        >>> from llmtool.tasks.classify.labels import make_labels
        >>> labels = make_labels(["x", "y"])
        >>> [each.output for each in read_examples([("a", "X")], labels, text_input="text")]
        ['x']
    """
    found = []
    for number, each in enumerate(given, 1):
        with _about_example(number):
            found.append(_as_example(each, labels, text_input))
    return tuple(found)


def rounds_of(examples: Iterable[Example]) -> list[tuple[Example, ...]]:
    """Return the first examples of all labels, then the second ones, and so on.

    Later rounds omit labels that have no further example. Labels are in the order of
    their first examples.

    Example:
        >>> from llmtool.prompts.cases import Example
        >>> examples = [Example({"text": text}, text[0]) for text in ("a1", "a2", "b1", "a3")]
        >>> [[each.variables["text"] for each in round] for round in rounds_of(examples)]
        [['a1', 'b1'], ['a2'], ['a3']]
    """
    by_label: dict[str, list[Example]] = {}
    for each in examples:
        by_label.setdefault(each.output, []).append(each)
    return [tuple(filter(None, row)) for row in zip_longest(*by_label.values())]


def split_examples(
    examples: Sequence[Example], labels: Sequence[Label]
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return the examples to show, the first of each label, and the held-out examples.

    The same number of each label is held out, so none if a label has only one example.

    Example:
        >>> from llmtool.tasks.classify.labels import make_labels
        >>> from llmtool.prompts.cases import Example
        >>> examples = [Example({"text": text}, text[0]) for text in ("a1", "b1", "a2", "b2", "a3")]
        >>> shown, held_out = split_examples(examples, make_labels(["a", "b"]))
        >>> [example.output for example in shown], len(held_out)
        (['a', 'b'], 2)
    """
    shown, *others = rounds_of(examples) or [()]
    return shown, tuple(chain(*(each for each in others if len(each) == len(labels))))


class LabelledExample(NamedTuple):
    """A text, as values for the template's inputs, and the names of its labels."""

    variables: dict[str, Any]
    labels: tuple[str, ...]


def read_multi_examples(
    given: Iterable[Any], labels: Sequence[Label], *, text_input: str
) -> tuple[LabelledExample, ...]:
    """Return examples that have any number of labels.

    Args:
        given: pairs of a text and its labels, or mappings with "text" (or "input") and "labels" (or
            "label"). Labels are a list, or a single label.
        text_input: the template input for the text.

    Raises:
        UsageError: an example has another form, no text, or an unknown label.

    Example:
        >>> from llmtool.tasks.classify.labels import make_labels
        >>> labels = make_labels(["x", "y"])
        >>> read_multi_examples([("a", ["x", "Y"])], labels, text_input="text")[0].labels
        ('x', 'y')
    """
    found = []
    for number, each in enumerate(given, 1):
        with _about_example(number):
            variables, several = _text_and_label(each, text_input, keys=("labels", "label"))
            if isinstance(several, str) or not isinstance(several, Iterable):
                several = (several,)
            names = tuple(label_name(label, labels) for label in several)
            found.append(LabelledExample(variables, names))
    return tuple(found)


def _as_example(example: Any, labels: Sequence[Label], text_input: str) -> Example:
    """Return a pair or mapping as an `Example`."""
    if isinstance(example, Example):
        return Example(example.variables, label_name(example.output, labels))
    variables, label = _text_and_label(example, text_input, keys=("label",))
    return Example(variables, label_name(label, labels))


@contextmanager
def _about_example(number: int) -> Iterator[None]:
    """Name the example that an error is about; the first one is number 1."""
    try:
        with about_option("examples"):
            yield
    except UsageError as exc:
        exc.args = (f"example {number}: {exc.args[0]}",)
        raise


def _text_and_label(
    example: Any, text_input: str, *, keys: Sequence[str]
) -> tuple[dict[str, Any], Any]:
    """Return the variables of an example, and its label or labels, from the first of `keys`."""
    key = next((key for key in keys if isinstance(example, Mapping) and key in example), None)
    if key is not None:
        variables = {str(name): value for name, value in example.items() if name != key}
        name = next((name for name in ("text", "input") if name in variables), None)
        if name is not None:
            variables = {text_input: variables[name]}
        label = example[key]
    elif isinstance(example, (tuple, list)) and len(example) == 2:
        variables, label = {text_input: example[0]}, example[1]
    else:
        raise UsageError(
            f'it must be a pair of a text and its {keys[0]}, or have "text" and "{keys[0]}"'
        )
    text = variables.get(text_input)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"no text; set its {text_input!r}")
    return variables, label
