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
        ("utf-16", b"1\n", "is utf-16; the output is UTF-8"),
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
    assert "--format txt" in error_line(done, 2)
