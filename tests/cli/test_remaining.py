"""The time left of a batch."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmtool.cli.render.remaining import estimate_seconds
from llmtool.engine.types import StreamProgress


def timed(n_parallel: int, *, step_seconds: float = 1, **counters: Any) -> StreamProgress:
    return StreamProgress(n_parallel=n_parallel, step_seconds=step_seconds, **counters)


# The counters, the replies to come, and the seconds.
CASES = {
    "nothing timed": (StreamProgress(n_replies=9, running=((0, 50),)), 0, None),
    "no reply": (timed(1, n_replies=9), 0, None),
    "all complete": (timed(4, n_replies=3, finished={20: 3}), 0, (0, 0)),
    "none complete": (  # one more round of two, which have 10 to 50 tokens
        timed(2, n_replies=4, running=((10, 50), (10, 50))),
        0,
        (10, 90),
    ),
    "all of them as long": (
        timed(1, n_replies=4, running=((15, 50),), finished={50: 3}),
        0,
        (35, 35),
    ),
    "half of them short": (  # 10, 20, 10, 20, 10, 10, 20, 10
        timed(2, n_replies=4, finished={10: 2, 20: 2}, step_seconds=0.5),
        8,
        (30, 30),
    ),
    "long replies in progress": (  # the next have 10, 30 or up to 90, and 10
        timed(3, n_replies=3, running=((30, 90), (30, 90)), finished={10: 1}, step_seconds=3),
        3,
        (90, 300),
    ),
    "prompts": (  # each takes two seconds to read
        timed(1, n_replies=4, running=((5, 10),), finished={10: 3}, read_seconds=8),
        2,
        (29, 29),
    ),
    "first wave": (  # 16 together need four times as long per step as 2
        timed(2, n_replies=16, running=((10, 20), (0, 20)), max_parallel=32),
        0,
        (40, 80),
    ),
    "many": (
        timed(10, n_replies=10, finished={10: 10}),
        1000,
        (1000, 1000),
    ),
}


@pytest.mark.parametrize(("progress", "n_new", "seconds"), CASES.values(), ids=CASES)
def test_least_and_greatest_time_left(
    progress: StreamProgress, n_new: int, seconds: tuple[float, float] | None
) -> None:
    assert estimate_seconds(progress, n_new) == pytest.approx(seconds)


@pytest.mark.parametrize("seed", range(3))
def test_time_left_is_right_throughout_a_batch(seed: int) -> None:
    rng = random.Random(seed)
    waiting = [min(100, 10 + int(rng.expovariate(1 / 25))) for _ in range(200)]
    progress = timed(16, n_replies=len(waiting), step_seconds=0.1, finished={})
    running: list[list[int]] = []  # length so far, and of the complete reply
    estimates = []
    n_steps = 0
    while waiting or running:
        running += [[0, waiting.pop()] for _ in range(min(16 - len(running), len(waiting)))]
        for reply in running:
            reply[0] += 1
        for _, length in (reply for reply in running if reply[0] == reply[1]):
            progress.add_reply(length)
        running = [reply for reply in running if reply[0] < reply[1]]
        progress.running = tuple((length, 100) for length, _ in running)
        n_steps += 1
        estimates.append(estimate_seconds(progress, 0))
    for step, (least, most) in enumerate(estimates, 1):
        left = (n_steps - step) * 0.1
        assert 0.7 * least - 4 <= left <= 1.3 * most + 4, step
        if step > n_steps / 3:
            assert most <= 1.25 * least + 4, step
