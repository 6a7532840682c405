"""How much of a conversation each turn computes, and the time that saves.

    python benchmarks/chat.py [-m MODEL] [--turns N]

Sends the same turns to a chat that reuses its KV cache, and to one whose cache is cleared before
each turn, like a tool that sends the whole conversation every time. Then interrupts replies with
SIGINT and resumes the session from disk.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

from llmtool import config
from llmtool.errors import Cancelled
from llmtool.sessions.store import Sessions
from llmtool.tasks.chat.chat import Chat
from llmtool.tasks.options import ChatOptions, SamplingOptions
from llmtool.toolbox import Toolbox

WORDS = "river market lantern bridge winter kitchen letter harbour garden engine".split()


def question(i: int) -> str:
    word = WORDS[i % len(WORDS)]
    return f"Tell me something about a {word} in a small town, as short as you can. ({i})"


def ask(chat: Chat, text: str) -> tuple[float, float, int]:
    """Return (seconds to the first token, computed prompt tokens, all prompt tokens)."""
    began, first = time.perf_counter(), 0.0
    for _ in chat.stream(text):
        if not first:
            first = time.perf_counter() - began
    turn = chat.turns[-1]
    return first, turn.prompt_tokens - turn.cached_tokens, turn.prompt_tokens


def stop_seconds(chat: Chat, box: Toolbox, after: float) -> float:
    """Return the seconds until a reply ends after SIGINT."""
    sent: list[float] = []

    def interrupt() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, lambda number, _: box.cancellation.cancel(number))
    timer = threading.Timer(after, interrupt)
    timer.start()
    try:
        chat.say("Write a long story about all of it.")
    except Cancelled:
        pass
    timer.cancel()
    box.cancellation.reset()
    return time.perf_counter() - sent[0] if sent else 0.0  # the reply had already ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--turns", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folders = config.Folders(
            **{name: Path(folder, name) for name in ("config", "data", "cache", "hub_cache")}
        )
        store = Sessions(folders.data / "sessions")

        def open_box() -> Toolbox:
            return Toolbox(args.model, folders=folders, settings=config.Settings())

        rows = []
        with open_box() as box, open_box() as other:
            options = ChatOptions(sampling=SamplingOptions(temperature=0.0, max_tokens=48))
            with (
                Chat(box.context, options, session="cached", store=store) as cached,
                Chat(other.context, options, session="full") as full,
            ):
                for i in range(args.turns):
                    first, computed, total = ask(cached, question(i))
                    sequences = other.engine.contexts.sequences
                    if sequences is not None:
                        sequences.evict_all()
                        sequences.cache.entries.clear()
                    slow, _, _ = ask(full, question(i))
                    rows.append((i + 1, total, computed, first, slow))
                cached.set(max_tokens=2000)
                stops = [stop_seconds(cached, box, after) for after in (0.05, 0.3, 0.6, 1.0, 1.5)]
                cached.save_state()
        print("turn  prompt  computed  first token  full    ratio")
        for turn, total, computed, first, slow in rows:
            ratio = slow / first
            print(f"{turn:4}  {total:6}  {computed:8}  {first:9.3f} s  {slow:.3f} s  {ratio:.1f}")
        middle = statistics.median(stops)
        print(f"stopped after SIGINT within {max(stops):.3f} s (median {middle:.3f})")
        with (
            open_box() as box,
            Chat(box.context, options, session="cached", store=store) as resumed,
        ):
            first, computed, total = ask(resumed, question(99))
        print(f"resumed: {computed} of {total} tokens computed, first token {first:.3f} s")


if __name__ == "__main__":
    main()
