"""`llmtool translate`: documents in pipes and files, errors, exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line
from scripted_model import use_scripted_model

from llmtool.engine.scripted import ScriptedEngine

MARKDOWN = """\
# The town library

The library is *closed* on Mondays. See [the rules](https://example.org/rules "Rules").

```sh
ls -l   # a comment
```

| Day | Hours |
|-----|-------|
| Tuesday | 10 to 18 |
"""
SUBTITLES = "1\n00:00:01,000 --> 00:00:02,500\n<i>Good morning.</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nIt is raining.\n"  # noqa: E501


TRANSLATIONS = {
    "The town library": "Die Stadtbibliothek",
    "The library is *closed* on Mondays. See [the rules]{1}.": (
        "Die Bibliothek ist montags *geschlossen*. Siehe [die Regeln]{1}."
    ),
    "Rules": "Regeln",
    "Day": "Tag",
    "Hours": "Zeiten",
    "Tuesday": "Dienstag",
    "10 to 18": "10 bis 18",
    "Good morning.": "Bonjour.",
    "It is raining.": "Il pleut.",
}
TRANSLATED = """\
# Die Stadtbibliothek

Die Bibliothek ist montags *geschlossen*. Siehe [die Regeln](https://example.org/rules "Regeln").

```sh
ls -l   # a comment
```

| Tag | Zeiten |
|-----|-------|
| Dienstag | 10 bis 18 |
"""


@pytest.fixture
def scripted(
    run_llmtool: Callable[..., Any], cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Return `translate(*args)` with a model that knows `TRANSLATIONS`."""

    def reply(prompt: str) -> str:
        return TRANSLATIONS[prompt.rpartition(": ")[2]]

    use_scripted_model(monkeypatch, ScriptedEngine(reply), cwd)
    return lambda *args, **options: run_llmtool("translate", *args, **options)


@pytest.fixture
def translate(run_llmtool: Callable[..., Any], starter: Path) -> Callable[..., Any]:
    def run(*args: str | Path, to: str = "French", **options: Any) -> Any:
        return run_llmtool("translate", *args, "--to", to, "-m", starter, **options)

    return run


@pytest.fixture
def translate_with_tiny(run_llmtool: Callable[..., Any], tiny: Path) -> Callable[..., Any]:
    """For tests that do not depend on the translation."""

    def run(*args: str | Path, **options: Any) -> Any:
        return run_llmtool("translate", *args, "--to", "French", "-m", tiny, **options)

    return run


def test_text_gets_a_final_newline_and_documents_are_unchanged(
    translate: Callable[..., Any],
) -> None:
    done = translate("Good morning, my dear friends!")
    assert done.returncode == 0 and done.stdout.endswith(b"\n") and len(done.stdout.split()) > 1
    assert not translate(input=b"Good morning, my dear friends!").stdout.endswith(b"\n")


def test_structure_of_a_file_is_preserved(scripted: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(MARKDOWN)
    done = scripted("-f", tmp_path / "page.md", "-o", tmp_path / "seite.md", "--to", "de")
    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "seite.md").read_text() == TRANSLATED


def test_format_is_detected_by_name_or_content(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    def translate(*args: str | Path, **options: Any) -> Any:
        return run_llmtool("translate", *args, "--to", "French", "-m", tiny, **options)

    (tmp_path / "film.srt").write_text(SUBTITLES)
    by_name = translate("-f", tmp_path / "film.srt", "--json")
    by_text = translate("--json", input=SUBTITLES.encode())
    for done in (by_name, by_text):
        result = json.loads(done.stdout)
        assert result["format"] == "srt"
        assert re.findall(r"\d\d:.*", result["text"]) == re.findall(r"\d\d:.*", SUBTITLES)
        assert result["text"].count("<i>") == 1
    assert (
        json.loads(translate("--json", "--format", "txt", input=SUBTITLES.encode()).stdout)[
            "format"
        ]
        == "txt"
    )


def test_bilingual_subtitles(scripted: Callable[..., Any]) -> None:
    done = scripted("--bilingual", "--to", "fr", input=SUBTITLES.encode())
    lines = done.stdout.decode().split("\n")
    at = lines.index("<i>Good morning.</i>")
    assert lines[at + 1 : at + 4] == ["<i>Bonjour.</i>", "", "2"]


def test_json_has_all_fields(translate_with_tiny: Callable[..., Any]) -> None:
    result = json.loads(translate_with_tiny("Good morning, my dear friends!", "--json").stdout)
    assert list(result) == [
        "text", "source", "to", "format", "untranslated", "protected", "n_segments", "n_retried",
        "n_cached", "n_kept", "model", "usage", "seconds", "warnings",
    ]  # fmt: skip
    assert (result["source"], result["to"], result["format"]) == ("en", "fr", "txt")


def test_untranslatable_segment_stays_with_a_note(
    run_llmtool: Callable[..., Any], tiny: Path, tmp_path: Path
) -> None:
    text = "The library is closed on Mondays.\n\nSee {place}.\n"
    call = ("translate", "--to", "de", "--from", "en", "-m", tiny)
    done = run_llmtool(*call, input=text.encode())
    assert (done.returncode, done.stdout.decode()) == (0, text)
    assert "segments were not translated (line 1: " in done.stderr.decode()
    target = tmp_path / "out.txt"
    strict = run_llmtool(*call, "--strict", "-o", target, input=text.encode())
    assert "were not translated" in error_line(strict, 17) and not target.exists()
    as_json = run_llmtool(*call, "--strict", "--json", input=text.encode())
    assert as_json.returncode == 17
    assert [each["line"] for each in json.loads(as_json.stdout)["untranslated"]] == [1, 3]


def test_lines_are_translated_as_they_arrive(translate: Callable[..., Any]) -> None:
    done = translate("--each", "line", input=b"Good morning, my friends!\nIt is raining today.\n")
    assert done.returncode == 0
    assert len(done.stdout.decode().splitlines()) == 2


def test_rows_keep_their_columns(translate: Callable[..., Any]) -> None:
    data = b"id,text\n7,It is raining in the whole country today.\n8,\n"
    done = translate("--each", "csv", input=data)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert done.returncode == 3
    assert [row["id"] for row in rows] == ["7", "8"]
    assert rows[0]["text"] and rows[0]["source"] == "en"
    assert "empty" in rows[1]["error"]


def test_batch_of_files_uses_their_names(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "a.srt").write_text(SUBTITLES)
    (tmp_path / "b.txt").write_text("It is raining today.\n")
    done = translate_with_tiny(
        "--each", "file", "-f", "a.srt", "-f", "b.txt", "--json", cwd=tmp_path
    )  # --json prints complete results
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["result"]["format"] for row in rows] == ["srt", "txt"]


def test_dry_run_shows_the_prompt_of_the_first_segment(
    translate_with_tiny: Callable[..., Any],
) -> None:
    done = translate_with_tiny("Open {file} and read it.", "--dry-run")
    assert b"Keep {1} in the translation.\nTranslate" in done.stdout
    assert b"to French: Open {1} and read it." in done.stdout


@pytest.mark.parametrize("more", [(), ("--each", "line")], ids=["text", "batch"])
def test_starter_model_translation_has_a_warning(
    run_llmtool: Callable[..., Any], tiny: Path, more: tuple[str, ...]
) -> None:
    def notes(model: object) -> bytes:
        args = ("translate", "--to", "French", *more, "--dry-run", "-m", model)
        stderr: bytes = run_llmtool(*args, input=b"Hello!\n").stderr
        return stderr

    warning = b"llmtool: the starter model knows little of other languages"
    assert notes("starter").startswith(warning)
    assert warning not in notes(tiny)


def test_glossary_terms_are_added_where_they_occur(
    translate: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "terms.csv").write_text("term,German,French\nlibrary,Bibliothek,mediathèque\n")
    done = translate("The library.", "--dry-run", "--glossary", tmp_path / "terms.csv")
    assert b"library = mediath\xc3\xa8que" in done.stdout
    (tmp_path / "pairs.csv").write_text("library,médiathèque\nriver,fleuve\n")
    done = translate("The library.", "--dry-run", "--glossary", tmp_path / "pairs.csv")
    assert "library = médiathèque" in done.stdout.decode() and b"fleuve" not in done.stdout


def test_regex_and_mark_in_a_pipe(translate: Callable[..., Any]) -> None:
    source = b'msgid ""\nmsgstr ""\n\nmsgid "Order ACME-12 now"\nmsgstr ""\n'
    args = ("--protect", r"ACME-\d+", "--mark", "fuzzy", "--dry-run")
    done = translate(*args, input=source)
    assert done.returncode == 0 and b"French: Order {1} now" in done.stdout


def test_update_keeps_edits_in_the_same_file(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    source, output = tmp_path / "a.json", tmp_path / "b.json"
    source.write_text('{"a": "Good morning", "b": "It is raining"}')
    output.write_text('{"a": "Bonjour à tous"}')
    args = ("-f", source, "--update", "b.json", "-o", "b.json")
    assert b"b.json already exists" in translate_with_tiny(*args, cwd=tmp_path).stderr
    done = translate_with_tiny(*args, "--overwrite", cwd=tmp_path)
    assert done.returncode == 0
    assert b"1 of 2 segments kept from b.json, 1 new or changed" in done.stderr
    assert json.loads(output.read_text())["a"] == "Bonjour à tous"


@pytest.mark.parametrize(
    ("args", "input", "code", "message"),
    [
        (("hello", "--to", "Frnch"), None, 2, "did you mean 'French'"),
        (("hello",), None, 2, "--to"),
        (("hello", "--to", "fr", "--from", "xx"), None, 2, "--from: unknown language 'xx'"),
        (("--to", "fr"), b" \n", 14, "empty"),
        (("--to", "fr"), b"caf\xe9", 14, "UTF-8"),
        (("--to", "fr"), b"\0\1\2 Hello, my dear friends!", 14, "NUL byte"),
        (("--to", "fr"), b"%PDF-1.4 Hello, my dear friends!", 14, "PDF"),
        (("", "--to", "fr"), None, 14, "TEXT is empty"),
        (("--to", "fr", "--no-stdin"), None, 2, "no input; pass TEXT"),
        (("--to", "fr", "-f", "nothing.md"), None, 14, "nothing.md"),
        (("--to", "fr", "-f", "a", "-f", "b"), None, 2, "--each file"),
        (("hello", "--to", "fr", "--each", "line"), None, 2, "'hello' and --each cannot"),
        (("hello", "--to", "fr", "--glossary", "nothing.csv"), None, 14, "nothing.csv"),
        (("--to", "fr", "--format", "json"), b'{"a": ', 14, "line 1"),
        (("--to", "fr", "--format", "srt"), b"no subtitles\n", 14, "line 1"),
        (("--to", "fr", "--bilingual", "--format", "json"), b'{"a": "It rains"}', 2, "srt"),
        (("hello", "--to", "fr", "--protect", "("), None, 2, "--protect (: not a valid regex"),
        (("hello", "--to", "fr", "--update", "nothing.txt"), None, 14, "nothing.txt: no such file"),
        (("hello", "--to", "fr", "--update", "-"), None, 2, "--update -: must be the name of a"),
        (("--to", "fr", "--update", __file__, "--each", "line"), b"a", 2, "--update and --each"),
        (("hello", "--to", "fr", "--update", __file__), None, 14, "--update: not known as"),
    ],
    ids=[
        "language", "no language", "source", "empty", "not utf-8", "binary", "pdf",
        "no text", "nothing", "file", "two files", "each", "glossary", "json", "srt", "bilingual",
        "protect", "missing old", "old on stdin", "old and each", "other old",
    ],
)  # fmt: skip
def test_errors_are_one_line(
    run_llmtool: Callable[..., Any],
    starter: Path,
    args: tuple[str, ...],
    input: bytes | None,
    code: int,
    message: str,
) -> None:
    done: subprocess.CompletedProcess[bytes] = run_llmtool(
        "translate", *args, "-m", starter, input=input
    )
    assert message in error_line(done, code)


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("a.json", b'{"a": ', 14, "a.json: line 1, column 7: not valid JSON"),
        ("a.srt", b"no subtitles\n", 14, "a.srt: line 1: no timing found"),
        ("a.txt", b" \n", 14, "is empty"),
        ("a.bin", b"text\0\1", 14, "a.bin: contains a NUL byte; the input must be text"),
        (
            "a.csv",
            b"a,b\nx y,z\n",
            2,
            "a.csv is a table; use --each csv --field NAME (first line: a,b)",
        ),
    ],
    ids=["json", "srt", "empty", "binary", "table"],
)
@pytest.mark.parametrize("each", [(), ("--each", "file")], ids=["one", "batch"])
def test_file_errors_name_the_file(
    translate: Callable[..., Any],
    tmp_path: Path,
    each: tuple[str, ...],
    name: str,
    content: bytes,
    code: int,
    message: str,
) -> None:
    (tmp_path / name).write_bytes(content)
    done = translate(*each, "-f", name, cwd=tmp_path)
    if not each:
        assert message in error_line(done, code)
        return
    row = json.loads(done.stdout)
    assert (row["file"], row["exit_code"]) == (name, code)
    assert message.removeprefix(f"{name}: ") in row["error"]


def test_word_document_in_a_file_and_a_pipe(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    import docx

    document = docx.Document()
    document.add_paragraph("Good morning, my dear friends!")
    document.save(str(tmp_path / "in.docx"))
    content = (tmp_path / "in.docx").read_bytes()
    done = translate_with_tiny("-f", tmp_path / "in.docx", "-o", tmp_path / "out.docx")
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(docx.Document(str(tmp_path / "out.docx")).paragraphs) == 1
    done = translate_with_tiny(input=content)
    assert (done.returncode, done.stdout[:4]) == (0, b"PK\x03\x04")
    done = translate_with_tiny("-f", tmp_path / "in.docx", "--json")
    assert done.returncode == 2 and b"--json cannot contain a .docx file" in done.stdout
    done = translate_with_tiny("--each", "file", "-f", "in.docx", cwd=tmp_path)
    error = "in.docx is a Word document; translate it without --each: -f in.docx -o FILE"
    assert done.returncode == 3 and error in json.loads(done.stdout)["error"]
    done = translate_with_tiny(input=content[:2000])
    assert "standard input: the zip file is damaged" in error_line(done, 14)


def test_xliff_in_a_pipe_and_subtitles_in_other_encodings(
    tmp_path: Path, scripted: Callable[..., Any]
) -> None:
    source = next(iter(TRANSLATIONS))
    unit = f'<trans-unit id="1"><source>{source}</source></trans-unit>'
    file = f'<xliff version="1.2"><file source-language="en"><body>{unit}</body></file></xliff>\n'
    (tmp_path / "a.xlf").write_text(file)
    done = scripted("-f", tmp_path / "a.xlf", "--to", "fr", "--mark", "fuzzy")
    assert (done.returncode, done.stdout.decode()) == (
        0,
        file.replace('"en"', '"en" target-language="fr"').replace(
            "</source>",
            f'</source><target state="needs-review-translation">{TRANSLATIONS[source]}</target>',
        ),
    )
    for encoding in ("gbk", "utf-16"):
        cue = f"1\r\n00:00:01,000 --> 00:00:02,000\r\n{source}\r\n"
        (tmp_path / "a.srt").write_bytes(cue.encode(encoding))
        done = scripted("-f", tmp_path / "a.srt", "--to", "fr", "--encoding", encoding)
        written = "utf-8" if encoding == "gbk" else encoding
        translation = cue.replace(source, TRANSLATIONS[source])
        assert (done.returncode, done.stdout) == (0, translation.encode(written))
