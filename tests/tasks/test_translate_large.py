"""`translate` with large documents: streamed in small pieces, and parsed a few times only."""

from __future__ import annotations

import re
import subprocess
import sys
from types import FrameType
from typing import Any

import pytest

from llmtool import Toolbox, worker
from llmtool.documents.markdown import parser as markdown_parser
from llmtool.documents.markdown import source as markdown_source
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import InputError
from llmtool.tasks.translate.document import DocumentWorkflow

TEXT = "The {} house is **green**, and its [door](x.md) is as old as the `roof`."
N = 60
BLOCKS = [
    "# A green house",
    *(
        f"## House {i}\n\n- {TEXT.format(i)}\n- Another\n\n    !!! x\n\n{TEXT.format(i)}\nIt was."
        for i in range(N)
    ),
]
MARKDOWN = "---\ntitle: The house\n---\n\n" + "\n\n".join(BLOCKS) + "\n"


def accents(prompt: str) -> str:
    found = re.search(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", prompt, re.DOTALL)
    assert found is not None
    return found[1].replace("e", "é")


def make_toolbox() -> Toolbox:
    return Toolbox(engine=ScriptedEngine(accents), model="scripted")


@pytest.fixture
def _whole_output_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a document so large that this takes seconds."""
    monkeypatch.setattr("llmtool.tasks.translate.document._CHECKED_CHARACTERS", 1)
    monkeypatch.setattr("llmtool.tasks.translate.document._CHECKED_SHARE", -1.0)


@pytest.mark.usefixtures("_whole_output_is_not_checked")
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_large_markdown_is_streamed_by_block(newline: str) -> None:
    source = MARKDOWN.replace("\n", newline)
    stream = make_toolbox().stream_translate(source, "en", source="en", format="md")
    parts = [part.text for part in stream]
    assert "".join(parts) == stream.result.text
    assert stream.result.untranslated == ()
    assert len(parts) > 2 * N
    assert max(map(len, parts)) < 400


@pytest.mark.usefixtures("_whole_output_is_not_checked")
def test_links_to_headings_wait_for_the_last_heading() -> None:
    source = MARKDOWN.replace("- Another", "- [Another](#house-3)", 30).replace(
        "- [Another](#house-3)", "- Another", 29
    )
    stream = make_toolbox().stream_translate(source, "en", source="en", format="md")
    parts = [part.text for part in stream]
    assert "".join(parts) == stream.result.text
    assert len(parts) > N / 2
    assert "(#housé-3)" in parts[-1]


@pytest.mark.parametrize("has_link", [False, True])
def test_markdown_is_parsed_a_few_times(has_link: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    parse = markdown_source.parse_markdown

    def count(text: str, *args: Any, **options: Any) -> Any:
        sizes.append(len(text))
        return parse(text, *args, **options)

    monkeypatch.setattr(markdown_source, "parse_markdown", count)
    monkeypatch.setattr("llmtool.tasks.translate.document._CHECKED_CHARACTERS", 1)
    monkeypatch.setattr("llmtool.tasks.translate.document._CHECKED_SHARE", -1.0)
    source = MARKDOWN + ("\nSee [this](#house-3).\n" if has_link else "")
    result = make_toolbox().translate(source, "en", source="en", format="md")
    assert result.untranslated == ()
    # source, sections, output, and output with the old targets of links
    assert sum(sizes) <= (4 if has_link else 3) * len(source) + 100


def count_calls(source: str) -> int:
    """Return the number of calls of functions, also of C, in the translation of a document."""
    n_calls = 0
    toolbox = make_toolbox()

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal n_calls
        n_calls += event.endswith("call")

    sys.setprofile(count)
    try:
        result = toolbox.translate(source, "en", source="en", format="md")
    finally:
        sys.setprofile(None)
    assert result.untranslated == ()
    return n_calls


@pytest.mark.usefixtures("_whole_output_is_not_checked")
def test_calls_grow_with_the_length_of_markdown() -> None:
    unit = "\n\n".join(BLOCKS[1:8]) + "\n\n"
    count_calls(unit)  # fills caches
    one, two, eight = (count_calls(unit * n) for n in (1, 2, 8))
    assert (eight - two) / 6 < 1.01 * (two - one)
    assert two - one < 50 * len(unit)  # 1 MB takes about 10 s with 35


@pytest.mark.usefixtures("_whole_output_is_not_checked")
def test_sections_are_streamed_after_part_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    n_checks = 0

    def check_first(workflow: DocumentWorkflow, end: int, source_end: int) -> bool:
        nonlocal n_checks
        n_checks += 1
        return n_checks == 1  # after a check of the whole output

    monkeypatch.setattr(DocumentWorkflow, "_check_in_time", check_first)
    source = "First title\n===\n- One\n- Another\n\n" + MARKDOWN
    stream = make_toolbox().stream_translate(source, "en", source="en", format="md")
    parts = [part.text for part in stream]
    assert parts[0] == "First titlé"  # not a section
    assert "".join(parts) == stream.result.text
    assert len(parts) > 2 * N


def test_inline_elements_of_a_text_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    count = markdown_parser._count_elements

    def record(content: str, tokens: Any) -> Any:
        counted.append(content)
        return count(content, tokens)

    monkeypatch.setattr(markdown_parser, "_count_elements", record)
    result = make_toolbox().translate(MARKDOWN, "en", source="en", format="md")
    assert result.untranslated == ()
    assert len(counted) == len(set(counted)) > 2 * N


def test_long_documents_are_parsed_in_a_child_process_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    toolbox, text = make_toolbox(), "One two.\n\n" * 11_000
    with pytest.raises(InputError, match="^line 1, column "):
        toolbox.translate('"' + text, "fr", source="en", format="json")

    def fail(*_: object, **_options: object) -> None:
        raise InputError("takes more than 5 s to read")

    monkeypatch.setattr(worker, "call", fail)
    with pytest.raises(InputError, match="^takes more than 5 s to read$"):
        toolbox.translate(text, "fr", source="en", format="txt")
    assert toolbox.translate("One two.", "fr", source="en", format="txt").text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1" * ((8 << 20) + 1), "has 8,388,609 characters; at most 8,388,608 can"),
        ("[" + '"ab",' * 50_000 + '"ab"]', "has 50,001 segments; at most 50,000 can"),
    ],
    ids=["characters", "segments"],
)
def test_size_of_a_document_is_limited(text: str, error: str) -> None:
    format = "json" if text[0] == "[" else "txt"
    message = f"^the document {error} be translated at once; split it$"
    with pytest.raises(InputError, match=message):
        make_toolbox().translate(text, "fr", source="en", format=format)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of memory")
def test_memory_of_markup_is_limited() -> None:
    """800,000 elements without a text take 190 MB."""
    text = f"docx\x1e<w:document xmlns:w='w'>{'<a/>' * 800_000}</w:document>"
    with pytest.raises(InputError, match="^takes more than 200 MiB of memory to read; split it"):
        make_toolbox().translate(text, "fr", source="en", format="docx")


_PEAK = """
import resource, sys
from llmtool import Toolbox
from llmtool.engine.scripted import ScriptedEngine

engine = ScriptedEngine(lambda prompt: "Maison " + prompt.rpartition(" ")[2])
text = sys.stdin.read()
result = Toolbox(engine=engine, model="scripted").translate(text, "fr", format="docx")
print(result.n_segments, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss")
def test_largest_document_takes_at_most_500_mb() -> None:
    paragraphs = (f"<w:p><w:r><w:t>House {i}</w:t></w:r></w:p>" for i in range(50_000))
    text = f"docx\x1e<w:document xmlns:w='w'>{''.join(paragraphs)}</w:document>"
    done = subprocess.run(
        [sys.executable, "-c", _PEAK], input=text, capture_output=True, text=True, check=True
    )
    n_segments, kilobytes = map(int, done.stdout.split())
    assert n_segments == 50_000
    assert kilobytes * 1024 < 500_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of processor time")
def test_hostile_restructured_text_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SECONDS", 1)
    with pytest.raises(InputError, match="^takes more than 1 s to read; "):
        make_toolbox().translate(f"One {'*' * 60_000}x", "fr", source="en", format="rst")
