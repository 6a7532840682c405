"""Tokens sampled with every sampler equal a Python implementation of llama.cpp's chain.

The reference reproduces the samplers, their order and their random numbers (MT19937).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.constrained_sampler import ConstrainedSampler
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.llama.sampler import Sampler
from llmtool.engine.reply import Reply
from llmtool.engine.types import (
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
)
from llmtool.errors import UsageError
from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint

OFF: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
Candidates = list[tuple[int, float]]  # (token, logit)


class Mt19937:
    """The random numbers of `std::mt19937` and `std::uniform_real_distribution`."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def _word(self) -> int:
        return int(self._state.randint(0, 2**32, dtype=np.uint32))

    def float(self) -> float:
        return self._word() / 2**32

    def double(self) -> float:
        low, high = self._word(), self._word()
        return (low + high * 2**32) / 2**64


def softmax(candidates: Candidates) -> list[float]:
    most = max(logit for _, logit in candidates)
    values = [math.exp(logit - most) for _, logit in candidates]
    total = sum(values)
    return [value / total for value in values]


class Reference:
    """The chain for one reply, in plain Python."""

    def __init__(self, sampling: Sampling, *, seed: int, biases: Mapping[int, float]) -> None:
        self.sampling, self.biases = sampling, biases
        self.xtc, self.dist = Mt19937(seed), Mt19937(seed)
        self.past: list[int] = []

    def sample(self, row: Sequence[float], allowed: Callable[[int], bool]) -> int:
        s = self.sampling
        logits = [row[token] if allowed(token) else -math.inf for token in range(len(row))]
        for token, bias in self.biases.items():
            logits[token] += bias
        recent = self.past if s.repeat_last_n < 0 else self.past[-s.repeat_last_n :]
        for token in set(recent):
            logits[token] *= s.repeat_penalty if logits[token] <= 0 else 1 / s.repeat_penalty
        for token in set(self.past):
            logits[token] -= self.past.count(token) * s.frequency_penalty + s.presence_penalty
        found = sorted(enumerate(logits), key=lambda each: -each[1])
        token = found[0][0] if s.temperature == 0 else self._draw(found)
        self.past.append(token)
        return token

    def _draw(self, found: Candidates) -> int:
        s = self.sampling
        found = found[: s.top_k or None]
        is_sorted = bool(s.top_k)
        if s.typical_p < 1:
            found, is_sorted = self._typical([each for each in found if each[1] > -math.inf]), False
        if s.top_p < 1:
            found = self._top_p(sorted(found, key=lambda each: -each[1]))
            is_sorted = True
        if s.min_p > 0:
            least = max(logit for _, logit in found) + math.log(s.min_p)
            found = [each for each in found if each[1] >= least]
        has_xtc = s.xtc_probability > 0 and s.xtc_threshold <= 0.5 and len(found) > 1
        if has_xtc and self.xtc.float() <= s.xtc_probability:
            found = sorted(found, key=lambda each: -each[1])
            is_sorted = True
            top = sum(p >= s.xtc_threshold for p in softmax(found))
            found = found[max(0, top - 1) :]
        if not is_sorted and s.typical_p == 1:
            found = sorted(found)  # llama.cpp keeps the order of the vocabulary
        found = [(token, logit / s.temperature) for token, logit in found]
        goal, total = self.dist.double(), 0.0
        for (token, _), p in zip(found, softmax(found), strict=True):
            total += p
            if total >= goal:
                return token
        raise AssertionError("the probabilities add up to 1")

    def _typical(self, found: Candidates) -> Candidates:
        p = softmax(found)
        entropy = -sum(each * math.log(each) for each in p if each)
        order = sorted(
            (i for i in range(len(p)) if p[i]), key=lambda i: abs(-math.log(p[i]) - entropy)
        )
        total = 0.0
        for n, index in enumerate(order, 1):
            total += p[index]
            if total > self.sampling.typical_p:
                return [found[i] for i in order[:n]]
        return [found[i] for i in order]

    def _top_p(self, found: Candidates) -> Candidates:
        total = 0.0
        for n, p in enumerate(softmax(found), 1):
            total += p
            if total >= self.sampling.top_p:
                return found[:n]
        return found


@pytest.fixture(scope="module")
def weights(tiny: Path) -> Iterator[LlamaModel]:
    made = LlamaModel(tiny, n_gpu_layers=0, cancellation=Cancellation())
    yield made
    made.close()


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[LocalEngine]:
    made = LocalEngine(load_model(tiny), n_threads=1)
    yield made
    made.close()


CHAINS: dict[str, dict[str, Any]] = {
    "temperature": {**OFF, "temperature": 1.3},
    "frequency": {**OFF, "temperature": 0, "frequency_penalty": 2},
    "presence": {**OFF, "temperature": 0, "presence_penalty": 1.5},
    "negative": {**OFF, "temperature": 0, "frequency_penalty": -2},
    "all penalties": {
        **OFF,
        "temperature": 0.9,
        "repeat_penalty": 1.3,
        "repeat_last_n": 4,
        "frequency_penalty": 0.7,
        "presence_penalty": -0.3,
    },
    "typical": {**OFF, "typical_p": 0.4},
    "typical after top-k": {**OFF, "typical_p": 0.7, "top_k": 20},
    "xtc": {**OFF, "xtc_probability": 1, "xtc_threshold": 0.02},
    "xtc at random": {**OFF, "xtc_probability": 0.5, "xtc_threshold": 0.02},
    "xtc off": {**OFF, "xtc_probability": 1, "xtc_threshold": 0.6},
    "greedy, so without xtc": {"temperature": 0, "xtc_probability": 1, "xtc_threshold": 0.01},
    "all": {
        "temperature": 1.5,
        "top_k": 60,
        "typical_p": 0.9,
        "top_p": 0.9,
        "min_p": 0.05,
        "xtc_probability": 0.6,
        "xtc_threshold": 0.05,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
    },
}


@pytest.mark.parametrize("constraint", [None, "[a-f ]{60}"], ids=["unconstrained", "constrained"])
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_sampled_tokens_equal_the_reference(
    chain: dict[str, Any], constraint: str | None, weights: LlamaModel
) -> None:
    biases = {weights.tokenize(b"a", add_special=False, parse_special=False)[0]: 3.0, 5: -100.0}
    if constraint:  # with penalties, no token is drawn without the constraint; see below
        chain = {"presence_penalty": 1e-6, **chain}
    sampling = Sampling(**chain)
    context = Context(weights, n_ctx=256, n_threads=1, cancellation=Cancellation())
    compiled = constraint and ConstraintCompiler(weights).compile(Constraint("regex", constraint))
    for seed in range(2):
        context.clear()
        context.prefill(weights.tokenize(b"hello", add_special=True, parse_special=False))
        sampler = Sampler(weights, sampling, seed=seed, biases=biases)
        reference = Reference(sampling, seed=seed, biases=biases)
        matcher = compiled.start() if compiled else None
        sample: Any = sampler.sample
        if compiled:
            constrained = ConstrainedSampler(
                sampler, compiled, Reply(0, 0), tags=None, weights=weights
            )
            sample = constrained.sample
        for _ in range(24):
            logits = context._lib.llama_get_logits_ith(context._ctx, -1)
            row = list(logits[: weights.n_vocab])
            expected = reference.sample(row, matcher.allows if matcher else lambda token: True)
            assert sample(context, -1) == expected
            assert list(logits[: weights.n_vocab]) == row, "other choices may read the row"
            if matcher:
                constrained.accept(expected)
                matcher.accept(expected)
            context.prefill([expected], pos=context.length(0))
        sampler.close()
    context.close()


def test_constrained_samples_without_a_state_are_allowed_and_follow_the_distribution(
    weights: LlamaModel,
) -> None:
    """Drawing first and masking only if the token is not allowed gives the same distribution."""
    sampling = Sampling(**OFF, temperature=1)
    compiled = ConstraintCompiler(weights).compile(Constraint("regex", "[a-f]{1,9}"))
    context = Context(weights, n_ctx=64, n_threads=1, cancellation=Cancellation())
    context.prefill(weights.tokenize(b"hello", add_special=True, parse_special=False))
    matcher = compiled.start()
    row = context._lib.llama_get_logits_ith(context._ctx, -1)[: weights.n_vocab]
    allowed = [(token, row[token]) for token in range(weights.n_vocab) if matcher.allows(token)]
    expected = dict(zip((token for token, _ in allowed), softmax(allowed), strict=True))
    counts: dict[int, int] = {}
    n = 3000
    for seed in range(n):
        sampler = Sampler(weights, sampling, seed=seed)
        token = sampler.sample(context, -1, matcher)
        counts[token] = counts.get(token, 0) + 1
        sampler.close()
    assert counts.keys() <= expected.keys()
    for token, p in expected.items():
        assert abs(counts.get(token, 0) / n - p) < 5 * math.sqrt(p * (1 - p) / n) + 1e-9
    context.close()


def run(engine: LocalEngine, n: int = 1, **sampling: Any) -> list[list[str]]:
    """Return the texts of the tokens of each choice."""
    request = Request(
        prompt=Prompt(messages=(Message("user", "hello"),)),
        sampling=Sampling(logprobs=1, **sampling),
        n=n,
    )
    found: list[list[str]] = [[] for _ in range(n)]
    for event in engine.stream([request]):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token) and event.logprob:
            found[event.choice].append(event.logprob.token)
        assert isinstance(event, (Token, Finished))
    return found


def test_choices_equal_single_replies_with_their_seeds(engine: LocalEngine) -> None:
    options = {**CHAINS["all"], "max_tokens": 12, "logit_bias": {"e": 2.0}}
    together = run(engine, n=3, seed=7, **options)
    assert together == [run(engine, seed=seed, **options)[0] for seed in (7, 8, 9)]
    assert len({tuple(each) for each in together}) > 1


def test_penalties_cover_the_whole_reply(engine: LocalEngine) -> None:
    """`repeat_last_n`, by default 64, limits only `repeat_penalty`."""
    only_letters = Constraint("regex", "[a-c]{90}")
    (tokens,) = run(
        engine, temperature=0, max_tokens=90, presence_penalty=2, constraint=only_letters
    )
    biases = dict.fromkeys(set(tokens), 2.0)
    (shifted,) = run(
        engine,
        temperature=0,
        max_tokens=90,
        presence_penalty=2,
        logit_bias=biases,
        constraint=only_letters,
    )
    assert shifted[-10:] == tokens[-10:], "all letters were used, so all are penalized alike"


@pytest.mark.parametrize("key", ["text", "id"])
def test_bias_of_a_token_decides(engine: LocalEngine, key: str) -> None:
    (id_,) = engine.model.tokenizer.continuation("z")
    bias = {"z" if key == "text" else str(id_): 100.0}
    assert run(engine, temperature=0, max_tokens=3, logit_bias=bias) == [["z"] * 3]


def test_bias_applies_to_a_control_token_by_its_text(engine: LocalEngine) -> None:
    assert run(engine, temperature=0, max_tokens=5, logit_bias={"<|im_end|>": 100.0}) == [[]]


def test_text_and_id_of_one_token_add_up(engine: LocalEngine) -> None:
    (id_,) = engine.model.tokenizer.continuation("z")
    assert engine.model.tokenizer.biases({"z": 1.0, str(id_): 2.0}) == {id_: 3.0}


def test_bias_by_text_names_the_token_without_a_space_in_sentencepiece(tiny_spm: Path) -> None:
    engine = LocalEngine(load_model(tiny_spm), n_threads=1)
    ((token, _),) = engine.model.tokenizer.biases({"z": 1.0}).items()
    assert engine.model.weights.render_piece(token, special=True) == b"z"
    engine.close()


@pytest.mark.parametrize(
    ("key", "message"),
    {
        "two tokens": ("hello?!z", r"'hello\?!z' is \d tokens \(.*\); pass the text or id of one"),
        "empty": ("", "'' is empty; pass the text or id of one token"),
        "id": ("9" * 5000, r"token ids of this model end at \d+"),
    }.values(),
    ids=["two tokens", "empty", "id"],
)
def test_bias_of_no_single_token_is_an_error(engine: LocalEngine, key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(engine, max_tokens=2, logit_bias={key: 1.0})
