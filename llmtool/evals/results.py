"""Outcomes of template tests."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["passed", "failed", "error", "known"]
Kind = Literal["vars", "dataset", "invariant", "file"]


class FailedAssertion(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion that a reply fails, with the value that it expects and that of the reply."""

    type: str
    expected: str
    actual: str
    reason: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that fails a test; `text` is None for an error instead of a reply."""

    case: str
    expected: str | None = None
    text: str | None = None
    reason: str
    assertions: tuple[FailedAssertion, ...] = ()

    @property
    def values(self) -> list[tuple[str, str]]:
        """The expected and actual values: those of the assertions, or else of the answer."""
        if self.assertions:
            return [
                (f"{each.type} {each.expected}".rstrip(), each.actual) for each in self.assertions
            ]
        return [] if self.text is None else [(self.expected or "", self.text)]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one test of a template on one model.

    `id` depends on the test cases, not on their position in the file. `known` is a failure that is
    in the baseline. Of `n` replies, `n_failed` failed; `failures` has the first of them. `seconds`
    is the time of the slowest reply, as replies are generated together. The kind `file` is a
    template that cannot be tested; it has no replies and no model.
    """

    template: str
    model: str
    id: str
    name: str
    kind: Kind
    status: Status
    reason: str = ""
    failures: tuple[Failure, ...] = ()
    metrics: dict[str, float] = {}
    n: int
    n_failed: int = 0
    n_cached: int = 0
    seconds: float = 0.0
    file: str
    line: int

    @property
    def is_bad(self) -> bool:
        return self.status in ("failed", "error")
