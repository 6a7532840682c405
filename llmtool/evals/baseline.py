"""Baselines: recorded outcomes, to allow known failures and detect regressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from llmtool.errors import InputError, format_json_error, os_error_reason
from llmtool.evals.results import Outcome
from llmtool.option_names import option

FORMAT = 1
MAX_BYTES = 16 << 20
TOLERANCE = 0.02
_ROUNDING = 1e-9

Key = tuple[str, str, str]


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recorded outcome of a test; `id` identifies it, `name` is only for readers."""

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
    """A baseline file: sorted JSON with one value per line, to be committed."""

    llmtool_baseline: Annotated[int, Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    tests: tuple[Entry, ...] = ()

    def compare(self, outcome: Outcome, *, tolerance: float = TOLERANCE) -> Outcome:
        """Compare an outcome with the baseline, and return it with an adjusted status.

        A failure that is in the baseline becomes `known`. A metric that drops by more than
        `tolerance` is always a failure, and an error stays an error.

        Example:
            >>> from llmtool.evals.results import Outcome
            >>> test = {"template": "triage", "model": "starter", "id": "1", "name": "login"}
            >>> entry = Entry(**test, passed=False)
            >>> place = {"kind": "vars", "n": 1, "file": "triage.yaml", "line": 9}
            >>> Baseline(tests=(entry,)).compare(Outcome(**test, **place, status="failed")).status
            'known'
        """
        before = next((e for e in self.tests if e.key == _key(outcome)), None)
        if before is None or outcome.status == "error":
            return outcome
        regressions = list(_find_regressions(before, outcome, tolerance))
        if regressions:
            reason = "; ".join(filter(None, [*regressions, outcome.reason]))
            return msgspec.structs.replace(outcome, status="failed", reason=reason)
        if outcome.status == "failed" and not before.passed:
            return msgspec.structs.replace(outcome, status="known")
        if outcome.status == "failed":
            reason = f"passed before; {outcome.reason}"
            return msgspec.structs.replace(outcome, reason=reason)
        return outcome

    def updated(self, outcomes: Iterable[Outcome]) -> Baseline:
        """Return a baseline with the entries of these templates and models replaced.

        Entries of other templates and models remain, as do those of tests that ended in an error.
        """
        outcomes = list(outcomes)
        replaced = {(outcome.template, outcome.model) for outcome in outcomes}
        errors = {_key(outcome) for outcome in outcomes if outcome.status == "error"}
        entries = [
            entry for entry in self.tests if entry.key[:2] not in replaced or entry.key in errors
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
    """Read a baseline file.

    Raises:
        InputError: the file does not exist, cannot be read, or is not a baseline.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        update = option("update_baseline")
        raise InputError(f"{path} not found; create it with {update}") from exc
    except OSError as exc:
        raise InputError(f"cannot read {path}: {os_error_reason(exc)}") from exc
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is not a baseline: larger than {MAX_BYTES >> 20} MiB")
    try:
        return msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InputError(f"{path} is not a valid baseline: {format_json_error(exc)}") from exc


def encode(baseline: Baseline) -> str:
    """Return the content of a baseline file."""
    return msgspec.json.format(msgspec.json.encode(baseline), indent=2).decode() + "\n"


def mark_known(outcome: Outcome) -> Outcome:
    """Return an outcome that was added to the baseline: a failure becomes `known`."""
    if outcome.status != "failed":
        return outcome
    return msgspec.structs.replace(outcome, status="known")


def _key(outcome: Outcome) -> Key:
    return outcome.template, outcome.model, outcome.id


def _find_regressions(before: Entry, now: Outcome, tolerance: float) -> Iterator[str]:
    for name, old in before.metrics.items():
        new = now.metrics.get(name)
        if new is not None and old - new > tolerance + _ROUNDING:
            yield f"{name} dropped from {old:.3f} to {new:.3f}"
