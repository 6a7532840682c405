"""Speculative decoding compared with plain decoding: replies that copy their input, and free text.

    python benchmarks/draft.py [--model FILE.gguf] [--draft auto] [--pairs 3] [--tokens 200]

Each task runs with `--draft off` and with drafts, in alternating order, on one loaded model. Prints
seconds of decoding per token (medians), the median ratio of the pairs, the tokens per step, and
whether the texts are equal. Targets: 1.3 where the reply copies its input, and at least 0.97
everywhere. The prompts of the first two tasks include the beginning of the reply, since a small
model would not copy otherwise. With `--cpu`, CPU seconds are compared, for a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

from contestants import find_model

os.environ.setdefault("GOMP_SPINCOUNT", "4000")  # like the command

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.types import (
    DraftMode,
    Failed,
    Finished,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
)
from llmtool.structured.constraint import Constraint

CODE = '''\
def parse_line(line, separator=","):
    """Return the fields of a line, without white space around them."""
    fields = []
    for field in line.split(separator):
        field = field.strip()
        if field:
            fields.append(field)
    return fields


def read_table(path, separator=","):
    """Return the rows of a file, each as a list of fields."""
    rows = []
    with open(path) as file:
        for line in file:
            if line.startswith("#"):
                continue
            rows.append(parse_line(line, separator))
    return rows
'''
TEXT = (
    "The river rose during the night, and by morning the lower meadow was under water. The farmer "
    "moved his cattle to the hill, where an old barn gives shelter. He waited there until the "
    "afternoon, when the rain stoped and the sun came out. His neighbour brought bread and hot "
    "coffee, and together they counted the animals. Two calves were missing. They found them in "
    "the evening, wet and hungry, behind the chapel. On the next day the water went back, and the "
    "children colected the fish that it had left on the grass."
)
LETTER = (
    "Dear Ms Hartmann, thank you for your order 48151623 of 14 March 2026. We sent 12 oak chairs "
    "and 2 tables to Lindenstrasse 42 in 10969 Berlin. The carrier, Nordfracht GmbH, expects to "
    "deliver them on 21 March between 9 and 12 o'clock. The total of 2,340.50 euros is due on 4 "
    "April. Please call +49 30 1234567 if you have questions. Best wishes, Jonas Weber, Sales"
)
FIELDS = ("order", "order_date", "items", "address", "carrier", "delivery", "total", "phone")
SCHEMA = {
    "type": "object",
    "properties": {field: {"type": "string", "maxLength": 60} for field in FIELDS},
    "required": list(FIELDS),
    "additionalProperties": False,
}


class Task(NamedTuple):
    """A prompt, the beginning of the reply, and whether the reply is JSON."""

    prompt: str
    prefill: str = ""
    is_json: bool = False


TASKS = {
    "fix code": Task(
        f"Fix the code. Print only the code.\n```python\n{CODE}```",
        "```python\n" + "".join(CODE.splitlines(keepends=True)[:5]),
    ),
    "rewrite": Task(
        f"Correct the spelling mistakes in this text:\n\n{TEXT}",
        "The river rose during the night, and by morning",
    ),
    "extract": Task(f"Extract the data of this letter as JSON:\n\n{LETTER}", is_json=True),
    "story": Task("Write a short story about a lighthouse keeper."),
    "explain": Task(f"Explain in detail what this code does.\n```python\n{CODE}```"),
    "story, sampled": Task("Write a short story about a clock that runs backwards."),
}


class Sample(NamedTuple):
    """Seconds of decoding per token, the tokens per step, and the reply."""

    seconds: float
    tokens_per_step: float
    text: str


def measure(engine: LocalEngine, name: str, task: Task, n: int, *, cpu: bool) -> Sample:
    constraint = None
    if task.is_json:
        constraint = Constraint("json_schema", json.dumps(SCHEMA))
    sampling = Sampling(
        temperature=0.8 if "sampled" in name else 0,
        seed=1,
        max_tokens=n,
        constraint=constraint,
    )
    prompt = Prompt(messages=(Message("user", task.prompt),), prefill=task.prefill)
    clock = time.process_time if cpu else time.perf_counter
    started, ended, n_tokens, text = 0.0, 0.0, 1, ""
    for event in engine.stream([Request(prompt=prompt, sampling=sampling)]):
        started = started or clock()  # the first token
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Token):
            text += event.text
        if isinstance(event, Finished):
            ended, n_tokens = clock(), event.usage.completion_tokens
    speculation = engine.model.speculation
    n_accepted = 0
    if speculation is not None:
        n_accepted, speculation.n_accepted = speculation.n_accepted, 0
    n_steps = max(1, n_tokens - n_accepted)
    return Sample((ended - started) / n_tokens, n_tokens / n_steps, text)


def make_engine(weights: LlamaModel, draft: str, threads: int | None) -> LocalEngine:
    modes: dict[str, DraftMode] = {"auto": "auto", "off": "off", "ngram": "ngram"}
    path = None if draft in modes else Path(draft)
    return LocalEngine(
        weights,
        n_threads=threads,
        draft=modes.get(draft, "ngram"),
        load_draft=path and (lambda: load_model(path)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--draft", default="auto", help="auto, ngram or a GGUF file")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=200, help="tokens per reply")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--cpu", action="store_true", help="compare CPU seconds")
    args = parser.parse_args()
    model = find_model(args.model)
    weights = load_model(model)
    print(f"{model.name}, --draft {args.draft}: {args.pairs} pairs, up to {args.tokens} tokens")
    print(f"{'task':18} {'off':>9} {'drafts':>9}  ratio  tokens/step  same text")
    for name in args.task or TASKS:
        pairs: list[tuple[Sample, Sample]] = []
        for number in range(args.pairs + 1):
            found = {}
            modes = ["off", args.draft]
            for mode in modes[:: -1 if number % 2 else 1]:
                # A new engine each time, as in a command: nothing is measured or cached yet.
                engine = make_engine(weights, mode, args.threads)
                found[mode] = measure(engine, name, TASKS[name], args.tokens, cpu=args.cpu)
                engine.contexts.close()
                if engine.model.speculation is not None:
                    engine.model.speculation.close()
            if number:  # the first pair warms up
                pairs.append((found["off"], found[args.draft]))
        off, drafts = (statistics.median(pair[i].seconds for pair in pairs) for i in (0, 1))
        ratio = statistics.median(pair[0].seconds / pair[1].seconds for pair in pairs)
        same = all(a.text == b.text for a, b in pairs)
        print(
            f"{name:18} {off * 1e3:6.2f} ms {drafts * 1e3:6.2f} ms {ratio:6.2f} "
            f"{pairs[0][1].tokens_per_step:12.2f}  {'yes' if same else 'no'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
