"""How much of several conversations an engine computes, beside llama.cpp's server.

    python benchmarks/conversations.py [-m MODEL] [--server llama-server] [--conversations N]

Interleaves the turns of conversations at random: each turn is one request, which follows the reply
to the turn before it. Both engines get the same prompts, as text; the answers are fixed, so that
they do not depend on what an engine generates. Counts the prompt tokens that each computes, and
compares the time to the first token with that of a conversation alone.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtool import config
from llmtool.engine.types import Finished, Message, Prompt, Request, Sampling
from llmtool.toolbox import Toolbox

WORDS = "river market lantern bridge winter kitchen letter harbour garden engine".split()
SYSTEM = (
    "You are a careful assistant of a small town's library. Answer in plain words, name the book "
    "that you took an answer from, and say so if you do not know."
)
# A prompt to (all tokens, computed ones, seconds to the first token of the reply).
Ask = Callable[[Prompt], tuple[int, int, float]]


def make_text(seed: int, n_words: int) -> str:
    choose = random.Random(seed)
    return " ".join(choose.choice(WORDS) for _ in range(n_words)) + "."


def make_turn(conversation: int, turn: int) -> tuple[str, str]:
    """Return a question and its fixed answer."""
    seed = conversation * 100 + turn
    question = f"Question {turn} of reader {conversation}: {make_text(seed, 40)}"
    return question, make_text(-seed - 1, 30)


def make_prompts(n: int, turns: int) -> list[list[Prompt]]:
    """Return the prompts of each conversation; shape (n, turns)."""
    prompts = []
    for conversation in range(n):
        messages, found = [Message("system", SYSTEM)], []
        for turn in range(turns):
            question, answer = make_turn(conversation, turn)
            messages.append(Message("user", question))
            found.append(Prompt(messages=tuple(messages)))
            messages.append(Message("assistant", answer))
        prompts.append(found)
    return prompts


def make_order(n: int, turns: int, seed: int) -> list[tuple[int, int]]:
    """Return (conversation, turn) pairs in random order, the turns of each in sequence."""
    order = [conversation for conversation in range(n) for _ in range(turns)]
    random.Random(seed).shuffle(order)
    seen = [0] * n
    pairs = []
    for conversation in order:
        pairs.append((conversation, seen[conversation]))
        seen[conversation] += 1
    return pairs


def ask_engine(box: Toolbox, max_tokens: int) -> Ask:
    def ask(prompt: Prompt) -> tuple[int, int, float]:
        sampling = Sampling(temperature=0, max_tokens=max_tokens)
        request = Request(prompt=prompt, sampling=sampling, keep=True)
        started, first = time.perf_counter(), 0.0
        for event in box.engine.stream([request]):
            first = first or time.perf_counter() - started
            if isinstance(event, Finished):
                usage = event.usage
        return usage.prompt_tokens, usage.prompt_tokens - usage.cached_tokens, first

    return ask


def ask_server(port: int, max_tokens: int, render: Callable[[Prompt], str]) -> Ask:
    def ask(prompt: Prompt) -> tuple[int, int, float]:
        body = {"prompt": render(prompt), "n_predict": max_tokens, "temperature": 0, "stream": True}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/completion",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        started, first = time.perf_counter(), 0.0
        with urllib.request.urlopen(request) as reply:
            for line in reply:
                if not line.startswith(b"data: "):
                    continue
                first = first or time.perf_counter() - started
                event = json.loads(line[6:])
        timings = event["timings"]
        return timings["prompt_n"] + timings["cache_n"], timings["prompt_n"], first

    return ask


@contextmanager
def serve(server: str, model: Path, options: list[str]) -> Iterator[int]:
    """Run llama-server on a free port of the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [server, "-m", str(model), "--port", str(port), "--no-webui", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{server} ended") from None
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(name: str, ask: Ask, prompts: list[list[Prompt]], order: list[tuple[int, int]]) -> None:
    found = {pair: ask(prompts[pair[0]][pair[1]]) for pair in order}
    total = sum(each[0] for each in found.values())
    computed = sum(each[1] for each in found.values())
    later = [each[2] for (_, turn), each in found.items() if turn]
    per_turn = statistics.median(each[1] for (_, turn), each in found.items() if turn)
    print(
        f"{name:32} {total:8,} {computed:9,} {per_turn:9.0f} "
        f"{statistics.median(later) * 1000:9.0f} ms {max(later) * 1000:7.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--server", help="llama-server, which to compare with")
    parser.add_argument("--conversations", type=int, default=16)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=16, help="of a reply")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    n, turns = args.conversations, args.turns
    order = make_order(n, turns, args.seed)
    alone = [(0, turn) for turn in range(turns)]
    settings = config.Settings()

    def open_box() -> Toolbox:
        return Toolbox(args.model, settings=settings, prefix_cache=False)

    print(f"{'':32} {'prompts':>8} {'computed':>9} {'per turn':>9} {'first':>12} {'slowest':>10}")
    with open_box() as box:
        path = box.engine.model.weights.path  # type: ignore[attr-defined]

        prompts = make_prompts(n, turns)
        texts = {each: box.engine.tokenize(each).text for all in prompts for each in all}
        measure("llmtool, interleaved", ask_engine(box, args.max_tokens), prompts, order)
    with open_box() as box:
        measure("llmtool, one alone", ask_engine(box, args.max_tokens), prompts, alone)
    if args.server:
        for name, slots in (("", []), (", -np 16", ["-np", "16"])):
            with serve(args.server, path, ["-c", "32768", *slots]) as port:
                measure(
                    f"llama-server, interleaved{name}",
                    ask_server(port, args.max_tokens, texts.__getitem__),
                    prompts,
                    order,
                )
        with serve(args.server, path, ["-c", "32768"]) as port:
            measure(
                "llama-server, one alone",
                ask_server(port, args.max_tokens, texts.__getitem__),
                prompts,
                alone,
            )


if __name__ == "__main__":
    main()
