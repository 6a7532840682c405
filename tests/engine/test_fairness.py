"""How many tokens of prompts are computed beside replies."""

from __future__ import annotations

import random

import pytest

from llmtool.engine.llama.fairness import ChunkSize

N_BATCH = 512


def run_server(chunks: ChunkSize, *, n_clients: int, per_token: float, per_reply: float) -> None:
    """Simulate steps of a server whose clients send a new prompt after each reply."""
    random_numbers = random.Random(n_clients)
    prompts, replies = [random_numbers.randrange(40, 100) for _ in range(n_clients)], list[int]()
    for _ in range(500):
        n_max = chunks.size(N_BATCH, n_replies=len(replies)) if replies else N_BATCH
        n_read, n_replies = 0, len(replies)
        replies = [left - 1 for left in replies if left > 1]
        n_ended = n_replies - len(replies)
        while prompts and n_read < n_max:
            n_tokens = min(prompts[0], n_max - n_read)
            n_read += n_tokens
            prompts[0] -= n_tokens
            if not prompts[0]:
                del prompts[0]
                replies.append(random_numbers.randrange(20, 40))
        prompts += [random_numbers.randrange(40, 100) for _ in range(n_ended)]
        noise = random_numbers.uniform(0.95, 1.05)
        seconds = (per_token * n_read + per_reply * n_replies) * noise
        chunks.measure(seconds, n_read=n_read, n_replies=n_replies)


@pytest.mark.parametrize("n_clients", [2, 8, 32, 64])
def test_chunk_takes_the_gap_beside_any_number_of_replies(n_clients: int) -> None:
    # With 32 clients, no step has replies only.
    chunks = ChunkSize()
    run_server(chunks, n_clients=n_clients, per_token=0.0025, per_reply=0.004)
    assert chunks.size(N_BATCH, n_replies=n_clients) == pytest.approx(
        max(0.2, 0.004 * n_clients) / 0.0025, rel=0.2
    )


def test_chunk_follows_a_change_of_speed() -> None:
    chunks = ChunkSize()
    run_server(chunks, n_clients=8, per_token=0.001, per_reply=0.002)
    run_server(chunks, n_clients=8, per_token=0.004, per_reply=0.008)
    assert chunks.size(N_BATCH, n_replies=8) == pytest.approx(0.2 / 0.004, rel=0.2)


def test_long_reply_leaves_the_speed_of_prompts() -> None:
    chunks = ChunkSize()
    chunks.measure(0.5, n_read=250, n_replies=0)
    for _ in range(10_000):
        chunks.measure(0.01, n_read=0, n_replies=1)
    assert chunks.size(N_BATCH, n_replies=1) == pytest.approx(100, abs=1)


def test_first_chunk_and_limits() -> None:
    chunks = ChunkSize()
    assert chunks.size(N_BATCH, n_replies=1) == 64
    chunks.measure(0.0, n_read=500, n_replies=0)
    assert chunks.size(N_BATCH, n_replies=1) == N_BATCH
    chunks.measure(500.0, n_read=500, n_replies=0)
    assert chunks.size(N_BATCH, n_replies=1) == 16
