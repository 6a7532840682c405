"""What a text can be classified as: names, what they mean, and what stands for them in Python."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from llmtool.errors import UsageError

MAX_LABELS = 256

Labels = Iterable[str] | Mapping[str, str] | type[enum.Enum] | type[bool]


class Label(msgspec.Struct, frozen=True):
    """A label: the name that the model is asked for, its description, and its Python value."""

    name: str
    description: str = ""
    value: Any = None


def make_labels(labels: Labels) -> tuple[Label, ...]:
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
    if len(made) < 2:
        raise UsageError("at least two labels are needed: -l positive,negative")
    if len(made) > MAX_LABELS:
        raise UsageError(f"{len(made)} labels are too many; {MAX_LABELS} can be told apart")
    seen: dict[str, str] = {}
    for label in made:
        if not label.name.strip():
            raise UsageError("a label is empty")
        if len(label.name.splitlines()) > 1:
            raise UsageError(f"the label {label.name!r} has several lines")
        key = unicodedata.normalize("NFKC", label.name).strip().casefold()
        if key in seen:
            raise UsageError(f"the labels {seen[key]!r} and {label.name!r} are the same")
        seen[key] = label.name
    return made


def _each(labels: Any) -> Iterable[Label]:
    if labels is bool:
        return (Label("yes", value=True), Label("no", value=False))
    if isinstance(labels, type) and issubclass(labels, enum.Enum):
        return (Label(m.value if isinstance(m.value, str) else m.name, value=m) for m in labels)
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise UsageError("labels are a list of texts, a mapping, an Enum or bool")
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
