"""`llmtool translate`: encodings of documents, and formats that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

SUBTITLES = (
    "1\n00:00:01,000 --> 00:00:02,500\n<i>Good morning.</i>\n\n"
    "2\n00:00:03,000 --> 00:00:04,000\nIt is raining.\n"
)


@pytest.fixture
def translate_with_tiny(run_llmtool: Callable[..., Any], tiny: Path) -> Callable[..., Any]:
    def run(*args: str | Path, **options: Any) -> Any:
        return run_llmtool("translate", *args, "--to", "French", "-m", tiny, **options)

    return run


@pytest.mark.parametrize(
    ("encoding", "starts", "note"),
    [
        ("utf-8-sig", b"\xef\xbb\xbf1\n", None),
        ("gbk", b"1\n", "read as gb18030 (detected); --encoding NAME sets another"),
    ],
)
def test_output_is_utf8_and_keeps_a_byte_order_mark(
    translate_with_tiny: Callable[..., Any],
    tmp_path: Path,
    encoding: str,
    starts: bytes,
    note: str | None,
) -> None:
    path = tmp_path / "a.srt"
    text = SUBTITLES.replace("It is raining.", "大家早上好！")
    path.write_bytes(text.encode(encoding))
    done = translate_with_tiny("-f", path, "--max-tokens", "8")
    assert done.returncode == 0
    assert done.stdout.startswith(starts)
    assert "00:00:03,000 --> " in done.stdout.decode()
    errors = done.stderr.decode()
    assert note in errors if note else "UTF-8" not in errors


@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["no mark", "mark"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_and_their_marks_remain(
    translate_with_tiny: Callable[..., Any], tmp_path: Path, codec: str, bom: str
) -> None:
    path, out = tmp_path / "a.srt", tmp_path / "out.srt"
    path.write_bytes((bom + SUBTITLES).encode(codec))
    options = () if bom or codec.startswith("utf-16") else ("--encoding", codec)
    done = translate_with_tiny("-f", path, "--max-tokens", "8", "-o", out, *options)
    text = out.read_bytes().decode(codec)
    assert (done.returncode, text.startswith(f"{bom}1\n")) == (0, True)
    assert "00:00:03,000 --> " in text and "UTF-8" not in done.stderr.decode()


def test_wide_document_that_declares_its_encoding_becomes_utf8(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "strings.xml"
    text = (
        "<?xml version='1.0' encoding='utf-16'?><resources><string name='a'>5</string></resources>"
    )
    path.write_bytes(text.encode("utf-16"))
    done = translate_with_tiny("-f", path)
    assert done.stdout.decode() == text.replace("utf-16", "UTF-8")
    assert "is utf-16; the output is UTF-8" in done.stderr.decode()


def test_json_and_rows_of_a_wide_document_are_utf8(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(SUBTITLES.encode("utf-16"))
    for options in (("--json",), ("--each", "file")):
        done = translate_with_tiny("-f", path, "--max-tokens", "8", *options)
        assert "00:00:03,000 --> " in done.stdout.decode()
        assert "is utf-16; the output is UTF-8" in done.stderr.decode()


def test_declared_encoding_becomes_utf8(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.html"
    path.write_bytes('<meta charset="koi8-r"><p translate=no>Привет</p>'.encode("koi8-r"))
    done = translate_with_tiny("-f", path)
    assert done.stdout.decode() == '<meta charset="UTF-8"><p translate=no>Привет</p>'


def test_unsupported_format_is_refused(
    translate_with_tiny: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.org"
    path.write_text("* Title\n")
    done = translate_with_tiny("-f", path)
    assert "a.org is Org mode, which is not supported" in error_line(done, 2)
    assert "--format" not in error_line(done, 2)
