"""What a text can be classified as: names, what they mean, and what stands for them in Python."""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.errors import UsageError
from llmtool.suggest import suggest

MAX_LABELS = 256

Labels = Iterable[str] | Mapping[str, str] | type[object]  # the type is an Enum or bool


class Label(msgspec.Struct, frozen=True):
    """A label: the name that the model is asked for, its description, and its Python value."""

    name: str
    description: str = ""
    value: Any = None


def make_labels(labels: Labels, *, at_least: int = 2) -> tuple[Label, ...]:
    """Return labels from names, a mapping of names to descriptions, an Enum, or `bool`.

    A member of an Enum is called by its value where that is a text, else by its name; `bool` is
    asked for as yes and no.

    Raises:
        UsageError: there are fewer than two, or two that cannot be told apart, or an empty one.

    Example:
        >>> [label.name for label in make_labels({"spam": "unwanted mail", "ham": ""})]
        ['spam', 'ham']
    """
    made = tuple(_each(labels))
    if len(made) < at_least:
        n = "two labels are" if at_least == 2 else "one label is"
        raise UsageError(f"at least {n} needed, such as positive,negative")
    if len(made) > MAX_LABELS:
        raise UsageError(f"{len(made)} labels are too many; {MAX_LABELS} can be told apart")
    seen: dict[str, str] = {}
    for label in made:
        if not label.name.strip():
            raise UsageError("a label is empty")
        if len(label.name.splitlines()) > 1:
            raise UsageError(f"the label {label.name!r} has several lines")
        key = normalize_label(label.name)
        if key in seen:
            raise UsageError(f"the labels {seen[key]!r} and {label.name!r} are the same")
        seen[key] = label.name
    return made


def normalize_label(name: str) -> str:
    """Return what two spellings of one label have in common: no case, spaces or invisible marks.

    Example:
        >>> normalize_label("Ａ  b\u200b") == normalize_label("a B")
        True
    """
    text = unicodedata.normalize("NFKC", name)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(text.split()).casefold()


def label_name(label: object, labels: Iterable[Label]) -> str:
    """Return the name of a label that is given by name, or as a member of an Enum or a bool.

    Raises:
        UsageError: it is none of them.

    Example:
        >>> label_name("SPAM", make_labels(["spam", "ham"]))
        'spam'
    """
    labels = tuple(labels)
    for each in labels:
        if label is each.value or (
            isinstance(label, str) and normalize_label(label) == normalize_label(each.name)
        ):
            return each.name
    raise unknown_label(label, [each.name for each in labels])


def unknown_label(label: object, names: Sequence[str]) -> UsageError:
    """Return the error for a label that is not among those of these names."""
    hint = suggest(str(label), names) or f" (there are: {', '.join(names)})"
    return UsageError(f"{label!r} is not one of the labels{hint}")


def _each(labels: Any) -> Iterable[Label]:
    if labels is bool:
        return (Label("yes", value=True), Label("no", value=False))
    if isinstance(labels, type) and issubclass(labels, enum.Enum):
        return (Label(m.value if isinstance(m.value, str) else m.name, value=m) for m in labels)
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise UsageError("labels must be a list of texts, a mapping, an Enum or bool")
    if isinstance(labels, Mapping):
        return (Label(str(name), text or "", str(name)) for name, text in labels.items())
    return (Label(str(name), "", str(name)) for name in labels)


def candidates(labels: Iterable[Label], *, after_text: bool) -> tuple[tuple[str, ...], bool]:
    """Return the texts to score, and whether their end has to be scored as well.

    Behind text a label begins with a space, which belongs to its first token. The end is needed
    where one label begins like another.

    Example:
        >>> candidates(make_labels(["sport", "sports"]), after_text=True)
        ((' sport', ' sports'), True)
    """
    names = [label.name.strip() for label in labels]
    clash = any(a != b and b.startswith(a) for a in names for b in names)
    return tuple(f" {name}" if after_text else name for name in names), clash


def read_prior(prior: Mapping[Any, float] | None, labels: Sequence[Label]) -> list[float]:
    """Return the logarithm of each label's share, zeros where nothing is said; shape (n_labels,).

    Raises:
        UsageError: a label is missing or unknown, or a number is not above 0.

    Example:
        >>> labels = make_labels(["a", "b"])
        >>> [round(math.exp(value), 2) for value in read_prior({"a": 3, "b": 1}, labels)]
        [0.75, 0.25]
    """
    if prior is None:
        return [0.0] * len(labels)
    shares = {label_name(label, labels): number for label, number in prior.items()}
    missing = [label.name for label in labels if label.name not in shares]
    if missing:
        raise UsageError(f"prior: the label {missing[0]!r} is missing")
    for label, number in shares.items():
        if not isinstance(number, (int, float)) or not 0 < number < math.inf:
            raise UsageError(f"prior: {label!r} is {number!r}; it must be a number above 0")
    total = math.fsum(shares.values())
    return [math.log(shares[label.name] / total) for label in labels]
