"""Share of human translations that the checks of `translate` reject, by language.

    python benchmarks/human_translations.py PATH... [--sample 2000] [--verbose]

Reads the catalogs below each path: gettext (.po), Qt Linguist (.ts), and Nextcloud's .json. Each
translation by a person is judged as if it were the reply of a model: placeholders, length, lines,
language, and structure of the format. Prints per language: strings, those that change placeholders,
tags or links of their source (which a reply must not), and of the others those that are rejected.
Strings that equal their source were not translated, and are omitted. `--sample` limits the strings
of a language and path. `--verbose` prints each rejected string with its source and the reason. The
source language is English.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

from llmtool.documents.formats import parse
from llmtool.documents.protected_spans import find_placeholder_fault
from llmtool.documents.types import (
    Document,
    Part,
    ProtectedSpan,
    Segment,
    join_parts,
    split_at_breaks,
)
from llmtool.errors import LlmtoolError
from llmtool.tasks.translate import checks
from llmtool.tasks.translate.placeholders import make_placeholders
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.languages import Language, find_language

_LOCALE_FOLDERS = ("LC_MESSAGES", "l10n", "locale", "po")
_Pair = tuple[Document, Segment, Sequence[Part]]


def pairs_of(path: Path, n_most: int) -> tuple[str, Iterator[_Pair]]:
    """Return the language tag of a catalog, and its segments with their translations."""
    text = path.read_bytes().decode()
    if path.suffix == ".po":
        return _gettext_pairs(path, text, n_most)
    if path.suffix == ".ts":
        root = ElementTree.fromstring(text)
        return root.get("language", ""), _pairs(parse(text, "qt"), parse(_blank_qt(root), "qt"))
    return path.stem, _nextcloud_pairs(json.loads(text)["translations"])


def _gettext_pairs(path: Path, text: str, n_most: int) -> tuple[str, Iterator[_Pair]]:
    import polib

    catalog = polib.pofile(text)
    tag = catalog.metadata.get("Language") or _tag_of(path)
    entries = [each for each in catalog if each.translated() and not each.obsolete]
    if len(entries) > n_most:
        entries = random.Random(22).sample(entries, n_most)
    catalog[:] = entries
    translated = str(catalog)
    for entry in entries:
        entry.msgstr = ""
        entry.msgstr_plural = dict.fromkeys(entry.msgstr_plural, "")
    return tag, _pairs(parse(translated, "po"), parse(str(catalog), "po"))


def _tag_of(path: Path) -> str:
    folders = [each for each in path.parts[-4:-1] if each not in _LOCALE_FOLDERS]
    return folders[-1] if path.parent.name == "LC_MESSAGES" else path.stem


def _blank_qt(root: ElementTree.Element) -> str:
    for translation in root.iter("translation"):
        translation.set("type", "unfinished")
        translation.text = ""
        for form in translation:
            form.text = ""
    return ElementTree.tostring(root, encoding="unicode")


def _pairs(translated: Document, blank: Document) -> Iterator[_Pair]:
    translations = translated.translations() or {}
    for segment in blank.segments:
        if segment.key in translations:
            yield blank, segment, translations[segment.key]


def _nextcloud_pairs(texts: dict[str, str | list[str]]) -> Iterator[_Pair]:
    for source, translation in texts.items():
        if isinstance(translation, str):
            blank, done = (parse(json.dumps({"x": each}), "json") for each in (source, translation))
            if blank.segments and done.segments:
                yield blank, blank.segments[0], done.segments[0].parts


def find_fault(pair: _Pair, to: Language) -> str | None:
    """Return why the translation of a pair would be rejected as a reply, or None."""
    document, segment, translation = pair
    ours, theirs = split_at_breaks(segment.parts), split_at_breaks(translation)
    if len(ours) == 1:
        theirs = [tuple(translation)]
    if len(ours) != len(theirs):
        return "has another number of forms"
    candidate: list[Part] = []
    for source, human in zip(ours, theirs, strict=True):
        job = SegmentJob(source)
        if not job.is_language:
            candidate += source
            continue
        if "&" not in join_parts(source):
            human = [_plain_quote(part) for part in human]
        text = checks.tidy(job.placeholders.text, _as_reply(job, human))
        fault = checks.find_fault(
            job.placeholders,
            text,
            finish_reason="stop",
            instruction="",
            to=to,
            source_language="en",
        )
        parts = job.restore(text)
        if fault is None and parts is None:
            fault = "drops or repeats code, a link, a tag or a placeholder"
        fault = fault or find_placeholder_fault(source, parts or ())
        if fault:
            return fault
        candidate += parts or ()
    return document.find_fault(segment, candidate)


def changes_spans(pair: _Pair) -> bool:
    """Return whether a translation has other placeholders, tags or links than its source."""
    _, segment, translation = pair
    before, after = (
        sorted(part.source for part in parts if isinstance(part, ProtectedSpan))
        for parts in (segment.parts, translation)
    )
    return before != after


def _plain_quote(part: Part) -> Part:
    """Return a quotation mark for a reference to one, as in `checks.tidy`."""
    is_quote = isinstance(part, ProtectedSpan) and part.source in ("&quot;", "&#39;")
    return unescape(join_parts([part])) if is_quote else part


def _as_reply(job: SegmentJob, human: Sequence[Part]) -> str:
    """Return a translation with the placeholders that the model would see."""
    own = make_placeholders(human)
    ours = job.placeholders
    unused = [(each.source, name) for each, name in zip(ours.protected, ours.all, strict=True)]
    new = {}
    for name, span in zip(own.all, own.protected, strict=True):
        same = next((each for each in unused if each[0] == span.source), None)
        if same:
            unused.remove(same)
        new[name] = same[1] if same else span.source
    text = own.text
    if new:
        text = re.sub("|".join(map(re.escape, new)), lambda found: new[found[0]], text)
    for source, name in sorted(unused, key=lambda each: -len(each[0])):  # next to other text
        text = text.replace(source, name, 1)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--sample", type=int, default=2000)
    parser.add_argument("--language", action="append", help="only these, by their tags")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    n_strings: Counter[str] = Counter()
    n_changed: Counter[str] = Counter()
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for folder in args.paths:
        found: defaultdict[str, list[_Pair]] = defaultdict(list)
        for path in sorted(
            each
            for each in folder.rglob("*")
            if each.suffix in (".po", ".ts") or (each.suffix, each.parent.name) == (".json", "l10n")
        ):
            try:
                tag, pairs = pairs_of(path, args.sample)
                code = find_language(tag).code
                if not args.language or code in args.language:
                    found[code] += pairs
            except (LlmtoolError, UnicodeDecodeError, KeyError, OSError, ValueError) as exc:
                print(f"{path}: {exc}")
        for code, pairs in found.items():
            to = find_language(code)
            done = [each for each in pairs if join_parts(each[1].parts) != join_parts(each[2])]
            if len(done) > args.sample:
                done = random.Random(22).sample(done, args.sample)
            n_strings[code] += len(done)
            for pair in done:
                fault = find_fault(pair, to)
                if fault and changes_spans(pair):
                    n_changed[code] += 1
                elif fault:
                    reasons[code][fault] += 1
                if fault and args.verbose:
                    texts = (join_parts(each) for each in (pair[1].parts, pair[2]))
                    print(f"{code}: {fault}", *texts, sep="\n    ", flush=True)
    for code, n in sorted(n_strings.items()):
        n_rejected = sum(reasons[code].values())
        listed = ", ".join(f"{reason} {n}" for reason, n in reasons[code].most_common(4))
        share = 100 * n_rejected / max(n, 1)
        print(f"{code:12}{n:7}{n_changed[code]:5}{n_rejected:5}{share:7.2f} %  {listed}")


if __name__ == "__main__":
    main()
