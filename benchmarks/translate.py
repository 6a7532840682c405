"""Segments of a long document translated together, compared with one call at a time.

    python benchmarks/translate.py [--model FILE.gguf] [--tokens 20000] [--share 16]
    python benchmarks/translate.py --marks

The document has paragraphs of one to three sentences. Measures the requests that `translate` makes
for its segments, each with as many reply tokens as its source has, so that the text does not
matter: all of them together, and every `--share`th one call at a time, alternating in one process.
Tokens per second are generated tokens. Target: 2.0 on a 0.5B model at Q4_K_M.

`--marks` counts how often the starter model preserves placeholders, by their brackets, with and
without an instruction.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from contestants import find_model

from llmtool.documents.formats import parse
from llmtool.documents.types import Part, ProtectedSpan
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Finished, Prompt, Request
from llmtool.tasks.options import TranslateOptions
from llmtool.tasks.translate import placeholders
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.tasks.translate.task import prepare_translator
from llmtool.toolbox import Toolbox

WHO = "The teacher,A baker,My neighbour,The old captain,Her sister,The new doctor,A painter".split(
    ","
)
DID = "waited for,wrote about,walked past,talked about,remembered,looked for,paid for".split(",")
WHAT = (
    "the bridge,a red boat,the last train,a broken clock,the school,an empty shop,the well".split(
        ","
    )
)
WHEN = "in the morning,after the storm,on Monday,before lunch,late at night,in March,at noon".split(
    ","
)
WITH_PLACEHOLDERS = """
Open the file {name} and save it.
Run `git pull` before you start.
Hello {user}, welcome back to {site}!
You have {count} new messages.
Visit https://example.org for more news.
Press `Ctrl+C` to stop the program.
The price is {price} for {count} books.
Write to {mail} if you need help.
Use `ls` to list files and `cd` to change the folder.
Your order {id} was sent on {date}.
Click {button} to continue.
See {link} for the rules.
The server {host} does not answer.
Copy `a.txt` to `b.txt` and delete `a.txt`.
It takes {minutes} minutes to walk from {a} to {b}.
Thank you, {name}!
""".strip().splitlines()
MASK = re.compile(r"(\{\w+\}|`[^`]+`|https?://\S+)")


def document(engine: LocalEngine, n_tokens: int) -> tuple[str, int]:
    """Return a text of about `n_tokens` without repeated segments, and its length in tokens."""
    sentences = (
        f"{who} {did} {what} {when}."
        for who, did, what, when in itertools.product(WHO, DID, WHAT, WHEN)
    )
    paragraphs, total = [], 0
    for n in itertools.cycle((1, 2, 3)):
        paragraph = " ".join(itertools.islice(sentences, n))
        if not paragraph or total >= n_tokens:
            break
        paragraphs.append(paragraph)
        total += count(engine, paragraph)
    return "\n\n".join(paragraphs), total


def count(engine: LocalEngine, text: str) -> int:
    return len(engine.tokenize(Prompt(text=text)).token_ids)


def requests_of(box: Toolbox, engine: LocalEngine, text: str) -> list[Request]:
    """Return the requests of `translate`, each limited to the length of its segment."""
    options = TranslateOptions(source="English", format="txt")
    translator = prepare_translator(box.context, "French", options)
    document = parse(text, "txt")
    requests = []
    for i, segment in enumerate(document.segments):
        job = SegmentJob(segment.parts)
        request = translator.prompts.request(job, source=translator.source, is_retry=False)
        n = count(engine, job.placeholders.text)
        sampling = msgspec.structs.replace(request.sampling, max_tokens=n)
        requests.append(msgspec.structs.replace(request, id=i, sampling=sampling))
    return requests


def run(engine: LocalEngine, calls: Iterable[list[Request]]) -> float:
    """Return the generated tokens per second."""
    started, n_written = time.perf_counter(), 0
    for requests in calls:
        for event in engine.stream(requests):
            if isinstance(event, Finished):
                n_written += event.usage.completion_tokens
    return n_written / (time.perf_counter() - started)


def measure(model: Path, n_tokens: int, share: int) -> None:
    together, alone = LocalEngine(load_model(model)), LocalEngine(load_model(model), n_parallel=1)
    box = Toolbox(engine=together, model=model.name)
    text, total = document(together, n_tokens)
    requests = requests_of(box, together, text)
    print(f"{model.name}: {total:,} tokens in {len(requests)} segments")
    some = requests[::share]
    run(together, [some]), run(alone, [[each] for each in some[:2]])
    half = len(some) // 2
    one = [run(alone, [[each] for each in some[:half]])]
    rate = run(together, [requests])
    one.append(run(alone, [[each] for each in some[half:]]))
    print(f"one call at a time {one[0]:.1f} and {one[1]:.1f} tok/s ({len(some)} segments)")
    print(f"together {rate:.1f} tok/s: {rate / (sum(one) / 2):.2f}")


def count_placeholders() -> None:
    box = Toolbox("starter")
    for brackets in (("{", "}"), ("<", ">"), ("[", "]"), ("⟦", "⟧"), ("__", "__"), ("<x", "/>")):
        placeholders._BRACKETS = (brackets,)
        segments = [
            placeholders.make_placeholders(_parts(sentence)) for sentence in WITH_PLACEHOLDERS
        ] * 3
        for with_instruction in (False, True):
            prompts = []
            for i, segment in enumerate(segments):
                instruction = (
                    f"Keep {', '.join(segment.all)} in the translation.\n"
                    if with_instruction
                    else ""
                )
                to = ("French", "German", "Spanish")[i // len(WITH_PLACEHOLDERS)]
                prompts.append(f"{instruction}Translate from English to {to}: {segment.text}")
            replies = box.generate(
                prompts, temperature=0, max_tokens=80, repeat_penalty=1.05, stop="\n"
            )
            preserved = sum(
                segment.restore(reply.text) is not None
                for segment, reply in zip(segments, replies, strict=True)
            )
            print(
                f"{brackets[0]}1{brackets[1]}",
                "instruction" if with_instruction else "no instruction",
                preserved,
                "of 48",
            )


def _parts(sentence: str) -> tuple[Part, ...]:
    pieces = MASK.split(sentence)
    return tuple(ProtectedSpan(p) if i % 2 else p for i, p in enumerate(pieces) if p)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--share", type=int, default=16)
    parser.add_argument("--marks", action="store_true")
    args = parser.parse_args()
    if args.marks:
        count_placeholders()
    else:
        measure(find_model(args.model), args.tokens, args.share)


if __name__ == "__main__":
    main()
