"""Time of `translate` besides the model: 0.5 and 1 MB in each format, with an engine without delay.

    python benchmarks/large_documents.py [--cache] [FORMAT ...]

Each document has distinct sentences in blocks with markup; replies are in German, word by word, and
all are accepted. Prints CPU seconds for both sizes and their ratio, which is 2 for linear time, and
with `--cache` those with an empty cache. Target: 13 s for 1 MB of Markdown, also in the paragraph,
the list and the table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from llmtool import Toolbox
from llmtool.documents.formats import check_format
from llmtool.engine.scripted import ScriptedEngine
from llmtool.tasks.pipeline.disk_cache import DiskCache

_SIZES = (500_000, 1_000_000)
_WORDS = "teacher baker neighbour captain sister doctor painter bridge boat train clock".split()
_GERMAN = {
    "teacher": "Lehrer", "baker": "Bäcker", "neighbour": "Nachbar", "captain": "Kapitän",
    "sister": "Schwester", "doctor": "Arzt", "painter": "Maler", "bridge": "Brücke", "boat": "Boot",
    "train": "Zug", "clock": "Uhr", "house": "Haus", "The": "Der", "old": "alte", "and": "und",
    "the": "die", "are": "sind", "waiting": "wartend", "for": "auf", "near": "neben", "of": "von",
    "See": "Siehe", "It": "Es", "was": "war", "Section": "Abschnitt", "Title": "Titel",
}  # fmt: skip
_PROMPT = re.compile(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", re.DOTALL)


def sentences() -> Iterator[str]:
    for a, b, c, d in itertools.product(_WORDS, repeat=4):
        yield f"The old {a} and the {b} are waiting for the {c} near the house of the {d}."


def _srt(i: int, text: str) -> str:
    clock = f"{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}"
    return f"{i + 1}\n{clock},000 --> {clock},900\n{text}\n"


def _markdown(i: int, text: str) -> str:
    heading = f"## Section {i}\n\n" if i % 5 == 0 else ""
    return f"{heading}{text} See `x{i}`, **{text[4:19]}**\nand [the {text[8:19]}](x{i}.md).\n"


# The format, the text before the blocks and after them, and each block.
KINDS: dict[str, tuple[str, str, str, Callable[[int, str], str]]] = {
    "md": ("md", "# Title\n\n", "", _markdown),
    "md list": ("md", "", "", lambda i, text: f"- [{text[:24]}](x{i}) - **{text[24:44]}**"),
    "md table": ("md", "| a | b |\n|---|---|\n", "", lambda i, text: f"| `x{i}` | {text} |"),
    "md paragraph": ("md", "", "", lambda i, text: f"{text} It was **{text[4:19]}**."),
    "txt": ("txt", "", "", lambda i, text: f"{text}\n"),
    "html": ("html", "<body>", "</body>", lambda i, text: f"<p><b>{text[:9]}</b>{text[9:]}"),
    "json": ("json", "{", '"": ""}', lambda i, text: f'"{i}": {json.dumps(text)},'),
    "po": ("po", "", "", lambda i, text: f'#: x.c:{i}\nmsgid {json.dumps(text)}\nmsgstr ""\n'),
    "srt": ("srt", "", "", _srt),
}  # fmt: skip


def make(kind: str, size: int) -> str:
    _, before, after, block = KINDS[kind]
    blocks, total = [before.rstrip("\n")] if before else [], 0
    for i, text in enumerate(sentences()):
        blocks.append(block(i, text))
        total += len(blocks[-1])
        if total > size:
            break
    separator = " " if kind == "md paragraph" else "\n"
    return separator.join([*blocks, after])


def german(prompt: str) -> str:
    found = _PROMPT.search(prompt)
    assert found is not None
    return re.sub("[A-Za-z]+", lambda word: _GERMAN.get(word[0], word[0]), found[1])


def seconds(kind: str, size: int, *, cached: bool) -> float:
    text = make(kind, size)
    with TemporaryDirectory() as folder:
        toolbox = Toolbox(engine=ScriptedEngine(german), model="scripted")
        if cached:
            toolbox.context.translations = DiskCache(Path(folder), limit=None)
        started = time.process_time()
        result = toolbox.translate(text, "de", source="en", format=check_format(KINDS[kind][0]))
        taken = time.process_time() - started
    assert not result.untranslated, result.untranslated[0]
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="FORMAT", default=list(KINDS))
    parser.add_argument("--cache", action="store_true")
    args = parser.parse_args()
    for kind in args.kinds:
        half, whole = (seconds(kind, size, cached=args.cache) for size in _SIZES)
        print(f"{kind:14} {half:6.1f} s {whole:6.1f} s   ratio {whole / half:.1f}", flush=True)


if __name__ == "__main__":
    main()
