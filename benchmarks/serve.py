"""`llmtool serve` beside llama.cpp's server: throughput and time to the first token.

    python benchmarks/serve.py --server llama-server [-m FILE.gguf] [--clients 16 32] [--quick]

Each client streams one greedy completion of 16 tokens after another. The servers get the same
prompts, in alternating rounds, and wait while the other one runs. Cases:

    short    72 tokens, of which 40 are the same in all prompts
    long    532 tokens, of which 500 are the same in all prompts
    new     as `long`, but each round has another text of 500 tokens

llama-server gets one slot per client, and separate streams or one pool of cells (`--pool`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from contestants import find_model

WORDS = "river market bridge winter kitchen letter garden engine music paper water stone".split()


class Case(NamedTuple):
    """The tokens that prompts share, those that each adds, and whether rounds share a text."""

    shared: int
    own: int
    is_new: bool = False


CASES = {"short": Case(40, 32), "long": Case(500, 32), "new": Case(500, 32, is_new=True)}


class Result(NamedTuple):
    """One round: tokens of replies per second, and seconds to the first token of each request."""

    throughput: float
    first: list[float]
    cpu_seconds: float


def make_text(seed: int, n_words: int) -> str:
    """Return a text of words that are one token each."""
    choose = random.Random(seed)
    return "".join(f" {choose.choice(WORDS)}" for _ in range(n_words))


def make_prompts(case: Case, round: int, n: int) -> list[str]:
    shared = make_text(round + 1 if case.is_new else 0, case.shared)
    return [shared + make_text(1000 * (round + 1) + i, case.own) for i in range(n)]


async def ask(port: int, prompt: str, n_tokens: int) -> tuple[float, int]:
    """Stream a completion; return the seconds to its first token, and the number of tokens."""
    body = {
        "prompt": prompt,
        "max_tokens": n_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    data = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    started, first, usage = time.perf_counter(), 0.0, {}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + data)
        async for line in reader:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter() - started
                if b'"usage"' in line:
                    usage = json.loads(line[6:]).get("usage") or usage
    finally:
        writer.close()
    if not usage:
        raise SystemExit("a server did not finish a reply")
    return first, usage["completion_tokens"]


async def run_clients(
    port: int, prompts: list[list[str]], n_tokens: int
) -> tuple[float, list[tuple[float, int]]]:
    """Send the prompts of each client; return the seconds, and what `ask` returned."""

    async def run(prompts: list[str]) -> list[tuple[float, int]]:
        return [await ask(port, prompt, n_tokens) for prompt in prompts]

    started = time.perf_counter()
    found = await asyncio.gather(*map(run, prompts))
    return time.perf_counter() - started, [each for replies in found for each in replies]


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the processor time of a process; 0 where /proc is missing."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    server: tuple[subprocess.Popen[bytes], int], prompts: list[list[str]], n_tokens: int
) -> Result:
    process, port = server
    before = cpu_seconds(process)
    seconds, replies = asyncio.run(run_clients(port, prompts, n_tokens))
    throughput = sum(n for _, n in replies) / seconds
    return Result(throughput, [first for first, _ in replies], cpu_seconds(process) - before)


@contextmanager
def serve(command: list[str], health: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a server on a free port of the loopback address; yield its process and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*command, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{health}").close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} ended") from None
                time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-m", "--model", type=Path)
    parser.add_argument("--server", help="llama-server, which to compare with")
    parser.add_argument("--pool", action="store_true", help="llama-server with one pool of cells")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--clients", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--requests", type=int, default=4, help="of each client in a round")
    parser.add_argument("--reply", type=int, default=16, help="tokens of a reply")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds of two requests")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.requests = 2, 2
    model = str(find_model(args.model))
    print(f"{Path(model).name}, {args.threads} threads; medians of {args.rounds} rounds")
    print("case  clients  server          tokens/s   first token: median    90 %   CPU s/round")
    for n_clients in args.clients:
        for name in args.case:
            compare(args, model, name, n_clients)


def compare(args: argparse.Namespace, model: str, name: str, n_clients: int) -> None:
    """Print one case with a number of clients."""
    case = CASES[name]
    n_ctx = -(-(case.shared + case.own + args.reply) // 256) * 256
    ours = [sys.executable, "-m", "llmtool", "serve", "-m", model, "--threads", str(args.threads)]
    with ExitStack() as stack:
        servers = {"llmtool": stack.enter_context(serve(ours, "/v1/models"))}
        if args.server:
            theirs = [
                *(args.server, "-m", model, "--threads", str(args.threads), "--no-webui"),
                *("--parallel", str(n_clients), "--ctx-size", str(n_ctx * n_clients)),
                "--kv-unified" if args.pool else "--no-kv-unified",
            ]
            servers["llama-server"] = stack.enter_context(serve(theirs, "/health"))
        results: dict[str, list[Result]] = {server: [] for server in servers}
        for round in range(args.rounds + 1):
            prompts = [
                make_prompts(case, 100 * round + client, args.requests)
                if not case.is_new
                else make_prompts(case, round, n_clients * args.requests)[client::n_clients]
                for client in range(n_clients)
            ]
            names = list(servers) if round % 2 else list(reversed(servers))
            for server in names:
                result = measure(servers[server], prompts, args.reply)
                if round:  # the first one warms up
                    results[server].append(result)
    for server, found in results.items():
        first = [each for result in found for each in result.first]
        print(
            f"{name:6} {n_clients:6}  {server:12} "
            f"{statistics.median(each.throughput for each in found):11.1f} "
            f"{statistics.median(first):20.3f} s "
            f"{statistics.quantiles(first, n=10)[-1]:7.3f} s "
            f"{statistics.median(each.cpu_seconds for each in found):8.2f}"
        )
    if args.server:
        pairs = zip(results["llmtool"], results["llama-server"], strict=True)
        ratios = [ours.throughput / theirs.throughput for ours, theirs in pairs]
        firsts = [
            statistics.median(ours.first) / statistics.median(theirs.first)
            for ours, theirs in zip(results["llmtool"], results["llama-server"], strict=True)
        ]
        print(
            f"{name:6} {n_clients:6}  ratio of pairs {statistics.median(ratios):8.2f} "
            f"{statistics.median(firsts):20.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
