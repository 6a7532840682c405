"""Sampled tokens equal a Python implementation, with and without a constraint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.constrained_sampler import ConstrainedSampler
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.types import Sampling
from llmtool.structured.compiler import CompiledConstraint, ConstraintCompiler, Matcher
from llmtool.structured.constraint import Constraint

LETTERS = Constraint("regex", "[a-f ]{60}")  # excludes most words that the model prefers


@pytest.fixture(scope="module")
def weights(tiny: Path) -> Iterator[LlamaModel]:
    made = LlamaModel(tiny, n_gpu_layers=0, cancellation=Cancellation())
    yield made
    made.close()


@pytest.fixture
def context(weights: LlamaModel) -> Iterator[Context]:
    made = Context(weights, n_ctx=256, n_threads=1, cancellation=Cancellation())
    made.prefill(weights.tokenize(b"hello", add_special=True, parse_special=False))
    yield made
    made.close()


def read_row(context: Context) -> list[float]:
    logits = context._lib.llama_get_logits_ith(context._ctx, -1)
    return list(logits[: context.weights.n_vocab])


def choose(row: Sequence[float], past: Sequence[int], penalty: float, matcher: Matcher) -> int:
    """Return the most likely allowed token, after the penalty of Keskar et al. (2019)."""

    def score(token: int) -> float:
        logit = row[token]
        if token not in past:
            return logit
        return logit * penalty if logit <= 0 else logit / penalty

    return max((token for token in range(len(row)) if matcher.allows(token)), key=score)


class Unconstrained:
    """A matcher that allows all tokens."""

    def allows(self, token: int) -> bool:
        return True

    def accept(self, token: int) -> None: ...


@pytest.mark.parametrize("last_n", [-1, 0, 3, 64, 2**40])
@pytest.mark.parametrize("penalty", [0.6, 1.0, 1.8])
@pytest.mark.parametrize(
    "chain", [{"temperature": 0}, {"temperature": 1, "top_k": 1}], ids=["greedy", "top-k 1"]
)
@pytest.mark.parametrize("constraint", [None, LETTERS], ids=["unconstrained", "constrained"])
def test_greedy_choice_is_the_most_likely_allowed_token_after_penalties(
    constraint: Constraint | None,
    chain: dict[str, Any],
    penalty: float,
    last_n: int,
    weights: LlamaModel,
    context: Context,
) -> None:
    compiled = constraint and ConstraintCompiler(weights).compile(constraint)
    sampling = Sampling(repeat_penalty=penalty, repeat_last_n=last_n, **chain)
    sampler = Sampler(weights, sampling, seed=1)
    sample = make_sample(weights, compiled, sampler)
    matcher: Any = compiled.start() if compiled else Unconstrained()
    past: list[int] = []
    for _ in range(20):
        row = read_row(context)
        expected = choose(
            row, past[max(0, len(past) - last_n) :] if last_n >= 0 else past, penalty, matcher
        )
        assert sample(context) == expected
        assert read_row(context) == row, "other choices may read the row afterwards"
        past.append(expected)
        matcher.accept(expected)
        context.prefill([expected], pos=context.length(0))
    sampler.close()


def make_sample(
    weights: LlamaModel, compiled: CompiledConstraint | None, sampler: Sampler
) -> Callable[[Context], int]:
    """Return `sample(context)`, which samples as the engine does."""
    if compiled is None:
        return sampler.sample
    constrained = ConstrainedSampler(sampler, compiled, Reply(0, 0), tags=None, weights=weights)

    def sample(context: Context) -> int:
        token = constrained.sample(context, -1)
        constrained.accept(token)
        return token

    return sample
