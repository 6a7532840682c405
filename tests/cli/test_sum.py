"""`llmtool sum`: files, pipes, several files, batches, errors."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import worker_functions
from command import error_line

from llmtool import worker
from llmtool.documents.readers import readable
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.workflow import StepReply
from llmtool.tasks.summarize.self_test import SelfTest

LIBRARY = (
    "The town library of Marbury will close for repairs from 3 March to 30 June. The roof has "
    "leaked since the storm in November, and 400 books were lost. A bus with 2,000 books will stop "
    "at the market square on Tuesdays and Fridays. The repairs cost 1.2 million euros.\n"
)


@pytest.fixture
def summarize(run_llmtool: Callable[..., Any], starter: Path) -> Callable[..., Any]:
    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool("sum", *args, "-m", starter, **options)  # type: ignore[no-any-return]

    return run


@pytest.fixture
def quick(run_llmtool: Callable[..., Any], tiny_model: Callable[..., Path]) -> Callable[..., Any]:
    """Return `summarize` with a tiny model, whose summaries make no sense."""
    options = ("-m", tiny_model("plain", printable=True), "--max-tokens", "40", "--threads", "1")

    def run(*args: str | Path, **given: Any) -> subprocess.CompletedProcess[bytes]:
        return run_llmtool("sum", *args, *options, **given)  # type: ignore[no-any-return]

    return run


def test_pipe_and_file_give_the_same_summary(quick: Callable[..., Any], tmp_path: Path) -> None:
    short = ("--seed", "1")
    (tmp_path / "a.txt").write_text(LIBRARY)
    piped = quick(*short, input=LIBRARY.encode())
    assert piped.returncode == 0 and len(piped.stdout) > 40 and piped.stdout.endswith(b"\n")
    assert quick(*short, tmp_path / "a.txt").stdout == piped.stdout
    assert quick(*short, "-", input=LIBRARY.encode()).stdout == piped.stdout
    quick(*short, tmp_path / "a.txt", "-o", tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == piped.stdout


def test_bullets_and_headline_have_their_form(summarize: Callable[..., Any]) -> None:
    call = ("--style", "bullets", "--length", "3", "--strategy", "extract")
    points = summarize(*call, input=LIBRARY.encode()).stdout
    lines = points.decode().splitlines()
    assert len(lines) == 3 and all(line.startswith("- ") for line in lines)
    call = ("--style", "headline", "--strategy", "extract")
    done = summarize(*call, input=LIBRARY.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    headline = done.stdout
    assert headline.count(b"\n") == 1 and len(headline) > 5


def test_json_has_the_share_of_the_page_that_was_used(
    quick: Callable[..., Any], tmp_path: Path
) -> None:
    article = f"<main><h1>News</h1><p>{LIBRARY}</p></main>"
    around = [f"<{tag}><p>{LIBRARY}</p></{tag}>" for tag in ("header", "aside", "footer")]
    (tmp_path / "a.html").write_text(article)
    (tmp_path / "b.html").write_text("".join([article, *around]))
    whole = json.loads(quick("--json", tmp_path / "a.html").stdout)
    part = json.loads(quick("--json", tmp_path / "b.html").stdout)
    assert whole["share"] == 1 and 0.05 < part["share"] < 0.5
    assert not any("of the text" in each for each in whole["warnings"])
    assert f"used only {part['share']:.0%} of the text" in part["warnings"]
    both = quick("--json", "--together", tmp_path / "a.html", tmp_path / "b.html")
    assert part["share"] < json.loads(both.stdout)["share"] < 1


def test_json_describes_the_strategy(quick: Callable[..., Any]) -> None:
    result = json.loads(quick("--json", "--strategy", "write", input=LIBRARY.encode()).stdout)
    assert list(result) == [
        "text", "sentences", "strategy", "n_rejected", "n_cached", "seed", "model", "usage",
        "seconds", "warnings", "share",
    ]  # fmt: skip
    assert result["strategy"] == "write" and result["model"]
    for each in result["sentences"]:
        assert list(each) == ["text", "start", "end", "kind"]
        assert LIBRARY[each["start"] : each["end"]] == each["text"]


def test_extract_needs_no_model(run_llmtool: Callable[..., Any], env: dict[str, str]) -> None:
    call = ("sum", "--strategy", "extract", "-m", "./missing.gguf", "--length", "1 sentence")
    done = run_llmtool(*call, "--cite", "--stats", input=LIBRARY.encode())
    assert done.returncode == 0
    text, start, end = re.fullmatch(r"(.*) \[(\d+)–(\d+)\]\n", done.stdout.decode()).groups()
    assert LIBRARY[int(start) : int(end)] == text
    assert done.stderr.startswith(b"llmtool: extract: 1 sentence; ")
    assert b"sends no prompt" in run_llmtool(*call, "--dry-run", input=LIBRARY.encode()).stderr
    batch = run_llmtool(*call, "--each", "line", input=LIBRARY.encode() + b"\nIt rained all day.\n")
    assert batch.returncode == 0
    assert batch.stdout.decode().splitlines()[-1] == "It rained all day."


def test_weak_model_quotes_after_the_self_test(quick: Callable[..., Any]) -> None:
    first = quick("--json", input=LIBRARY.encode())
    assert json.loads(first.stdout)["strategy"] == "extract"
    second = quick("--stats", input=LIBRARY.encode())
    assert second.stdout.decode().strip() == json.loads(first.stdout)["text"]
    assert b"prompt tokens" not in second.stderr, "the result of the self-test is cached"


def test_written_summary_has_the_length_and_its_replies_are_reused(
    summarize: Callable[..., Any],
) -> None:
    call = ("--json", "--strategy", "write", "--length", "20 words", "--threads", "1")
    first = json.loads(summarize(*call, input=LIBRARY.encode()).stdout)
    second = json.loads(summarize(*call, input=LIBRARY.encode()).stdout)
    assert first["n_cached"] == 0 and second["n_cached"] >= 1
    assert second["text"] == first["text"] and second["sentences"] == first["sentences"]
    assert 17 <= len(first["text"].split()) <= 23 and first["text"][-1] in ".!?"


def test_several_files_give_separate_or_combined_summaries(
    quick: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(LIBRARY)
    (tmp_path / "b.txt").write_text("The night train to Trieste runs again from 2 May.\n")
    whole = ("--strategy", "stuff", "--dry-run")
    both = quick("a.txt", "b.txt", cwd=tmp_path).stdout.decode()
    assert both.startswith("==> a.txt <==\n") and "\n\n==> b.txt <==\n" in both
    rows = quick("a.txt", "b.txt", "--json", cwd=tmp_path).stdout.splitlines()
    assert [json.loads(row)["file"] for row in rows] == ["a.txt", "b.txt"]
    shown = quick("a.txt", "b.txt", "--together", *whole, cwd=tmp_path).stdout
    assert b"==> b.txt <==" in shown and b"leaked" in shown


def test_html_and_email_are_converted_to_text(quick: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        f"<title>x</title><script>var secret</script><h1>News</h1><p>{LIBRARY}</p>"
    )
    whole = ("--strategy", "stuff", "--dry-run")
    shown = quick(tmp_path / "a.html", *whole).stdout
    assert b"News" in shown and b"leaked" in shown and b"secret" not in shown
    mail = EmailMessage()
    mail["Subject"] = "Closing"
    mail.set_content(LIBRARY)
    mail.add_attachment(b"\0", maintype="application", subtype="x", filename="plan.bin")
    (tmp_path / "a.eml").write_bytes(bytes(mail))
    done = quick(tmp_path / "a.eml", *whole)
    assert b"Subject: Closing" in done.stdout and b"skipped attachments: plan.bin" in done.stderr


def test_pdf_is_read_and_invalid_pdf_is_an_error(quick: Callable[..., Any], tmp_path: Path) -> None:
    import pypdf

    text = "The town library of Marbury will close for repairs in March."
    (tmp_path / "a.pdf").write_bytes(pdf_of(text))
    assert text.encode() in quick(tmp_path / "a.pdf", "--dry-run").stdout
    writer = pypdf.PdfWriter(clone_from=str(tmp_path / "a.pdf"))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(str(tmp_path / "locked.pdf"))
    assert "encrypted" in error_line(quick(tmp_path / "locked.pdf"), 14)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    assert "cannot read" in error_line(quick(tmp_path / "broken.pdf"), 14)


def test_batch_has_rows(quick: Callable[..., Any]) -> None:
    data = "id,review\n1,The soup was cold and the waiter was rude to us.\n2,\n"
    done = quick("--each", "csv", "--field", "review", "--style", "tldr", input=data.encode())
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert done.returncode == 3
    assert rows[0]["text"] and rows[0]["strategy"] == "write" and "empty" in rows[1]["error"]


def test_batch_of_files_has_their_names(quick: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LIBRARY)
    done = quick("--each", "file", "a.txt", "--style", "tldr", cwd=tmp_path)
    assert json.loads(done.stdout)["file"] == "a.txt"


@pytest.mark.parametrize(
    ("args", "input", "code", "message"),
    [
        ((), b" \n", 14, "empty"),
        ((), b"...\n---\n", 14, "the text has no sentences to summarize"),
        (("--dry-run",), b"```\n```\n", 14, "the text has no sentences to summarize"),
        ((), b"\xff", 14, "UTF-8"),
        ((), b"ab\0cd", 14, "binary"),
        (("The town library is closed.",), None, 14, "no such file; to summarize text, pipe it in"),
        (("--length", "3 pages"), b"x", 2, "invalid length '3 pages'; use short"),
        (("--style", "haiku"), b"x", 2, "haiku"),
        (("--together", "--each", "line"), b"x", 2, "--each"),
        (("--together", "--sections"), b"x", 2, "--sections and --together"),
        (("--strategy", "stuff", "--ctx-size", "512"), LIBRARY.encode() * 20, 13, "y write"),
        (("--strategy", "refine"), b"x", 2, "refine"),
        (("-t", "nothing"), b"x", 12, "nothing"),
        (("-", "-"), b"x", 2, "twice"),
        (("--no-stdin",), b"x", 2, "nothing to read"),
        (("--resume",), b"x", 2, "--resume needs a batch"),
    ],
    ids=[
        "empty", "no sentences", "no sentences, dry run", "not UTF-8", "binary", "no file",
        "length", "style", "together", "sections of all", "too long", "old strategy", "template",
        "stdin twice", "nothing", "resume",
    ],
)  # fmt: skip
def test_errors_are_one_line(
    quick: Callable[..., Any],
    args: tuple[str, ...],
    input: bytes | None,
    code: int,
    message: str,
) -> None:
    assert message in error_line(quick(*args, input=input), code)


def pdf_of(text: str) -> bytes:
    """A minimal PDF with one line of text."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return out + head + table + tail % (len(objects) + 1, len(out))


def test_cached_self_tests_are_private_and_cleared_with_the_cache(
    quick: Callable[..., Any], run_llmtool: Callable[..., Any], env: dict[str, str]
) -> None:
    quick(input=LIBRARY.encode())
    notes = Path(env["LLMTOOL_CACHE_DIR"]) / "self-tests"
    files = list(notes.iterdir())
    assert list(DiskCache(notes).values(SelfTest)) and {
        path.stat().st_mode & 0o777 for path in files
    } == {0o600}
    assert notes.stat().st_mode & 0o777 == 0o700
    assert b"would free" in run_llmtool("cache", "clear", "--dry-run").stderr
    assert list(notes.iterdir()) == files
    run_llmtool("cache", "clear")
    assert not list(DiskCache(notes).values(SelfTest))


def test_interrupt_saves_the_replies(
    summarize: Callable[..., Any],
    start_llmtool: Callable[..., Any],
    starter: Path,
    env: dict[str, str],
    tmp_path: Path,
) -> None:
    words = "harbour storm garden train winter bridge school market letter tower".split()
    text = "\n\n".join(
        f"In {1900 + i} the {words[i % 10]} of the {words[i // 10]} number {i} cost {i * 37} euros."
        for i in range(100)
    )
    (tmp_path / "long.txt").write_text(text)
    call = (tmp_path / "long.txt", "--strategy", "write", "--length", "200 words")
    call = (*call, "--max-tokens", "20")
    few = ("--parallel", "2", "--threads", "1")  # so that the first replies finish early
    process = start_llmtool("sum", *call, *few, "-m", starter, stdin=subprocess.DEVNULL)
    notes = Path(env["LLMTOOL_CACHE_DIR"]) / "notes"
    limit = time.monotonic() + 100
    while time.monotonic() < limit and not list(DiskCache(notes).values(StepReply)):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT and out.count(b".") < 40
    assert list(DiskCache(notes).values(StepReply))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of memory")
def test_a_document_that_reaches_a_limit_is_one_failed_record(
    quick: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb, good = tmp_path / "bomb.docx", tmp_path / "good.txt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", f"<w:p xmlns:w='x'>{'<w:r/>' * 1_000_000}</w:p>")
    good.write_text(LIBRARY)
    monkeypatch.setattr(worker, "_MEMORY_BYTES", 80 << 20)
    alone = error_line(quick(bomb), 14)
    assert re.fullmatch(
        rf"llmtool: {bomb}: takes more than \d+ MiB of memory to read; "
        "split it, or convert it to plain text",
        alone,
    )
    done = quick("--each", "file", "-f", bomb, "-f", good, "--jsonl", "--seed", "1")
    failed, summarized = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 3
    assert failed["exit_code"] == 14 and failed["error"] == alone.removeprefix("llmtool: ")
    assert summarized["text"]


def test_the_time_limit_ends_a_parser(
    quick: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "_read_mail", worker_functions.sleep)
    (tmp_path / "a.eml").write_text("Subject: a\n\nb\n")
    started = time.monotonic()
    done = quick(tmp_path / "a.eml", "--timeout", "1")
    assert error_line(done, 19) == "llmtool: not finished after 1 s; raise --timeout"
    assert time.monotonic() - started < 60
