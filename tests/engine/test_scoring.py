"""Log-probabilities of candidates and of generated tokens equal those of the full logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.logprobs import LogSoftmax
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.llama.scoring_job import MAX_BRANCHES, ScoringJob, make_tree
from llmtool.engine.types import (
    Failed,
    Prompt,
    Request,
    Sampling,
    ScoreRequest,
    Scores,
    Token,
    TokenLogprob,
)
from llmtool.errors import ContextOverflow, UsageError

PROMPT = "the quick brown fox jumps over a lazy"
LABELS = (" dog", " dog and fox", " dog and the brown fox", " cat", " hello there", " hello you")


@pytest.fixture(scope="module", params=["plain", "swa", "recurrent", "hybrid"])
def engine(
    request: pytest.FixtureRequest, tiny_model: Callable[..., Path]
) -> Iterator[LocalEngine]:
    made = LocalEngine(load_model(tiny_model(request.param)), n_threads=1)
    yield made
    made.close()


def log_softmax(logits: Sequence[float]) -> list[float]:
    highest = max(logits)
    total = highest + math.log(math.fsum(math.exp(each - highest) for each in logits))
    return [each - total for each in logits]


def full_rows(weights: LlamaModel, prompt: Sequence[int], tail: Sequence[int]) -> list[list[float]]:
    """Return the log-probabilities after the prompt and after each token of the tail.

    Prompt and tail are decoded in one batch each.
    """
    context = Context(weights, n_ctx=256, n_threads=1, n_outputs=64, cancellation=Cancellation())
    lib, rows = weights._lib, []

    def read(row: int) -> None:
        logits = lib.llama_get_logits_ith(context._ctx, row)
        rows.append(log_softmax(logits[: weights.n_vocab]))

    context.prefill(prompt)
    read(-1)
    if tail:
        context.batch.clear()
        context.batch.add(tail, seq=0, pos=len(prompt), n_outputs=len(tail))
        context.decode()
        for i in range(len(tail)):
            read(i)
    context.close()
    return rows


def score(engine: LocalEngine, *candidates: str, prompt: str = PROMPT, end: bool = False) -> Scores:
    request = ScoreRequest(prompt=Prompt(text=prompt), candidates=candidates, end=end)
    (scores,) = engine.score([request])
    if isinstance(scores, Failed):
        raise scores.error
    return scores


@pytest.mark.parametrize("label", LABELS)
def test_scores_equal_those_of_full_logits(engine: LocalEngine, label: str) -> None:
    prompt = engine.tokenize(Prompt(text=PROMPT)).token_ids
    tail = engine.model.tokenizer.continuation(label)
    rows = full_rows(engine.model.weights, prompt, tail)
    ends = math.fsum(math.exp(rows[-1][token]) for token in engine.model.weights.end_tokens)
    expected = [row[token] for row, token in zip(rows, tail, strict=False)] + [math.log(ends)]
    (found,) = score(engine, label, end=True).logprobs
    assert found == pytest.approx(expected, abs=1e-4)


def test_scores_of_candidates_together_equal_those_alone(engine: LocalEngine) -> None:
    together = score(engine, *LABELS, end=True)
    alone = [score(engine, label, end=True).totals[0] for label in LABELS]
    # The batch sizes differ, so attention adds in another order.
    assert together.totals == pytest.approx(alone, abs=0.02)


def test_more_candidates_than_sequences_run_in_groups(engine: LocalEngine) -> None:
    many = [f" {a} {b}{c}" for a in "abcdef" for b in "klmnop" for c in ("", " x", " y")]
    ids = [engine.model.tokenizer.continuation(text) for text in many]
    assert make_tree(ids, end=True).n_branches > 3 * MAX_BRANCHES
    together = score(engine, *many, end=True)
    for text, tokens, found in list(zip(many, ids, together.logprobs, strict=True))[::7]:
        (alone,) = score(engine, text, end=True).logprobs
        assert len(found) == len(alone) == len(tokens) + 1
        assert found == pytest.approx(alone, abs=0.02)
    sequences = engine.contexts.sequences
    assert sequences is not None and sequences.n_free_cells == sequences.context.n_ctx


def test_scores_of_texts_together_equal_those_alone(engine: LocalEngine) -> None:
    texts = [f"{PROMPT} {word}" for word in ("dog", "fox", "hello there how are you", "a", "over")]
    requests = [
        ScoreRequest(id=i, prompt=Prompt(text=text), candidates=LABELS)
        for i, text in enumerate(texts)
    ]
    together = {each.id: each for each in engine.score(requests) if isinstance(each, Scores)}
    for i, text in enumerate(texts):
        alone = score(engine, *LABELS, prompt=text)
        assert together[i].totals == pytest.approx(alone.totals, abs=0.02)


def test_score_usage_counts_candidates_and_cached_tokens(
    engine: LocalEngine,
) -> None:
    prompt = Prompt(text="q" * 80, probe_text="q" * 79 + "k")
    candidates = ("a", "bzz", "bz")
    request = ScoreRequest(prompt=prompt, candidates=candidates)
    for cached in (0, 79):
        (scores,) = engine.score([request])
        assert isinstance(scores, Scores)
        n_tokens = sum(len(engine.model.tokenizer.continuation(text)) for text in candidates)
        usage = scores.usage
        assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (
            80, cached, n_tokens,
        )  # fmt: skip


def test_probabilities_of_all_tokens_sum_to_one(engine: LocalEngine) -> None:
    # All single-token continuations together.
    prompt = engine.tokenize(Prompt(text=PROMPT)).token_ids
    (row,) = full_rows(engine.model.weights, prompt, [])
    assert math.fsum(map(math.exp, row)) == pytest.approx(1, abs=1e-6)
    singles = [" dog", " fox", " over"]
    assert 0 < math.fsum(map(math.exp, score(engine, *singles).totals)) < 1


def test_candidate_may_be_as_long_as_the_context(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    (found,) = score(engine, " dog" * 900).logprobs
    assert len(found) > 1500
    engine.close()


def test_failed_score_request_does_not_affect_others(tiny: Path) -> None:
    engine = LocalEngine(load_model(tiny), n_threads=1)
    requests = [
        ScoreRequest(id=1, prompt=Prompt(text=PROMPT), candidates=(" a", "")),
        ScoreRequest(id=2, prompt=Prompt(text="hello " * 3000), candidates=(" a",)),
        ScoreRequest(id=3, prompt=Prompt(text=PROMPT), candidates=(" a", " b")),
    ]
    found = {each.id: each for each in engine.score(requests)}
    assert isinstance(found[1].error, UsageError)
    assert isinstance(found[2].error, ContextOverflow)
    assert isinstance(found[3], Scores)
    engine.close()


def test_sentencepiece_continuation_has_no_extra_space(tiny_spm: Path) -> None:
    engine = LocalEngine(load_model(tiny_spm), n_threads=1)
    whole = engine.model.weights.tokenize(b"hello there", add_special=False, parse_special=False)
    head = engine.model.weights.tokenize(b"hello", add_special=False, parse_special=False)
    assert [*head, *engine.model.tokenizer.continuation(" there")] == whole
    engine.close()


def test_candidate_tree_shares_common_prefixes() -> None:
    # 1 2 3, 1 2 4 and 5: tokens 1 and 2 are computed once; leaves are not computed.
    tree = make_tree([(1, 2, 3), (1, 2, 4), (5,)], end=False)
    assert (tree.n_tokens, tree.n_branches) == (2, 1)
    ending = make_tree([(1, 2, 3), (1, 2, 4), (5,)], end=True)
    assert (ending.n_tokens, ending.n_branches) == (5, 3)


@pytest.mark.parametrize(
    ("end", "n_seq"), [(False, 1), (True, MAX_BRANCHES + 1)], ids=["without ends", "with ends"]
)
def test_single_token_candidates_run_in_groups_if_their_ends_are_scored(
    engine: LocalEngine, end: bool, n_seq: int
) -> None:
    # Without its end, a label of one token is read from the last row of the prompt.
    ids = {engine.model.tokenizer.continuation(chr(c)): chr(c) for c in range(0x21, 0x7F)}
    labels = tuple(text for tokens, text in ids.items() if len(tokens) == 1)[: 2 * MAX_BRANCHES]
    assert len(labels) > MAX_BRANCHES
    job = ScoringJob(
        engine.model, ScoreRequest(prompt=Prompt(text=PROMPT), candidates=labels, end=end)
    )
    assert job.n_seq == n_seq


def generate_with_logprobs(engine: LocalEngine, **sampling: object) -> list[TokenLogprob]:
    request = Request(
        prompt=Prompt(text=PROMPT),
        sampling=Sampling(max_tokens=8, logprobs=3, **sampling),  # type: ignore[arg-type]
    )
    events = [event for event in engine.stream([request]) if isinstance(event, Token)]
    return [event.logprob for event in events if event.logprob]


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 2, "seed": 3}], ids=str)
def test_reply_logprobs_equal_those_of_full_logits(
    engine: LocalEngine, sampling: dict[str, float]
) -> None:
    engine.contexts.close()  # a cached prompt would be computed in other batches
    found = generate_with_logprobs(engine, **sampling)
    assert len(found) == 8
    context = Context(engine.model.weights, n_ctx=512, n_threads=1, cancellation=Cancellation())
    context.prefill(engine.tokenize(Prompt(text=PROMPT)).token_ids)
    pieces = {
        engine.model.weights.render_piece(t, special=True): t
        for t in range(engine.model.weights.n_vocab)
    }
    for each in found:
        logits = engine.model.weights._lib.llama_get_logits_ith(context._ctx, -1)
        row = log_softmax(logits[: engine.model.weights.n_vocab])
        token = pieces[bytes(each.bytes)]
        assert each.logprob == pytest.approx(row[token], abs=1e-4)
        best = sorted(row, reverse=True)[:3]
        assert [other.logprob for other in each.top] == pytest.approx(best, abs=1e-4)
        assert all(
            row[pieces[bytes(t.bytes)]] == pytest.approx(t.logprob, abs=1e-4) for t in each.top
        )
        context.prefill([token], pos=context.length(0))
    context.close()


def test_softmax_of_a_row_is_exact(starter: Path) -> None:
    weights = LlamaModel(starter, n_gpu_layers=0, cancellation=Cancellation())
    context = Context(weights, n_ctx=64, n_threads=1, cancellation=Cancellation())
    softmax = LogSoftmax(weights)
    row = context.prefill(weights.tokenize(b"The sky is", add_special=True, parse_special=False))
    softmax.read(context, row)
    logits = weights._lib.llama_get_logits_ith(context._ctx, row)[: weights.n_vocab]
    expected = log_softmax(logits)
    assert softmax.of(range(0, weights.n_vocab, 97)) == pytest.approx(expected[::97], abs=1e-6)
    for _ in range(2):  # `top` does not change the row
        top = softmax.top(4)
        assert [t for t, _ in top] == sorted(range(weights.n_vocab), key=lambda t: -logits[t])[:4]
        assert [p for _, p in top] == pytest.approx([expected[t] for t, _ in top], abs=1e-6)
    softmax.close()
