"""Requests that run together in one pool of cells and in separate streams, and their estimates.

    python benchmarks/streams.py [--model FILE.gguf] [--case SEQUENCES,SHARED,OWN …] [--reply 16]

A case is a number of sequences, the tokens of their common prefix, and the tokens that each prompt
adds. Prints milliseconds of one core for a token of a prompt and of a reply in both modes, the
time that streams save for a whole request, the same as `AttentionCost` estimates it, and its
choice. Prompts and replies are computed in batches of their own, as the scheduler does in a pool.
One thread computes, and processor time is measured, so the machine need not be idle.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from contestants import find_model

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.attention_cost import AttentionCost, Lengths
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.models.gguf.memory import kv_bytes
from llmtool.models.gguf.reader import read_header

CASES = ["4,40,32", "16,0,72", "16,40,32", "32,40,32", "64,40,32", "16,500,32", "16,500,128"]
STEPS = 5


def cpu_ms(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return (time.process_time() - started) * 1e3


class Run:
    """One case in one mode: milliseconds per token of a prompt and of a reply."""

    def __init__(
        self, model: LlamaModel, n_seq: int, shared: int, own: int, reply: int, *, separate: bool
    ) -> None:
        self.n_cells = -(-(shared + own + reply) // 256) * 256  # of one stream
        n_ctx = (n_seq + 1) * self.n_cells if separate else shared + n_seq * (own + reply)
        self._context = context = Context(
            model,
            n_ctx=n_ctx,
            n_threads=1,
            n_seq=n_seq + 1,
            separate_streams=separate,
            n_outputs=n_seq,
            cancellation=Cancellation(),
        )
        self._sequences, self._shared, self._own = range(1, n_seq + 1), shared, own
        if shared:
            context.prefill(self._tokens(0, shared))
        self.prompt_ms = cpu_ms(self._prefill) / (n_seq * own)
        self._step(0)
        self.reply_ms = min(cpu_ms(lambda at=at: self._step(at)) for at in range(1, STEPS)) / n_seq
        context.close()

    def _tokens(self, seq: int, n: int) -> list[int]:
        return [100 + (7 * seq + i) % 5000 for i in range(n)]

    def _prefill(self) -> None:
        """Compute the prompts in batches of up to 512 tokens, after copies of the prefix."""
        context = self._context
        context.batch.clear()
        for seq in self._sequences:
            if self._shared:
                context.copy(0, seq)
            if context.batch.n_free < self._own:
                context.decode()
                context.batch.clear()
            tokens = self._tokens(seq, self._own)
            context.batch.add(tokens, seq=seq, pos=self._shared, n_outputs=1)
        context.decode()

    def _step(self, at: int) -> None:
        context = self._context
        context.batch.clear()
        for seq in self._sequences:
            pos = self._shared + self._own + at
            context.batch.add(self._tokens(seq + at, 1), seq=seq, pos=pos, n_outputs=1)
        context.decode()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--case", nargs="+", default=CASES)
    parser.add_argument("--reply", type=int, default=16)
    args = parser.parse_args()
    path = find_model(args.model)
    model, header = load_model(path), read_header(path)
    cost = AttentionCost(
        n_heads=sum(header.head_count or ()),
        head_size=header.key_length or 64,
        cell_bytes=kv_bytes(header, 256) / 256,
        n_weights=header.n_params,
    )
    print(f"{path.name}, milliseconds of one core")
    print("sequences  shared   own  prompt: pool streams  reply: pool streams   saved estimate")
    for case in args.case:
        n_seq, shared, own = map(int, case.split(","))
        pool = Run(model, n_seq, shared, own, args.reply, separate=False)
        streams = Run(model, n_seq, shared, own, args.reply, separate=True)
        saved = own * (pool.prompt_ms - streams.prompt_ms)
        saved += args.reply * (pool.reply_ms - streams.reply_ms)
        requests = [Lengths(own, args.reply)] * n_seq
        estimate = cost.pool(requests, shared=shared)
        estimate -= cost.streams(requests, shared=shared, n_cells=streams.n_cells)
        estimate /= n_seq * 1e6
        print(
            f"{n_seq:9} {shared:7} {own:5} {pool.prompt_ms:13.3f} {streams.prompt_ms:7.3f} "
            f"{pool.reply_ms:12.2f} {streams.reply_ms:7.2f} {saved:7.1f} {estimate:8.1f}  "
            f"{'streams' if estimate > 0 else 'pool'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
