"""Successive halving: how many candidates run on how many records."""

from __future__ import annotations

import math

import msgspec

from llmtool.errors import UsageError
from llmtool.option_names import option

MAX_CANDIDATES = 32
_FINALISTS = 3
_MIN_FIRST = 8  # records of the first round
_MIN_SELECTION, _MIN_FINAL = 8, 10
_SHARE = 1 / 8  # of the budget, at most, for examples; twice as much for the final figure
_N_COMBINED = 2  # rounds after which a combination of changes enters


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """A round: `n_candidates` are scored on `n_records`, including those of the rounds before."""

    n_candidates: int
    n_records: int


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of records to run, at most.

    `n_examples` are run once to find examples, `n_written` variants are written by the model, and
    `n_final` records are run with the original and with the best candidate.
    """

    n_examples: int
    n_written: int
    rounds: tuple[Round, ...]
    n_final: int

    @property
    def n_calls(self) -> int:
        return self.n_examples + self.n_written + _cost(self.rounds) + 2 * self.n_final


def make_schedule(
    budget: int, *, n_examples: int, n_written: int, n_selection: int, n_final: int, n_labels: int
) -> Schedule:
    """Return the schedule that uses a budget, with as many candidates as possible.

    The rounds are those of successive halving (Jamieson and Talwalkar, arXiv 1502.07943): half of
    the candidates remain after each, and the records double. But: the original remains until the
    end, and after the first rounds, a combination of the best changes enters.

    Args:
        n_examples, n_selection, n_final: the numbers of records in the parts of the data.

    Raises:
        UsageError: the budget is too small.

    Example:
        >>> schedule = make_schedule(
        ...     300, n_examples=20, n_written=2, n_selection=40, n_final=24, n_labels=2
        ... )
        >>> [(each.n_candidates, each.n_records) for each in schedule.rounds]
        [(8, 9), (5, 18), (4, 38)]
        >>> schedule.n_calls
        294
    """
    n_examples = min(n_examples, int(budget * _SHARE))
    n_final = min(n_final, max(_MIN_FINAL, int(budget * _SHARE)))
    left = budget - n_examples - n_written - 2 * n_final
    n_records = min(n_selection, max(_MIN_SELECTION, left // 6))
    first = min(n_records, max(_MIN_FIRST, 2 * n_labels))
    fitting = [
        n for n in range(2, MAX_CANDIDATES + 1) if _cost(_rounds(n, n_records, first)) <= left
    ]
    if not fitting:
        needed = budget - left + _cost(_rounds(2, n_records, first))
        raise UsageError(f"{option('budget', budget)}: too small; use at least {needed}")
    while first < n_records and _cost(_rounds(fitting[-1], n_records, first + 1)) <= left:
        first += 1
    return Schedule(
        n_examples=n_examples,
        n_written=n_written,
        rounds=_rounds(fitting[-1], n_records, first),
        n_final=n_final,
    )


def _rounds(n_candidates: int, n_records: int, first: int) -> tuple[Round, ...]:
    rounds = [Round(n_candidates=n_candidates, n_records=first)]
    while rounds[-1].n_records < n_records:
        n_left = n_kept(rounds[-1].n_candidates)
        n = min(n_records, 2 * rounds[-1].n_records)
        if n_left <= _FINALISTS or 2 * n > 3 * n_records / 2:
            n = n_records
        rounds.append(
            Round(n_candidates=n_left + may_combine(len(rounds), n_candidates), n_records=n)
        )
    return tuple(rounds)


def n_kept(n_candidates: int) -> int:
    """Return the number of candidates that remain after a round."""
    return max(min(n_candidates, 2), math.ceil(n_candidates / 2))


def may_combine(number: int, n_candidates: int) -> bool:
    """Whether a combination enters after a round; the first has the number 1."""
    return number <= _N_COMBINED and n_candidates > _FINALISTS


def _cost(rounds: tuple[Round, ...]) -> int:
    """Return the number of records to run; a candidate that enters late runs the earlier ones."""
    total = done = n_left = 0
    for each in rounds:
        n_new = each.n_candidates - n_left
        total += n_new * each.n_records + min(n_left, each.n_candidates) * (each.n_records - done)
        done, n_left = each.n_records, n_kept(each.n_candidates)
    return total
