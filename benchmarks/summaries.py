"""How good summaries are: facts, invented numbers and names, near-copies, length.

    python benchmarks/summaries.py [--half test] [-m REF] [--length 100,200] [-o strategy=extract]
    python benchmarks/summaries.py --forms

The documents are in `data/summaries`: reports, meetings, mail, news and technical documents, with
ten key facts each. Choose on the halves `tuning`, `held-out` and `other`, report `test`, `fresh`
and `latest`. `summary_quality.py` measures; it does not use the checks of `llmtool`.

    facts       facts out of ten; for comparison, of the first words of the document, of sentences
                chosen without a model (TF-IDF centrality, density of numbers and names), and of the
                sentences with the most facts
    invented    numbers, quantities, dates and names that the document does not contain
    copies      sentences that repeat an earlier one, apart from a few words
    length      words divided by the requested ones

`--forms` counts bullets, and headlines of one line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import yaml
from summary_quality import central, copies, count_words, facts_in, invented, lead, richest, split

from llmtool import Toolbox
from llmtool.tasks.results import Summary

DATA = Path(__file__).parent / "data" / "summaries"
HALVES = ("tuning", "test", "held-out", "other", "fresh", "latest")
KINDS = ("report", "meeting", "mail", "news", "technical")


class Document(NamedTuple):
    """A text and the patterns of its facts; a sentence that matches all of them states a fact."""

    name: str
    kind: str
    half: str
    language: str
    facts: dict[str, list[str]]
    text: str


class Row(NamedTuple):
    """What is measured of one summary."""

    name: str
    kind: str
    facts: int
    lead: int
    central: int
    richest: int
    invented: int
    copies: int
    length: float
    seconds: float
    strategy: str


def read_documents(half: str) -> list[Document]:
    found = []
    for path in sorted(DATA.glob("*.md")):
        _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
        found.append(
            Document(name=path.stem, text=text, **{"language": "en"} | yaml.safe_load(head))
        )
    return [each for each in found if half in (each.half, "all")]


def measure(document: Document, result: Summary, n_words: int, seconds: float) -> Row:
    text, facts = document.text, document.facts
    baselines = (lead(text, n_words), central(text, n_words), richest(text, facts, n_words))
    return Row(
        document.name,
        document.kind,
        len(facts_in(result.text, facts)),
        *(len(facts_in(each, facts)) for each in baselines),
        len(invented(result.text, text, language=document.language)),
        len(copies(result.text)),
        count_words(result.text) / n_words,
        seconds,
        result.strategy,
    )


def summarize(
    box: Toolbox, documents: list[Document], *, batch: bool, **options: Any
) -> Iterator[tuple[Document, Summary, float]]:
    """Yield each document, its summary and the seconds; of a batch, the mean of all."""
    for group in [documents] if batch else [[each] for each in documents]:
        started = time.perf_counter()
        results = box.summarize([document.text for document in group], **options)
        seconds = (time.perf_counter() - started) / len(group)
        for document, result in zip(group, results, strict=True):
            yield document, result, seconds


def print_table(rows: list[Row]) -> None:
    print(f"{'':<12}{'facts':>6}{'first':>7}{'central':>9}{'richest':>9}{'invented':>10}"
          f"{'copies':>8}{'length':>8}{'seconds':>9}  strategy")  # fmt: skip
    for row in rows:
        print(f"{row.name:<12}{row.facts:>6}{row.lead:>7}{row.central:>9}{row.richest:>9}"
              f"{row.invented:>10}{row.copies:>8}{row.length:>8.2f}{row.seconds:>9.1f}"
              f"  {row.strategy}")  # fmt: skip
    for kind in (*KINDS, "mean"):
        own = [row for row in rows if kind in (row.kind, "mean")]
        if own:
            means = [mean(row[i] for row in own) for i in range(2, 10)]
            print(f"{kind:<12}{means[0]:>6.1f}{means[1]:>7.1f}{means[2]:>9.1f}{means[3]:>9.1f}"
                  f"{means[4]:>10.1f}{means[5]:>8.1f}{means[6]:>8.2f}{means[7]:>9.1f}")  # fmt: skip
    within = sum(0.85 <= row.length <= 1.15 for row in rows)
    less = sum(row.facts < row.central for row in rows)
    print(f"{sum(row.facts for row in rows)} of {10 * len(rows)} facts; {within} of {len(rows)} "
          f"within 15 % of the length; {less} with fewer facts than `central`; "
          f"{sum(row.invented > 0 for row in rows)} with inventions; "
          f"{sum(row.copies > 0 for row in rows)} with near-copies")  # fmt: skip


def show(document: Document, row: Row, result: Summary) -> None:
    """Print a summary with the facts that it lacks, its inventions and its near-copies."""
    has = facts_in(result.text, document.facts)
    print(f"== {document.name}, {result.strategy}, {row.facts} facts\n{result.text}")
    print("lacks:", *(f"  {fact}" for fact in document.facts if fact not in has), sep="\n")
    print("invented:", invented(result.text, document.text, language=document.language))
    print("near-copies:", copies(result.text))


def check_facts(documents: list[Document]) -> None:
    """Print, for each document, its words and where facts are: 0 is the beginning, 1 the end."""
    for document in documents:
        sentences = split(document.text)
        print(f"{document.name}: {count_words(document.text)} words, {len(document.facts)} facts, "
              f"{len(copies(document.text))} near-copies")  # fmt: skip
        for fact, forms in document.facts.items():
            places = [
                i / len(sentences) for i, s in enumerate(sentences) if facts_in(s, {fact: forms})
            ]
            print(f"  {' '.join(f'{place:.2f}' for place in places) or 'NOWHERE'}  {fact}")


def measure_forms(box: Toolbox) -> None:
    texts = [document.text for document in read_documents("tuning")]
    lines = [str(r).splitlines() for r in box.summarize(texts, style="bullets", length="5 bullets")]
    points = sum(len(each) == 5 and all(x.startswith("- ") for x in each) for each in lines)
    heads = [str(r) for r in box.summarize(texts, style="headline")]
    n_lines = sum(len(each.splitlines()) == 1 for each in heads)
    print(
        f"{points} of {len(lines)} have 5 bullets; {n_lines} of {len(heads)} headlines are a line"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", default="tuning", choices=(*HALVES, "all"))
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--length", default="100,200", help="words, separated by commas")
    parser.add_argument("-o", "--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of summarize, such as strategy=extract")  # fmt: skip
    parser.add_argument("--names", help="only these documents, separated by commas")
    parser.add_argument("--threads", type=int, help="one is faster on a busy machine")
    parser.add_argument("--batch", action="store_true", help="all documents in one call")
    parser.add_argument("--show", action="store_true", help="print the summaries")
    parser.add_argument("--out", type=Path, help="append a JSON object per summary to a file")
    parser.add_argument("--check", action="store_true", help="print where the facts are")
    parser.add_argument("--forms", action="store_true")
    args = parser.parse_args()
    documents = read_documents(args.half)
    if args.names:
        documents = [each for each in documents if each.name in args.names.split(",")]
    if args.check:
        return check_facts(documents)
    box = Toolbox(args.model, prefix_cache=False, n_threads=args.threads)
    if args.forms:
        return measure_forms(box)
    options = {n: yaml.safe_load(v) for n, _, v in (each.partition("=") for each in args.option)}
    if options.get("strategy") != "extract":
        box.generate("Hello", max_tokens=1)  # loads the model
    for n_words in map(int, args.length.split(",")):
        options["length"] = f"{n_words} words"
        print(f"{box.model_name}, half {args.half}, {options}")
        rows = []
        for document, result, seconds in summarize(box, documents, batch=args.batch, **options):
            row = measure(document, result, n_words, seconds)
            rows.append(row)
            if args.show:
                show(document, row, result)
            if args.out:
                with args.out.open("a", encoding="utf-8") as file:
                    record = {"words": n_words} | row._asdict() | {"text": result.text}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
        print_table(rows)


if __name__ == "__main__":
    main()
