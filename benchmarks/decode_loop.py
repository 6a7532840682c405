"""Our decoding of one reply compared with a bare llama.cpp loop: `llama_decode`, greedy sampler.

    python benchmarks/decode_loop.py [--model FILE.gguf] [--replies 5] [--depth 100 1000]

Both use the same prompt tokens, context size, threads and flash attention, and alternate in one
process, block of tokens by block, changing who goes first, so that drifts in machine speed cancel
out. Prints tokens per second (of the median block), the ratio of the medians, and the median ratio
of adjacent blocks. Target: 0.97.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from contestants import find_model

os.environ.setdefault("GOMP_SPINCOUNT", "4000")  # like the command, for both sides

from llmtool.engine.llama.bindings import bindings
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Finished, Prompt, Request, Sampling

TEXT = "The river rose during the night, and by morning the lower meadow was under water. "
BLOCK = 8  # tokens


class Bare:
    """A model and a context driven by the C API only."""

    def __init__(self, model: Path, *, n_ctx: int, n_threads: int) -> None:
        lib = self.lib = bindings()
        self.model = lib.llama_model_load_from_file(
            os.fsencode(model), lib.llama_model_default_params()
        )
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = n_threads
        params.no_perf = True
        self.context = lib.llama_init_from_model(self.model, params)
        self.sampler = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        lib.llama_sampler_chain_add(self.sampler, lib.llama_sampler_init_greedy())

    def tokens(self, prompt: tuple[int, ...], n: int) -> Iterator[None]:
        """Yield after each of `n` tokens; the first includes the prefill."""
        lib, context, sampler = self.lib, self.context, self.sampler
        lib.llama_memory_clear(lib.llama_get_memory(context), False)
        for at in range(0, len(prompt), 512):
            chunk = prompt[at : at + 512]
            ids = (ctypes.c_int32 * len(chunk))(*chunk)
            lib.llama_decode(context, lib.llama_batch_get_one(ids, len(chunk)))
        ids = (ctypes.c_int32 * 1)(lib.llama_sampler_sample(sampler, context, -1))
        yield
        for _ in range(n - 1):
            lib.llama_decode(context, lib.llama_batch_get_one(ids, 1))
            ids[0] = lib.llama_sampler_sample(sampler, context, -1)
            yield


class Ours:
    """Our engine."""

    def __init__(self, model: Path, *, n_threads: int | None) -> None:
        weights = load_model(model, n_gpu_layers=0)
        self.engine = LocalEngine(weights, n_threads=n_threads, n_parallel=1, draft="off")

    def prompt(self, depth: int) -> tuple[Prompt, tuple[int, ...]]:
        text = TEXT * (depth // 8)
        words = text.split(" ")
        count = depth
        while True:
            prompt = Prompt(text=" ".join(words[:count]))
            ids = self.engine.tokenize(prompt).token_ids
            if len(ids) <= depth:
                return prompt, ids
            count -= max(1, (len(ids) - depth) // 2)

    def tokens(self, prompt: Prompt, n: int) -> Iterator[None]:
        request = Request(prompt=prompt, sampling=Sampling(temperature=0, max_tokens=n))
        n_events = 0
        for event in self.engine.stream([request]):
            if isinstance(event, Finished):
                # Tokens that are parts of a character make no event: allow a few.
                if event.usage.completion_tokens != n or n_events < 0.95 * n:
                    raise SystemExit(
                        f"{event.usage.completion_tokens} of {n} tokens in {n_events} pieces: "
                        "use a model whose greedy replies do not end, or fewer --tokens"
                    )
                return
            n_events += 1
            yield


class Blocks(NamedTuple):
    """Seconds of adjacent blocks of tokens."""

    bare: list[float]
    ours: list[float]


def alternate(
    bare: Callable[[], Iterator[None]], ours: Callable[[], Iterator[None]], n: int, replies: int
) -> Blocks:
    """Generate replies of `n` tokens on both sides, alternating block by block."""
    found = Blocks([], [])
    for _ in range(replies):
        sides = [(bare(), found.bare), (ours(), found.ours)]
        for tokens, _seconds in sides:
            next(tokens)  # the prompt
        for _block in range((n - 1) // BLOCK):
            for tokens, seconds in sides:
                started = time.perf_counter()
                for _ in range(BLOCK):
                    next(tokens, None)
                seconds.append(time.perf_counter() - started)
            sides.reverse()
        for tokens, _seconds in sides:
            for _ in tokens:
                pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--depth", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--tokens", type=int, default=129, help="tokens per reply")
    parser.add_argument("--replies", type=int, default=5)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    model = find_model(args.model)
    print(f"{model.name}: {args.replies} replies of {args.tokens} tokens, in blocks of {BLOCK}")
    print(f"{'depth':>6} {'n_ctx':>6} {'bare':>7} {'ours':>7}   ratio       adjacent")
    for depth in args.depth:
        ours = Ours(model, n_threads=args.threads)
        prompt, ids = ours.prompt(depth)
        for _ in ours.tokens(prompt, args.tokens):  # creates the context
            pass
        info = ours.engine.info
        bare = Bare(model, n_ctx=info.n_cells, n_threads=info.n_threads)
        found = alternate(
            partial(bare.tokens, ids, args.tokens),
            partial(ours.tokens, prompt, args.tokens),
            args.tokens,
            args.replies,
        )
        bare_s, ours_s = statistics.median(found.bare), statistics.median(found.ours)
        pairs = [b / o for b, o in zip(found.bare, found.ours, strict=True)]
        print(
            f"{len(ids):6} {info.n_cells:6} {BLOCK / bare_s:7.1f} {BLOCK / ours_s:7.1f} "
            f"{bare_s / ours_s:7.3f} {statistics.median(pairs):14.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
