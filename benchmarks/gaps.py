"""How long a long prompt stops the replies that are running.

    python benchmarks/gaps.py [-m MODEL] [--replies N] [--prompt TOKENS]

Starts replies, then a request with a long prompt, and reports the time between two tokens of the
replies, alone and beside the prompt, with the chunks that the engine chooses and with full batches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from unittest.mock import patch

from llmtool import config
from llmtool.engine.llama.scheduler import ChunkSize
from llmtool.engine.types import Finished, Prompt, Request, Sampling, Token
from llmtool.toolbox import Toolbox

N_ALONE = 20  # tokens of the replies before the prompt arrives


def measure(box: Toolbox, n_replies: int, n_prompt: int) -> tuple[list[float], list[float], float]:
    """Return the gaps alone and beside the prompt, and the seconds to its first token."""
    sampling = Sampling(temperature=0, max_tokens=1000)
    text = f"{time.perf_counter()} " + "river market lantern " * (n_prompt // 3)
    arrived = 0.0
    last: dict[int, float] = {}
    alone: list[float] = []
    beside: list[float] = []

    def arrive() -> Iterator[Request | None]:
        nonlocal arrived
        for id in range(n_replies):
            prompt = Prompt(text=f"Write a long story about {id} cats.")
            yield Request(id=id, prompt=prompt, sampling=sampling)
        while len(alone) < N_ALONE * n_replies:
            yield None
        arrived = time.perf_counter()
        yield Request(id=n_replies, prompt=Prompt(text=text), sampling=Sampling(max_tokens=1))

    events = box.engine.stream(arrive())
    for event in events:
        now = time.perf_counter()
        if event.id == n_replies:
            if isinstance(event, Finished):
                break
        elif isinstance(event, Token):
            if event.id in last:
                (beside if arrived else alone).append(now - last[event.id])
            last[event.id] = now
    seconds = time.perf_counter() - arrived
    events.close()  # type: ignore[attr-defined]
    return alone, beside, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--replies", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=1500, help="tokens")
    args = parser.parse_args()
    print(f"{'':8} {'alone':>9} {'beside':>9} {'longest':>9} {'prompt':>9}")
    with Toolbox(args.model, settings=config.Settings(), prefix_cache=False) as box:
        for name in ("chunks", "batches"):
            with patch.object(
                ChunkSize, "size", ChunkSize.size if name == "chunks" else lambda _, n, **__: n
            ):
                alone, beside, seconds = measure(box, args.replies, args.prompt)
            times = statistics.median(alone), statistics.median(beside), max(beside), seconds
            print(f"{name:8} " + " ".join(f"{each:7.3f} s" for each in times))


if __name__ == "__main__":
    main()
