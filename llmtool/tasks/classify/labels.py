"""Labels: their names, descriptions and Python values."""

from __future__ import annotations

import enum
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import msgspec

from llmtool.errors import UsageError, about_option
from llmtool.option_names import option
from llmtool.suggest import suggest

MAX_LABELS = 256

# The type is an Enum, bool or Literal.
Labels = Iterable[str] | Mapping[str, str] | type[object]


class Label(msgspec.Struct, frozen=True):
    """A label: its name, which the model scores, its description, and its Python value."""

    name: str
    description: str = ""
    value: Any = None


@about_option("labels")
def make_labels(labels: Labels, *, at_least: int = 2) -> tuple[Label, ...]:
    """Return labels from names, a mapping of names to descriptions, an Enum, a Literal, or `bool`.

    A member of an Enum is named by its value if that is a string, else by its name. The labels of
    `bool` are yes and no.

    Raises:
        UsageError: there are too few or too many labels, or one is empty, has several lines, or
            equals another.

    Example:
        >>> [label.name for label in make_labels({"spam": "unwanted mail", "ham": ""})]
        ['spam', 'ham']
    """
    made = tuple(_each(labels))
    if len(made) < at_least:
        n = "two labels" if at_least == 2 else "one label"
        example = option("labels", ["positive", "negative"])
        raise UsageError(f"pass at least {n}, such as {example}")
    if len(made) > MAX_LABELS:
        raise UsageError(f"{len(made)} labels are too many; use at most {MAX_LABELS}")
    seen: dict[str, str] = {}
    for label in made:
        if not label.name.strip():
            raise UsageError("a label is empty; remove it or give it a name")
        if len(label.name.splitlines()) > 1:
            raise UsageError(f"label {label.name!r}: must be one line")
        key = normalize_label(label.name)
        if key in seen:
            raise UsageError(f"labels {seen[key]!r} and {label.name!r} are the same; remove one")
        seen[key] = label.name
    return made


def normalize_label(name: str) -> str:
    """Return a label for comparison: without case, extra spaces and invisible characters, in NFKC.

    Example:
        >>> normalize_label("Ａ  b\u200b") == normalize_label("a B")
        True
    """
    text = unicodedata.normalize("NFKC", name)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(text.split()).casefold()


def label_name(label: object, labels: Iterable[Label]) -> str:
    """Return the name of a label that is passed by name, as a member of an Enum or as a bool.

    Raises:
        UsageError: the label is unknown.

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
    """Return the error for a label that is not one of `names`."""
    hint = suggest(str(label), names) or f"; labels: {', '.join(names)}"
    return UsageError(f"unknown label {label!r}{hint}")


def _each(labels: Any) -> Iterable[Label]:
    if labels is bool:
        return (Label("yes", value=True), Label("no", value=False))
    if isinstance(labels, type) and issubclass(labels, enum.Enum):
        return (Label(m.value if isinstance(m.value, str) else m.name, value=m) for m in labels)
    if get_origin(labels) is Literal:
        return (Label(str(each), "", each) for each in get_args(labels))
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        given = option("labels", labels)
        raise UsageError(
            f"{given}: must be a list of strings, a mapping, an Enum, a Literal or bool"
        )
    if isinstance(labels, Mapping):
        return (Label(str(name), text or "", str(name)) for name, text in labels.items())
    return (Label(str(name), "", str(name)) for name in labels)


def candidates(labels: Iterable[Label], *, after_text: bool) -> tuple[tuple[str, ...], bool]:
    """Return the texts to score, and whether to score the end of the reply after them as well.

    After other text, a label begins with a space, which is part of its first token. The end is
    needed if one label is a prefix of another.

    Example:
        >>> candidates(make_labels(["sport", "sports"]), after_text=True)
        ((' sport', ' sports'), True)
    """
    names = [label.name.strip() for label in labels]
    clash = any(a != b and b.startswith(a) for a in names for b in names)
    return tuple(f" {name}" if after_text else name for name in names), clash


def read_prior(prior: Mapping[Any, float] | None, labels: Sequence[Label]) -> list[float]:
    """Return the logarithm of each label's share, zeros without a prior; shape (n_labels,).

    Raises:
        UsageError: a label is missing or unknown, or a number is not positive.

    Example:
        >>> import math
        >>> labels = make_labels(["a", "b"])
        >>> [round(math.exp(value), 2) for value in read_prior({"a": 3, "b": 1}, labels)]
        [0.75, 0.25]
    """
    if prior is None:
        return [0.0] * len(labels)
    shares = {label_name(label, labels): number for label, number in prior.items()}
    missing = [label.name for label in labels if label.name not in shares]
    if missing:
        given = option("prior")
        raise UsageError(f"{given} has no label {missing[0]!r}; give each label a number")
    for label, number in shares.items():
        if not isinstance(number, (int, float)) or not 0 < number < math.inf:
            given = option("prior")
            raise UsageError(f"{given}: {number!r} of label {label!r} must be a number above 0")
    total = math.fsum(shares.values())
    return [math.log(shares[label.name] / total) for label in labels]
