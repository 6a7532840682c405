"""Batches compared with llama-server, and with the ideal computed from llama-batched-bench.

    python benchmarks/server.py BIN [--model FILE.gguf …] [--rounds 2] [--quick]

BIN is the folder of `llama-server` and `llama-batched-bench`, built from the same sources as the
bindings (9 minutes on two cores):

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36
    tar xzf llama_cpp_python-0.3.36.tar.gz && cd llama_cpp_python-0.3.36/vendor/llama.cpp
    cmake -B build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF
    cmake --build build -j --target llama-server llama-batched-bench      # BIN is build/bin

`--model` may be repeated; the default is the starter model at Q4_0 (`make_model.py`).

    short      200 prompts of about 70 tokens, of which 40 are shared; 16 greedy tokens each
    long       64 prompts that share 500 tokens; 16 greedy tokens each
    classify   80 labels of `classify.py`, out of five, after a shared prefix of 110 tokens

All contestants get the same prompts. `llmtool` is one command, from exec to exit (in `classify` one
call of the engine, after loading). `llama-server` has 16 or 32 slots, twice as many connections,
`cache_prompt`, and for labels a grammar; it is started for each measurement, and loading and a
first request are not counted. The ideal is the time of `llama-batched-bench` for the prompts' own
tokens, the shared ones once, and 16 steps of decoding, with separate streams or one pool and 16 or
32 sequences, whichever is best; it does not load, tokenize, sample or detokenize.

The rounds alternate between the contestants and change their order. Prints records per second
(median), and the median over the rounds of our speed divided by that of the others. Targets: 0.95
of the ideal, and 1.05 (`long`: 1.5) of the better llama-server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import classify

INSTRUCTION = "Name the main topic of this text in a few words"
RULES = (
    "A report from the valley, with notes about the weather, the road, the harvest and the people "
    "who live there, was read aloud at the meeting. Nobody objected to its first part. "
)
TEXTS = (
    "The home team won after extra time, although it had lost two players before the break.",
    "Snow is expected above a thousand metres, and the pass may be closed by the evening.",
    "The bank raised its interest rates again, for the third time since the new year began.",
    "A new vaccine protects children for life, according to a study from three countries.",
    "The night train to the coast is back, with new beds and a dining car at the weekend.",
    "Inflation eats up the pay rise that the union fought for in the spring.",
)
SLOTS = (16, 32)
REPLY = 16  # tokens


class Task(NamedTuple):
    """Records for `gen`: an instruction and one text per record."""

    name: str
    instruction: str
    n_records: int

    @property
    def texts(self) -> list[str]:
        # The numbers come first, so that a text shares nothing with an earlier one.
        return [f"{i}. {TEXTS[i % len(TEXTS)]}" for i in range(self.n_records)]


class Counts(NamedTuple):
    """Tokens of all records: prompts, their common prefix, replies."""

    prompt: int
    shared: int
    reply: int


class Server:
    """A running llama-server."""

    def __init__(self, folder: Path, model: Path, *, n_slots: int, n_ctx: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            *(str(folder / "llama-server"), "-m", str(model), "--port", str(self.port)),
            *("-np", str(n_slots), "-c", str(n_slots * n_ctx), "-t", str(n_threads())),
            *("--threads-http", str(2 * n_slots + 4)),  # one for each connection
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.n_slots = n_slots
        deadline = time.monotonic() + 120
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise SystemExit(f"llama-server did not start: {' '.join(command)}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def post(self, connection: http.client.HTTPConnection, path: str, body: object) -> dict:
        connection.request(
            "POST", path, json.dumps(body), headers={"Content-Type": "application/json"}
        )
        reply = json.loads(connection.getresponse().read())
        if "error" in reply:
            raise SystemExit(f"llama-server: {reply['error']}")
        return reply

    def complete(self, prompts: list[str], **options: object) -> tuple[float, list[dict]]:
        """Return the seconds for all prompts and their replies."""
        options = {"temperature": 0, "cache_prompt": True, **options}
        connections = [self._connect() for _ in range(2 * self.n_slots)]
        self.post(connections[0], "/completion", {"prompt": "Hello", **options})
        left = list(enumerate(prompts))[::-1]
        replies: dict[int, dict] = {}

        def work(connection: http.client.HTTPConnection) -> None:
            while True:
                try:
                    at, prompt = left.pop()
                except IndexError:
                    return
                replies[at] = self.post(connection, "/completion", {"prompt": prompt, **options})

        started = time.perf_counter()
        with ThreadPoolExecutor(len(connections)) as threads:
            list(threads.map(work, connections))
        seconds = time.perf_counter() - started
        return seconds, [replies[i] for i in range(len(prompts))]

    def count(self, prompts: list[str], replies: list[dict]) -> Counts:
        connection = self._connect()
        first, last = (
            self.post(connection, "/tokenize", {"content": prompt, "add_special": True})["tokens"]
            for prompt in (prompts[0], prompts[1])
        )
        same = [a == b for a, b in zip(first, last, strict=False)]
        return Counts(
            prompt=sum(reply["tokens_evaluated"] for reply in replies),
            shared=same.index(False) if False in same else len(same),
            reply=sum(reply["tokens_predicted"] for reply in replies),
        )

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)


def n_threads() -> int:
    """Return the number of threads that `llmtool` uses."""
    from llmtool.machine import default_threads

    return default_threads()


def make_prompts(model: Path, task: Task) -> tuple[list[str], int]:
    """Return the prompts as `gen` renders them, and the context that the longest needs."""
    texts = task.texts
    first = preview(gen(model, task.instruction), texts[0])
    prompts = [first["prompt"].replace(texts[0], text) for text in texts]
    return prompts, context_size(first["prompt_tokens"])


def preview(command: list[str], text: str) -> dict:
    done = subprocess.run(
        [*command, "--dry-run", "--json"], input=text.encode(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


def context_size(n_tokens: int) -> int:
    """Return the size for a prompt of about `n_tokens` and its reply."""
    return -(-(n_tokens + 32 + REPLY) // 256) * 256


def gen(model: Path, instruction: str) -> list[str]:
    return [
        *(sys.executable, "-m", "llmtool", "gen", instruction, "-m", str(model), "--no-cache"),
        *("--max-tokens", str(REPLY), "--temperature", "0"),
    ]


def run_gen(model: Path, task: Task, source: Path) -> tuple[float, int]:
    """Return the seconds of the command, and the number of tokens of all replies."""
    command = [*gen(model, task.instruction), "--each", "line", "-f", str(source), "--stats"]
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - started
    found = re.search(r"([\d,]+) completion tokens", done.stderr)
    assert found is not None, done.stderr
    return seconds, int(found[1].replace(",", ""))


def ideal(folder: Path, model: Path, counts: Counts, n_records: int, *, decodes: bool) -> float:
    """Return the seconds of the fastest setting of llama-batched-bench."""
    n_prompt = counts.prompt // n_records
    n_own = counts.prompt - n_records * counts.shared
    best = float("inf")
    for unified in ((), ("-kvu",)):
        n_seq = max(SLOTS)
        size = n_seq * -(-(n_prompt + REPLY) // 256) * 256
        command = [
            *(str(folder / "llama-batched-bench"), "-m", str(model), "-c", str(size), *unified),
            *("-npp", str(n_prompt), "-ntg", str(REPLY), "-npl", ",".join(map(str, SLOTS))),
            *("-t", str(n_threads()), "--output-format", "jsonl"),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not rows:
            raise SystemExit(f"{' '.join(command)} failed: {done.stdout[-500:]}")
        for row in rows:
            seconds = (counts.shared + n_own) / row["speed_pp"]
            seconds += counts.reply / row["speed_tg"] if decodes else 0
            best = min(best, seconds)
    return best


def compare_gen(folder: Path, model: Path, task: Task, n_rounds: int) -> None:
    prompts, n_ctx = make_prompts(model, task)
    rounds: list[dict[str, float]] = []
    counts, n_ours = Counts(0, 0, 0), 0
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "records.txt"
        source.write_text("".join(f"{text}\n" for text in task.texts))
        for at in range(n_rounds):
            seconds: dict[str, float] = {}
            contestants: list[int] = [0, *SLOTS]
            for n_slots in contestants if at % 2 == 0 else contestants[::-1]:
                if not n_slots:
                    seconds["llmtool"], n_ours = run_gen(model, task, source)
                    continue
                with Server(folder, model, n_slots=n_slots, n_ctx=n_ctx) as server:
                    seconds[f"-np {n_slots}"], replies = server.complete(prompts, n_predict=REPLY)
                    counts = server.count(prompts, replies)
            seconds["ideal"] = ideal(folder, model, counts, task.n_records, decodes=True)
            rounds.append(seconds)
    report(model, task.name, task.n_records, counts, n_ours, rounds)


def compare_classify(folder: Path, model: Path, n_records: int, n_rounds: int) -> None:
    texts = [f"{classify.TEXTS[i % len(classify.TEXTS)]} ({i})" for i in range(n_records)]
    prompts = [f'{classify.SHOWN}Text: "{text}"\nLabel:' for text in texts]
    n_ctx = context_size(preview(gen(model, "x"), prompts[0])["prompt_tokens"])
    grammar = "root ::= " + " | ".join(f'" {label}"' for label in classify.LABELS)
    rounds: list[dict[str, float]] = []
    counts = Counts(0, 0, 0)
    for at in range(n_rounds):
        seconds: dict[str, float] = {}
        contestants: list[int] = [0, *SLOTS]
        for n_slots in contestants if at % 2 == 0 else contestants[::-1]:
            if not n_slots:
                cost = classify.run(classify.OURS, model, n_records)
                seconds["llmtool"] = cost.wall * n_records
                continue
            with Server(folder, model, n_slots=n_slots, n_ctx=n_ctx) as server:
                seconds[f"-np {n_slots}"], replies = server.complete(
                    prompts, n_predict=4, grammar=grammar
                )
                counts = server.count(prompts, replies)
        seconds["ideal"] = ideal(folder, model, counts, n_records, decodes=False)
        rounds.append(seconds)
    report(model, "classify", n_records, counts, 0, rounds)


def report(
    model: Path,
    name: str,
    n_records: int,
    counts: Counts,
    n_ours: int,
    rounds: list[dict[str, float]],
) -> None:
    def ratio(other: str) -> float:
        return statistics.median(each[other] / each["llmtool"] for each in rounds)

    speeds = [
        f"{n_records / statistics.median(each[name] for each in rounds):8.2f}"
        for name in ("llmtool", *(f"-np {n}" for n in SLOTS), "ideal")
    ]
    server = min(ratio(f"-np {n}") for n in SLOTS)
    print(
        f"{model.stem[:24]:24} {name:9}{''.join(speeds)} {server:8.2f} {ratio('ideal'):8.2f}   "
        f"{counts.prompt / n_records:.0f} tokens, {counts.shared} shared, replies "
        f"{counts.reply / n_records:.1f}" + (f" and {n_ours / n_records:.1f}" if n_ours else ""),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bin", type=Path, metavar="BIN", help="folder of llama-server")
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="fewer records, one round")
    parser.add_argument("--task", choices=["short", "long", "classify"], action="append")
    args = parser.parse_args()
    if not args.model:
        from make_model import make

        args.model = [make("starter", "Q4_0", Path(tempfile.gettempdir()) / "llmtool-models")]
    share, n_rounds = (8, 1) if args.quick else (1, args.rounds)
    tasks = args.task or ["short", "long", "classify"]
    print(f"{n_rounds} rounds, {n_threads()} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'records/s':24} {'':9}{'llmtool':>8}"
          + "".join(f"{f'-np {n}':>8}" for n in SLOTS)
          + f"{'ideal':>8} {'/ server':>8} {'/ ideal':>8}")  # fmt: skip
    for model in args.model:
        if "short" in tasks:
            compare_gen(args.bin, model, Task("short", INSTRUCTION, 200 // share), n_rounds)
        if "long" in tasks:
            instruction = f"{RULES * 12}{INSTRUCTION}"
            compare_gen(args.bin, model, Task("long", instruction, 64 // share), n_rounds)
        if "classify" in tasks:
            compare_classify(args.bin, model, 80 // share, n_rounds)


if __name__ == "__main__":
    main()
