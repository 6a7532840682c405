"""How many key facts of a document survive: truncation, notes, and the summary.

    python benchmarks/summaries.py [--half test] [--model REF] [--chunk-tokens 128] [--show]
    python benchmarks/summaries.py --lengths | --loops
    python benchmarks/summaries.py --together FILE.gguf [--tokens 20000]

The documents are in `summaries.yaml`, each with ten facts: choose on the half `tuning`, report the
half `test`. The chunk size divides a document into three or four chunks. `cut` is a summary of the
first chunk, as tools produce that truncate; `notes` are the notes on all chunks; `written` is the
model's summary and `summary` the output of `sum --length long`.

`--lengths` compares lengths with the requested ones, `--loops` counts repeated sentences in
summaries of 20 texts. `--together` compares the notes of a long document in one batch with one call
at a time, in generated tokens per second.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import yaml

from llmtool import Toolbox
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Engine, Finished, Prompt, Request, Token
from llmtool.tasks.options import SummarizeOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.workflow import WorkflowRunner
from llmtool.tasks.summarize.facts import count_words
from llmtool.tasks.summarize.map_reduce import SummaryWorkflow
from llmtool.tasks.summarize.task import prepare_summarizer
from llmtool.text.chunks import split, split_sentences

CASES = Path(__file__).with_name("summaries.yaml")
LENGTHS = (30, 60, 100)
WIDTHS = (6, 6, 7, 9, 9)


def read_cases(half: str) -> list[dict[str, Any]]:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    return [*cases["tuning"], *cases["test"]] if half == "all" else cases[half]


def held(text: str, facts: list[str]) -> int:
    return sum(bool(re.search(fact, text, re.IGNORECASE)) for fact in facts)


def count(engine: Engine, text: str) -> int:
    return len(engine.tokenize(Prompt(text=text)).token_ids) if text else 0


def run_workflow(box: Toolbox, text: str, **options: Any) -> SummaryWorkflow:
    """Summarize a document and return its workflow, which has its notes and its summary."""
    summarizer = prepare_summarizer(box.context, make_options(SummarizeOptions, options))
    workflow = SummaryWorkflow(
        1,
        text,
        summarizer.plan(box.engine, text),
        summarizer.prompts,
        count=lambda part: count(box.engine, part),
        note_cache=summarizer.note_cache,
    )
    for _ in WorkflowRunner(box.engine, [workflow]).run():
        pass
    return workflow


def measure_facts(box: Toolbox, half: str, chunk_tokens: int, *, show: bool) -> None:
    print(f"{box.model_name}, half {half}, chunks of {chunk_tokens} tokens: facts out of ten")
    print(f"{'document':<12}{'chunks':>6}{'cut':>6}{'notes':>7}{'written':>9}{'summary':>9}")
    rows = []
    for case in read_cases(half):
        text, facts = case["text"], case["facts"]
        first = split(text, max_tokens=chunk_tokens, count=lambda t: count(box.engine, t))[0]
        cut = box.summarize(first, length="long", strategy="stuff")
        work = run_workflow(
            box, text, length="long", strategy="map-reduce", chunk_tokens=chunk_tokens
        )
        notes = "\n".join(note or "" for note in work.rounds[0])
        wrote = box.summarize("\n\n".join(work.notes), length="long", strategy="stuff")
        row = [
            len(work.plan.chunks),
            held(str(cut), facts),
            held(notes, facts),
            held(str(wrote), facts),
            held(work.text or "", facts),
        ]
        rows.append(row)
        print(
            f"{case['name']:<12}" + "".join(f"{n:>{w}}" for n, w in zip(row, WIDTHS, strict=True))
        )
        if show:
            print(
                f"  notes ({work.n_quoted_notes} quoted): {notes}\n  {work.fallback}: {work.text}"
            )
    means = [mean(column) for column in zip(*rows, strict=True)]
    print(f"{'mean':<12}" + _columns(means, ".1f"))


def _columns(numbers: list[Any], form: str = "") -> str:
    return "".join(f"{n:>{width}{form}}" for n, width in zip(numbers, WIDTHS, strict=True))


def measure_lengths(box: Toolbox) -> None:
    texts = [case["text"] for case in read_cases("all")]
    for n in LENGTHS:
        results = box.summarize(texts, length=f"{n} words", chunk_tokens=128)
        words = [count_words(result.text) for result in results]
        good = sum(0.7 * n <= each <= 1.3 * n for each in words)
        whole = sum(result.text.rstrip()[-1:] in ".!?" for result in results)
        print(f"{n} words: {good} of {len(words)} within 30 %, {whole} end in a complete sentence "
              f"({min(words)} to {max(words)})")  # fmt: skip
    lines = [str(r).splitlines() for r in box.summarize(texts, style="bullets", length="5 bullets")]
    points = sum(len(each) == 5 and all(x.startswith("- ") for x in each) for each in lines)
    heads = [str(r) for r in box.summarize(texts, style="headline")]
    n_lines = sum(len(each.splitlines()) == 1 for each in heads)
    print(
        f"5 bullets: {points} of {len(lines)} are; headline: {n_lines} of {len(heads)} are a line"
    )


def measure_loops(box: Toolbox) -> None:
    cases = yaml.safe_load((CASES.parent / "prompts.yaml").read_text(encoding="utf-8"))["texts"]
    texts = [case["text"] for case in (*read_cases("all"), *cases["tuning"], *cases["test"])][:20]
    without = {"dry_multiplier": 0.0, "repeat_penalty": 1.0}
    printed = [r.text for r in box.summarize(texts, length="long", strategy="stuff")]
    for name, replies in (
        ("printed", printed),
        ("written", _write(box, texts)),
        ("written without DRY and penalty", _write(box, texts, **without)),
    ):
        repeats = [_repeats(text) for text in replies]
        n_texts = sum(n > 0 for n in repeats)
        print(
            f"{name}: {n_texts} of {len(texts)} with a repeated sentence; {sum(repeats)} in total"
        )


def _write(box: Toolbox, texts: list[str], **options: float) -> list[str]:
    """Return the model's replies before repeated sentences are removed."""
    keywords = {"length": "long", "strategy": "stuff", **options}
    summarizer = prepare_summarizer(box.context, make_options(SummarizeOptions, keywords))
    asked = [summarizer.request(Case(variables={"text": text})) for text in texts]
    replies = [""] * len(texts)
    for event in box.engine.stream(msgspec.structs.replace(r, id=i) for i, r in enumerate(asked)):
        if isinstance(event, Token):
            replies[event.id] += event.text
    return replies


def _repeats(text: str) -> int:
    sentences = ["".join(filter(str.isalnum, s.casefold())) for s in split_sentences(text)]
    return len(sentences) - len(set(sentences))


def measure_together(model: Path, n_tokens: int, share: int) -> None:
    from translate import document

    engine, alone = LocalEngine(load_model(model)), LocalEngine(load_model(model), n_parallel=1)
    box = Toolbox(engine=engine, model=model.name)
    text, total = document(engine, n_tokens)
    summarizer = prepare_summarizer(box.context, SummarizeOptions(strategy="map-reduce"))
    plan = summarizer.plan(engine, text)
    requests = [
        summarizer.prompts.note_request(chunk.text, max_tokens=plan.note_tokens)
        for chunk in plan.chunks
    ]
    print(f"{model.name}: {total:,} tokens in {len(requests)} chunks")
    some = requests[::share]
    half = max(1, len(some) // 2)
    one = [_rate(alone, [[each] for each in some[:half]])]
    rate = _rate(engine, [requests])
    one.append(_rate(alone, [[each] for each in some[half:]]))
    print(f"one call at a time: {one[0][0]:.1f} and {one[1][0]:.1f} tok/s generated, "
          f"{one[0][1]:.1f} and {one[1][1]:.1f} tok/s prefilled and generated")  # fmt: skip
    ratios = [rate[i] / mean(each[i] for each in one) for i in (0, 1)]
    print(f"together: {rate[0]:.1f} and {rate[1]:.1f}: {ratios[0]:.2f} and {ratios[1]:.2f}")


def _rate(engine: LocalEngine, runs: list[list[Request]]) -> tuple[float, float]:
    """Return (generated, all) tokens per second."""
    started, written, read, next_id = time.perf_counter(), 0, 0, 0
    for requests in runs:
        numbered = [msgspec.structs.replace(each, id=i) for i, each in enumerate(requests, next_id)]
        for event in engine.stream(numbered):
            if isinstance(event, Finished):
                written += event.usage.completion_tokens
                read += event.usage.prompt_tokens
    seconds = time.perf_counter() - started
    return written / seconds, (written + read) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", default="tuning", choices=("tuning", "test"))
    parser.add_argument("--model", default="starter")
    parser.add_argument("--chunk-tokens", type=int, default=128)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--lengths", action="store_true")
    parser.add_argument("--loops", action="store_true")
    parser.add_argument("--together", type=Path, metavar="FILE.gguf")
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--share", type=int, default=4)
    args = parser.parse_args()
    if args.together:
        measure_together(args.together, args.tokens, args.share)
        return
    box = Toolbox(args.model, prefix_cache=False)
    if args.lengths:
        measure_lengths(box)
    elif args.loops:
        measure_loops(box)
    else:
        measure_facts(box, args.half, args.chunk_tokens, show=args.show)


if __name__ == "__main__":
    main()
