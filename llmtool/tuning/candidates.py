"""Candidates: changes to a template's examples, form and wording."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from llmtool.prompts.output import Output
from llmtool.prompts.schema import Form
from llmtool.prompts.template import Template
from llmtool.tuning.records import Record, interleave

_SIZES = (4, 2, 8, 1)  # examples of a reply
_SIZES_PER_LABEL = (3, 1, 6)  # the first of each label is shown, the others correct the bias
_MAX_CHARACTERS = 8000  # of the examples in a prompt
_GRAM = 3
_BLANK_LINE = "\n\n"


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """Another text of the instruction: a change to `system` or `prompt`."""

    name: str = "original"
    text: str = ""
    changes: dict[str, str] = {}


class ExampleSet(msgspec.Struct, frozen=True, kw_only=True):
    """Examples to show, None for those of the original."""

    name: str = "original"
    examples: tuple[dict[str, Any], ...] | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A combination of examples, form and wording."""

    form: Form
    examples: ExampleSet = ExampleSet()
    wording: Wording = Wording()

    def changes(self, original: Template) -> dict[str, Any]:
        """Return the changes to the original, as in a template file."""
        changes: dict[str, Any] = dict(self.wording.changes)
        if self.form != original.form:
            changes["form"] = self.form
            if self.form == "completion" and original.output.kind == "text":
                stop = [text for text in original.params.get("stop", ()) if text != _BLANK_LINE]
                changes["model"] = {"params": {"stop": [*stop, _BLANK_LINE]}}
        if self.examples.examples is not None:
            changes["examples"] = [dict(each) for each in self.examples.examples]
        return changes


def list_candidates(
    original: Template, sets: Sequence[ExampleSet], wordings: Sequence[Wording]
) -> list[Candidate]:
    """Return the candidates to try, best guesses first; the first one is the original.

    One thing is changed at a time, then the form together with the examples.
    """
    form = original.form
    other: Form = "chat" if form == "completion" else "completion"
    start = Candidate(form=form)
    found = [start]
    found += [Candidate(form=form, wording=wording) for wording in wordings]
    has_other = _may_change_form(original)
    if has_other and (original.examples or original.output.kind == "labels"):
        found.append(Candidate(form=other))
    if original.examples:
        found.append(Candidate(form=form, examples=ExampleSet(name="none", examples=())))
    found += [Candidate(form=form, examples=each) for each in sets]
    if has_other:
        found += [Candidate(form=other, examples=each) for each in sets]
    return found


def _may_change_form(original: Template) -> bool:
    """Whether a reply in plain text ends where it should: at a label, JSON or a blank line."""
    return original.output.kind != "code" and original.task != "chat"


def combine(scored: Sequence[tuple[Candidate, float]]) -> Candidate:
    """Return the original with each of the best single changes that improve it.

    Args:
        scored: candidates with their scores, the original first.

    Example:
        >>> original = Candidate(form="chat")
        >>> plain, none = Candidate(form="completion"), ExampleSet(name="none", examples=())
        >>> fewer = Candidate(form="chat", examples=none)
        >>> both = combine([(original, 0.5), (plain, 0.6), (fewer, 0.7)])
        >>> both == Candidate(form="completion", examples=none)
        True
    """
    original, least = scored[0]
    combined = original
    for factor in ("form", "examples", "wording"):
        best = least
        for candidate, score in scored:
            level = {factor: getattr(candidate, factor)}
            if score > best and candidate == msgspec.structs.replace(original, **level):
                best, combined = score, msgspec.structs.replace(combined, **level)
    return combined


def make_example_sets(
    pool: Sequence[Record],
    solved: Mapping[str, str],
    missed: Collection[str],
    *,
    output: Output,
    defaults: Mapping[str, Any],
) -> list[ExampleSet]:
    """Return sets of examples chosen in different ways, in different sizes.

    - `solved`: records that the original template answers correctly (bootstrapped)
    - `diverse`: records whose texts differ most
    - `missed`: records that it answers wrongly
    - `random`: any

    Args:
        pool: records that are not used for scores.
        solved: the reply of each solved record, by its key; it is the example if the record has no
            expected answer.
        missed: the keys of the other records that were tried.
        defaults: values of inputs that a record does not have.
    """
    usable = [record for record in pool if record.expected is not None or record.key in solved]
    labels = list(output.labels)
    chosen: dict[str, list[Record]] = {
        "solved": spread([record for record in usable if record.key in solved]),
        "diverse": spread(usable),
        "random 1": _shuffled(usable, "1"),
        "missed": spread([record for record in usable if record.key in missed]),
        "random 2": _shuffled(usable, "2"),
    }
    sets: list[ExampleSet] = []
    for size in _SIZES_PER_LABEL if labels else _SIZES:
        for way, ordered in chosen.items():
            if labels:
                picked = _of_each_label(ordered, usable, labels, size)
            else:
                picked = ordered[:size] if len(ordered) >= size else []
            examples = tuple({**defaults, **_as_example(record, solved)} for record in picked)
            shown = examples[: len(labels)] if labels else examples
            n_characters = sum(len(str(value)) for each in shown for value in each.values())
            is_new = all(each.examples != examples for each in sets)
            if examples and is_new and n_characters <= _MAX_CHARACTERS:
                sets.append(ExampleSet(name=f"{len(examples)} {way}", examples=examples))
    return sets


def _of_each_label(
    ordered: Sequence[Record], others: Iterable[Record], labels: Sequence[str], size: int
) -> list[Record]:
    """Return up to `size` records of each label, the same number; fill up with others."""
    by_label: dict[str | None, list[Record]] = {label: [] for label in labels}
    for record in {each.key: each for each in (*ordered, *others)}.values():
        by_label[record.expected].append(record)
    n = min(size, *(len(group) for group in by_label.values()))
    return interleave(record for group in by_label.values() for record in group[:n])


def _as_example(record: Record, solved: Mapping[str, str]) -> dict[str, Any]:
    output = solved[record.key] if record.expected is None else record.expected
    return {**record.variables, "output": output}


def spread(records: Sequence[Record]) -> list[Record]:
    """Order records so that each text differs from those before it as much as possible.

    It is the farthest-first traversal of Gonzalez (1985). It starts with the text that is most
    similar to all others. The distance is the Jaccard distance of sets of three characters.

    Example:
        >>> from llmtool.tuning.records import Record
        >>> texts = ["a red car", "a red cat", "two blue boats"]
        >>> records = [
        ...     Record(variables={"t": text}, expected="", assertions=(), key=text, place="")
        ...     for text in texts
        ... ]
        >>> [record.key for record in spread(records)]
        ['a red car', 'two blue boats', 'a red cat']
    """
    if not records:
        return []
    grams = [_grams(record) for record in records]
    far = [sum(_distance(a, b) for b in grams) for a in grams]
    order = [min(range(len(records)), key=far.__getitem__)]
    nearest = [_distance(grams[order[0]], each) for each in grams]
    while len(order) < len(records):
        left = (i for i in range(len(records)) if i not in order)
        order.append(max(left, key=nearest.__getitem__))
        latest = grams[order[-1]]
        nearest = [min(old, _distance(latest, g)) for old, g in zip(nearest, grams, strict=True)]
    return [records[i] for i in order]


def _grams(record: Record) -> frozenset[str]:
    text = " ".join(map(str, record.variables.values())).casefold()
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def _distance(a: frozenset[str], b: frozenset[str]) -> float:
    return 1 - len(a & b) / len(a | b)


def _shuffled(records: Iterable[Record], seed: str) -> list[Record]:
    def rank(record: Record) -> bytes:
        return hashlib.sha256(f"{seed} {record.key}".encode()).digest()

    return sorted(records, key=rank)
