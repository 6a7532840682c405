"""What a template's tests came to before: failures that are known, and what must not get worse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from llmtool.errors import InputError, format_json_error
from llmtool.evals.results import Outcome

FORMAT = 1
MAX_BYTES = 16 << 20
TOLERANCE = 0.02
_ROUNDING = 1e-9

Key = tuple[str, str, str]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One test as it was; `name` is for people, `id` is what it is found by."""

    template: str
    model: str
    id: str
    name: str
    passed: bool
    metrics: dict[str, float] = {}

    @property
    def key(self) -> Key:
        return self.template, self.model, self.id


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A baseline file: JSON that is sorted and one value a line, made to be committed."""

    llmtool_baseline: Annotated[int, Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    tests: tuple[Entry, ...] = ()

    def compare(self, outcome: Outcome, *, tolerance: float = TOLERANCE) -> Outcome:
        """Return an outcome in the light of what was before.

        A failure that was one before is known. A metric that is lower by more than `tolerance` is a
        failure, known or not. An error is never known.

        Example:
            >>> Baseline().compare(outcome) == outcome  # doctest: +SKIP
            True
        """
        before = next((e for e in self.tests if e.key == _key(outcome)), None)
        if before is None or outcome.status == "error":
            return outcome
        worse = "; ".join(_worse(before, outcome, tolerance))
        if worse:
            reason = "; ".join(filter(None, [worse, outcome.reason]))
            return msgspec.structs.replace(outcome, status="failed", reason=reason)
        if outcome.status == "failed" and not before.passed:
            return msgspec.structs.replace(outcome, status="known")
        if outcome.status == "failed":
            reason = f"passed before; {outcome.reason}"
            return msgspec.structs.replace(outcome, reason=reason)
        return outcome

    def updated(self, outcomes: Iterable[Outcome]) -> Baseline:
        """Return a baseline with these outcomes; what else was there of their templates and models
        goes, and other templates and models stay. An error is no outcome to go by.
        """
        outcomes = list(outcomes)
        renewed = {(outcome.template, outcome.model) for outcome in outcomes}
        broken = {_key(outcome) for outcome in outcomes if outcome.status == "error"}
        entries = [
            entry for entry in self.tests if entry.key[:2] not in renewed or entry.key in broken
        ]
        entries += [
            Entry(
                template=outcome.template,
                model=outcome.model,
                id=outcome.id,
                name=outcome.name,
                passed=outcome.status == "passed",
                metrics={name: round(value, 4) for name, value in outcome.metrics.items()},
            )
            for outcome in outcomes
            if outcome.status != "error"
        ]
        return Baseline(tests=tuple(sorted(entries, key=lambda entry: entry.key)))


def read(path: Path) -> Baseline:
    """Return the baseline in a file.

    Raises:
        InputError: it cannot be read, or is no baseline.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        hint = "; --update-baseline writes it" if isinstance(exc, FileNotFoundError) else ""
        raise InputError(f"{path}: cannot be read: {exc.strerror}{hint}") from exc
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    try:
        return msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InputError(f"{path}: no baseline: {format_json_error(exc)}") from exc


def encode(baseline: Baseline) -> str:
    """Return the text of a baseline file."""
    return msgspec.json.format(msgspec.json.encode(baseline), indent=2).decode() + "\n"


def accepted(outcome: Outcome) -> Outcome:
    """Return an outcome as the baseline that it went into makes it: its failure is known."""
    if outcome.status != "failed":
        return outcome
    return msgspec.structs.replace(outcome, status="known")


def _key(outcome: Outcome) -> Key:
    return outcome.template, outcome.model, outcome.id


def _worse(before: Entry, now: Outcome, tolerance: float) -> Iterator[str]:
    for name, old in before.metrics.items():
        new = now.metrics.get(name)
        if new is not None and old - new > tolerance + _ROUNDING:
            yield f"{name} fell from {old:.3f} to {new:.3f}"
