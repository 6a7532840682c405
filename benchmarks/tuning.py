"""`prompts tune` compared with DSPy's few-shot bootstrap, on the same records and model.

    python benchmarks/tuning.py [--model REF] [--budget 200] [--sets reviews,bookings]

DSPy is optional (`pip install dspy`; --without-dspy). The sets are in `data/labels` and
`data/extraction`. Each method gets the records that are not in the half `test`, which gives the
figures:

    original      the template of the set, with an instruction and no examples
    tuned         `llmtool.tune` of this template
    DSPy          `dspy.Predict` with a signature of the same instruction
    bootstrap     `BootstrapFewShot` of it: up to four of its own answers and four given ones
    random search `BootstrapFewShotWithRandomSearch`, with about as many calls as `tune` has used

Calls are requests to the engine, counted for all methods alike: those that measure the bias of
labels count, and so do DSPy's second attempts to read a reply. Replies are greedy.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any, Literal

from llmtool import Toolbox
from llmtool.config import Folders
from llmtool.tuning.metrics import field_accuracy, wilson_interval

DATA = Path(__file__).parent / "data"
LABELS = ("reviews", "devices", "feedback", "genre")
FIELDS = {"name": "string", "guests": "integer", "day": "string"}
ABOUT = {
    "reviews": "What is the restaurant review about?",
    "devices": "Which device does the message to support concern?",
    "feedback": "What is the passenger's message?",
    "genre": "What kind of text is it?",
    "bookings": "Extract the name of the guest, the number of guests and the weekday.",
}
Record = dict[str, Any]
Score = Callable[[Record, Any], float]


class CountingEngine:
    """Passes requests on to an engine, and counts them."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.n_calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def stream(self, requests: Iterable[Any]) -> Iterator[Any]:
        return self._engine.stream(self._counted(requests))

    def score(self, requests: Iterable[Any]) -> Iterator[Any]:
        return self._engine.score(self._counted(requests))

    def _counted(self, requests: Iterable[Any]) -> Iterator[Any]:
        for request in requests:
            self.n_calls += getattr(request, "n", 1) if request is not None else 0
            yield request


def read(name: str) -> tuple[list[Record], list[Record]]:
    """Return the records for tuning and for the test."""
    folder = "extraction" if name == "bookings" else "labels"
    lines = (DATA / folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return (
        [each for each in records if each["split"] != "test"],
        [each for each in records if each["split"] == "test"],
    )


def labels_of(records: Sequence[Record]) -> list[str]:
    return sorted({each["label"] for each in records})


def score_of(name: str) -> Score:
    if name == "bookings":
        return lambda record, answer: field_accuracy(record["expected"], answer)
    return lambda record, answer: float(answer == record["label"])


def write_template(folder: Path, name: str, records: Sequence[Record]) -> Path:
    path = folder / f"{name}.yaml"
    head = f"llmtool: 1\nname: {name}\ninputs: {{text: {{type: text, required: true}}}}\n"
    if name == "bookings":
        properties = {key: {"type": of, "maxLength": 40} for key, of in FIELDS.items()}
        del properties["guests"]["maxLength"]
        schema = {"type": "object", "properties": properties, "required": list(FIELDS)}
        body = f"prompt: |\n  {ABOUT[name]}\n\n  {{{{ text }}}}\n"
        body += f"output: {{json: {json.dumps({**schema, 'additionalProperties': False})}}}\n"
        body += "model: {params: {max_tokens: 100}}\n"
    else:
        body = f"task: classify\nform: completion\nsystem: {ABOUT[name]}\n"
        body += "prompt: 'Text: \"{{ text }}\"'\nprefill: 'Label:'\n"
        body += f"output: {{labels: {json.dumps(labels_of(records))}}}\n"
    path.write_text(head + body)
    return path


def with_llmtool(
    box: Toolbox, name: str, budget: int, folder: Path
) -> Iterator[tuple[str, list[float]]]:
    """Yield each template with the scores of the test."""
    tune, test = read(name)
    path, score = write_template(folder, name, tune), score_of(name)
    tuned = path.with_name(f"{name}-tuned.yaml")

    def scores(template: Path) -> list[float]:
        options: Any = {"temperature": 0.0} if name == "bookings" else None
        outcomes = box.run_each(str(template), [each["text"] for each in test], options=options)
        answers = [getattr(each, "value", None) or getattr(each, "text", "") for each in outcomes]
        return [score(*pair) for pair in zip(test, answers, strict=True)]

    yield "original", scores(path)
    found = box.tune(str(path), tune, budget=budget)
    tuned.write_text(found.text)
    yield f"tuned ({found.best.name})", scores(tuned)


def with_dspy(box: Toolbox, name: str, budget: int) -> Iterator[tuple[str, list[float]]]:
    """Yield each program of DSPy with the scores of the test."""
    import dspy

    tune, test = read(name)
    score = score_of(name)

    class ToolboxModel(dspy.BaseLM):
        def forward(self, prompt: Any = None, messages: Any = None, **_: Any) -> Any:
            given = messages or [{"role": "user", "content": prompt}]
            reply = box.generate(messages=given, temperature=0.0, seed=0, max_tokens=120)
            message = SimpleNamespace(content=reply.text, tool_calls=None)
            choice = SimpleNamespace(message=message, finish_reason="stop")
            return SimpleNamespace(choices=[choice], usage={}, model="llmtool")

    dspy.configure(lm=ToolboxModel(model="llmtool", cache=False))
    fields: dict[str, Any] = {"text": (str, dspy.InputField())}
    if name == "bookings":
        outputs: dict[str, Any] = {"name": str, "guests": int, "day": str}
    else:
        outputs = {"label": Literal[tuple(labels_of(tune))]}
    fields |= {key: (of, dspy.OutputField()) for key, of in outputs.items()}
    program = dspy.Predict(dspy.Signature(fields, ABOUT[name]))

    def to_example(record: Record) -> Any:
        answer = record["expected"] if name == "bookings" else {"label": record["label"]}
        return dspy.Example(text=record["text"], **answer).with_inputs("text")

    def answer_of(prediction: Any) -> Any:
        if name != "bookings":
            return prediction.get("label")
        return {key: prediction.get(key) for key in FIELDS}

    def metric(example: Any, prediction: Any, trace: Any = None) -> Any:
        record = {"expected": {key: example.get(key) for key in FIELDS}} | dict(example)
        value = score(record, answer_of(prediction))
        return value == 1 if trace is not None else value

    def scores(of: Any) -> list[float]:
        found = []
        for record in test:
            try:
                found.append(score(record, answer_of(of(text=record["text"]))))
            except Exception:  # a reply that neither of DSPy's formats can read
                found.append(0.0)
        return found

    examples = list(map(to_example, tune))
    random.Random(0).shuffle(examples)  # the files are sorted by label
    yield "DSPy", scores(program)
    some = dspy.BootstrapFewShot(metric=metric, max_bootstrapped_demos=4, max_labeled_demos=8)
    yield "bootstrap", scores(some.compile(program, trainset=examples))
    n_train = len(examples) // 3
    train, val = examples[:n_train], examples[n_train:]
    val = val[: max(8, budget // 8)]  # so that the budget allows some programs
    search = dspy.BootstrapFewShotWithRandomSearch(
        metric=metric,
        max_bootstrapped_demos=4,
        max_labeled_demos=8,
        num_candidate_programs=max(1, (budget - n_train) // (len(val) + 6) - 3),
        num_threads=1,
        max_errors=10 * budget,  # a reply that is not in DSPy's format counts as wrong
    )
    yield "random search", scores(search.compile(program, trainset=train, valset=val))


def measure(engine: CountingEngine, rows: Iterator[tuple[str, list[float]]], n_test: int) -> int:
    """Print each method, and return the calls for tuning of the last one."""
    n_calls = 0
    while True:
        before, started = engine.n_calls, time.perf_counter()
        method, scores = next(rows, ("", []))
        if not method:
            return n_calls
        n_calls = max(0, engine.n_calls - before - n_test)
        low, high = wilson_interval(scores)
        print(f"  {method:<44}{mean(scores):>7.3f}  ({low:.2f} to {high:.2f}){n_calls:>7} calls"
              f"{time.perf_counter() - started:>7.0f} s", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter")
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--sets", default="reviews,bookings")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--without-dspy", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = Folders(**{each: folder for each in ("config", "data", "cache", "hub_cache")})
        model = Toolbox(args.model, folders=own, n_threads=args.threads)
        engine = CountingEngine(model.engine)
        box = Toolbox(engine=engine, model=args.model, folders=own)  # type: ignore[arg-type]
        for each in args.sets.split(","):
            n_test = len(read(each)[1])
            print(f"{each}, {n_test} test records", flush=True)
            n_calls = measure(engine, with_llmtool(box, each, args.budget, folder), n_test)
            if not args.without_dspy:
                measure(engine, with_dspy(box, each, n_calls), n_test)


if __name__ == "__main__":
    main()
