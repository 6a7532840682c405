"""Structure of real documentation after `translate`, judged by parsers that `llmtool` does not use.

    python benchmarks/document_sets.py FOLDER [--parser markdown] [--sample 250] [--change CHANGE]

Translates each Markdown and reST file below FOLDER with an engine that changes every word, without
delay. A file keeps its structure if the parser finds the same elements, code and targets in the
source and the output, front matter has the same YAML, the lines and tags of dialects are the same
and in the same order, and an identity translation returns the same text. Prints the share of such
files, the letters that are translated, protected (by reason), unsupported and unaccounted for, and
CPU seconds. `--verbose` names the other files and their first difference.

Parsers: `mistune` (CommonMark), `markdown` (Python-Markdown with the extensions of Material for
MkDocs), `myst`. Files that end in .rst are judged by docutils, and those in .mdx by mistune without
indented code.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from llmtool import Toolbox
from llmtool.documents.accounting import count_protected, find_unsupported
from llmtool.documents.formats import parse
from llmtool.documents.types import Document, Format, find_unaccounted
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import LlmtoolError, OutputValidationError
from llmtool.text.languages import detect_language

_SUFFIXES = (".md", ".mdx", ".qmd", ".markdown", ".rst")
_PROMPT = re.compile(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", re.DOTALL)
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_ACCENTS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")


def _reverse(text: str) -> str:
    text = re.sub(
        r"[^\W\d_]+(?: [^\W\d_]+)+", lambda found: " ".join(reversed(found[0].split())), text
    )
    return re.sub(f"[{_WIDE}]+", lambda found: found[0][::-1], text)


def _lengthen(text: str) -> str:
    text = re.sub(rf"(?:(?![{_WIDE}])[^\W\d_]){{4,}}", r"\g<0>\g<0>", text)
    return re.sub(f"[{_WIDE}]+", r"\g<0>\g<0>", text)


CHANGES: dict[str, Callable[[str], str]] = {
    "accents": lambda text: text.translate(_ACCENTS),
    "words": lambda text: _lengthen(_reverse(text)),
    "chinese": lambda text: re.sub(r"[^\W\d_]+ ?", "译文", text),
    "none": lambda text: text,
}
_EXTENSIONS = (
    "admonition attr_list def_list footnotes md_in_html tables toc abbr pymdownx.details"
    " pymdownx.superfences pymdownx.tabbed pymdownx.tasklist pymdownx.blocks.admonition"
    " pymdownx.blocks.details pymdownx.blocks.tab pymdownx.arithmatex pymdownx.keys pymdownx.mark"
    " pymdownx.tilde pymdownx.caret"
).split()
_PLUGINS = ["table", "strikethrough", "footnotes", "task_lists", "def_list", "math"]
_TEXT_ATTRIBUTES = frozenset(
    "id alt title label text caption placeholder aria-label description summary heading header"
    " tooltip content message action-text tagline lead subtitle fig-alt fig-cap tbl-cap"
    " lst-cap".split()
)
_FRONT_MATTER = re.compile(r"\A\ufeff?(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*\n", re.DOTALL | re.M)
_TEXT_KEY = re.compile(
    r"title|description|summary|excerpt|tagline|lead|caption|head|abstract|teaser|intro|label|alt"
    r"|details|text",
    re.IGNORECASE,
)
_QUOTED = re.compile(r'"[^"\n]*"|\'[^\'\n]*\'')
_FENCE = re.compile(r"[ \t>*+-]*(`{3,}|~{3,})")
# Lines of dialects, up to their text; and what is within lines.
_LINES = re.compile(
    r"\s*(?:!!!|\?\?\?\+?)\s*[\w-]*|\s*={3}[!+]*\s+\"|\s*/{3,}\s*[\w-]*"
    r"|[ \t>]*:{3,}\s*(?:\{[^}]*\}|[\w.-]+)?|\s*\{:.*\}\s*$|\([\w:. -]+\)=\s*$"
    r"|\s*>[> ]*\[![\w-]+\][+-]?|\[\^[^\]]+\]:|\*\[[^\]]+\]:|\s*-+8<-+.*|\s*<<<.*"
    r"|\s*(?:\$\$|\\\[|\\\]|\\begin\{.*?\}|\\end\{.*?\})|:(?:label|begin_tab|end_tab|width)\S*"
    r"|\[(?:TOC|\[toc\])\]"
)
_INLINE = re.compile(
    r"\{\{[<%].*?[>%]\}\}|\{%.*?%\}|\{\{.*?\}\}|(?:(?<!\\)</?[A-Z][\w.]*)|\[\^[^\]\s]+\]|\{[\w:+-]+\}(?=`)"
    r"|\{[:.#][^{}\n]*\}|<!--.*?-->|\{/\*.*?\*/\}",
    re.DOTALL,
)


class _Tags(HTMLParser):
    """Collect tags in order, and the text of code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._n_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "abbr":  # where a word has a definition; a translation has other words
            return
        kept = [
            (name, value)
            for name, value in attrs
            if name not in _TEXT_ATTRIBUTES and not (name == "href" and str(value)[:1] == "#")
        ]
        self.found.append(f"<{tag} {kept}>")
        self._n_code += tag in ("code", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        if tag != "abbr":
            self.found.append(f"</{tag}>")
        self._n_code -= tag in ("code", "script", "style") and self._n_code > 0

    def handle_data(self, data: str) -> None:
        if self._n_code:
            self.found.append(data)


def outline(text: str, parser: str) -> list[str]:
    """Return the structure of a text without its words."""
    if parser in ("rst", "myst"):
        return list(_doctree(text, parser))
    tags = _Tags()
    if parser == "markdown":
        import markdown

        tags.feed(markdown.markdown(text, extensions=_EXTENSIONS))
    else:
        import mistune

        render = mistune.create_markdown(renderer="html", escape=False, plugins=_PLUGINS)
        if parser == "mdx":
            for rules in (render.block.rules, render.block.list_rules):
                rules.remove("indent_code")
        tags.feed(str(render(text)))
    return tags.found


def _doctree(text: str, parser: str) -> Iterator[str]:
    from docutils.core import publish_doctree

    settings = {"report_level": 5, "halt_level": 5, "file_insertion_enabled": False}
    options: dict[str, Any] = {}
    if parser == "myst":
        from myst_parser.parsers.docutils_ import Parser

        extensions = [
            "colon_fence",
            "deflist",
            "dollarmath",
            "attrs_block",
            "fieldlist",
            "tasklist",
        ]
        options["parser"] = Parser()
        settings["myst_enable_extensions"] = extensions
    else:
        parse(text, "rst")  # registers the directives and roles that docutils does not know
    for node in publish_doctree(text, settings_overrides=settings, **options).findall():
        is_message = node.parent is not None and node.parent.tagname == "system_message"
        if not is_message and node.tagname not in ("#text", "system_message", "problematic"):
            is_code = node.tagname in ("literal_block", "math", "math_block", "comment")
            yield f"{node.tagname} {node.astext() if is_code else ''}"


def front_matter(text: str) -> tuple[Any, str]:
    """Return the front matter without the values that are text, and the rest of a text."""
    found = _FRONT_MATTER.match(text)
    if found is None:
        return None, text
    try:
        matter = yaml.safe_load(found[2]) if found[1] == "---" else found[1]
    except (yaml.YAMLError, ValueError):  # a date such as 2023-02-30
        matter = None
    return _without_texts(matter, ""), text[found.end() :]


def _without_texts(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without_texts(each, str(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_texts(each, key) for each in value]
    return "" if isinstance(value, str) and _TEXT_KEY.search(key) else value


def constructs(text: str) -> list[str]:
    """Return the syntax of dialects outside of code, without the text in it."""
    found, lines, fence = [], [], ""
    for line in text.split("\n"):
        opening = _FENCE.match(line)
        if opening and not fence:
            fence = opening[1]
            found.append(opening[1] + _QUOTED.sub("", line[opening.end() :].strip()).split(" ")[0])
        elif fence:
            if line.strip(" \t>") == fence:
                fence = ""
        elif match := _LINES.match(line):
            found.append(_QUOTED.sub("", match[0].strip()))
        if not fence:
            lines.append(line)
    inline = _INLINE.findall("\n".join(lines))
    return found + sorted(_QUOTED.sub("", " ".join(each.split())) for each in inline)


def difference(source: str, output: str, parser: str) -> str:
    """Return the first difference in structure, or an empty string."""
    if parser == "rst":
        pairs = [(outline(source, parser), outline(output, parser))]
    else:
        (one, source), (other, output) = front_matter(source), front_matter(output)
        if one != other:
            return "front matter"
        pairs = [(constructs(source), constructs(output))]
        pairs.append((outline(source, parser), outline(output, parser)))
    for before, after in pairs:
        for element, changed in zip([*before, ""], [*after, ""], strict=False):
            if element != changed:
                return f"{element[:80]!r} became {changed[:80]!r}"
    return ""


def letters(document: Document) -> Counter[str]:
    """Count the letters that are translated, protected by reason, unsupported and unaccounted."""
    counted: Counter[str] = Counter()
    for segment in document.segments:
        counted["translated"] += sum(map(str.isalpha, segment.text))
    for reason, n in count_protected(document).items():
        counted[f"protected: {reason}"] += n
    for each in find_unsupported(document):
        counted["unsupported"] += sum(map(str.isalpha, document.source[each.start : each.end]))
    counted["unaccounted"] += len(find_unaccounted(document))
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parser", choices=("mistune", "markdown", "myst"), default="mistune")
    parser.add_argument("--change", choices=CHANGES, default="words")
    parser.add_argument("--sample", type=int, default=250)
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    files = sorted(
        path
        for path in args.folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.is_file() and path.read_bytes().strip()
    )
    if len(files) > args.sample:
        files = sorted(random.Random(args.seed).sample(files, args.sample))
    change = CHANGES[args.change]

    def reply(prompt: str) -> str:
        found = _PROMPT.search(prompt)
        assert found is not None
        return change(found[1])

    toolbox = Toolbox(engine=ScriptedEngine(reply), model="scripted")
    counted: Counter[str] = Counter()
    n_kept, seconds, n_characters = 0, 0.0, 0
    for path in files:
        text = path.read_bytes().decode()
        format: Format = "rst" if path.suffix == ".rst" else "md"
        language = detect_language(text[:4000]) or "en"
        started = time.process_time()
        try:
            result = toolbox.translate(text, language, source=language, format=format)
            fault, output = "", result.text
        except OutputValidationError as exc:
            fault, output = str(exc), text
        except LlmtoolError as exc:
            fault, output = f"error: {exc}", text
        seconds += time.process_time() - started
        n_characters += len(text)
        document = parse(text, format)
        counted += letters(document)
        same = "".join(
            text[end : segment.start] + document.encode(segment, segment.parts)
            for end, segment in zip(
                (0, *(each.end for each in document.segments)), document.segments, strict=False
            )
        )
        if not text.startswith(same):
            fault = fault or "the identity translation differs"
        judge = {".rst": "rst", ".mdx": "mdx"}.get(path.suffix, args.parser)
        fault = fault or difference(text.replace("\r\n", "\n"), output.replace("\r\n", "\n"), judge)
        n_kept += not fault
        if fault and args.verbose:
            print(f"{path}: {fault}", flush=True)
    total = sum(n for name, n in counted.items() if name != "unaccounted") or 1
    print(f"{args.folder}: {n_kept} of {len(files)} files keep their structure")
    print(f"{n_characters / 1e6:.2f} MB in {seconds:.1f} s; {counted['unaccounted']} unaccounted")
    for name, n in counted.most_common(12):
        print(f"  {name:36} {100 * n / total:5.1f} %")


if __name__ == "__main__":
    main()
