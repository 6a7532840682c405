"""Time of `translate` besides the model for syntax that is repeated, as in hostile documents.

    python benchmarks/repeated_syntax.py [FORMAT ...] [--sizes 8 32] [--limit 20]

Repeats each fragment of syntax to two sizes (kB) in each format, and translates both with an engine
without delay whose replies have accents. Prints the CPU seconds of the larger size, and their
ratio, for the texts whose time grows faster than their size. A text that takes longer than the
limit has the ratio "inf".
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import time
from collections.abc import Callable
from types import FrameType

from llmtool import Toolbox
from llmtool.documents.formats import check_format
from llmtool.engine.scripted import ScriptedEngine
from llmtool.errors import LlmtoolError

# ruff: noqa: E501
FRAGMENTS = [
    "[", "]", "(", ")", "[a](", "[a][", "![", "![[", "[[a|", "[^a", "[a]: x\n\n", "[a](x \"", "<", ">",
    "<!--", "-->", "<a ", "<a href=\"", "<i>", "</i>", "<b>a ", "<a><", "<![CDATA[", "<?", "&", "&amp;", "&#",
    "`", "`a ", "```\n", "~~~\n", "*", "**a ", "_a ", "~~a ", "$", "$a ", "$$", "\\(", "\\[", "\\", "{", "{%", "{{",
    "{:", "{a", "{\\an8}", "{\\p1}", "{\\k5}", "{n, plural, ", "%", "%(", "%%a ", "%s ", ":a:", ":a:`", "::", "|", "| a ",
    "||\n", "- ", "-", "- a\n", "> ", "1. ", "#", "=", "a\n===\n", "+", "+-", "+---+\n", "|a|\n|-|\n", "\\N", "\\N- ", "!!! a\n", ":::a\n",
    "http://", "a@", "a.b@c.", "www.a(", "é", "图", " ", "\t", "\n", "a", "a ", "a. ", "A. ", "a, ", "1", "\"", "'", "“", "a/", "a_", "$t(",
    "..", ".. ", ".. a::\n", "__", "`a`_ ", "|a", "@", "\u200b", "\u0301",
    "--> ", "00:01.000 --> 00:02.000\n", "msgid \"", "<p>", "<table>", "<div><p>a", "<script>", "<svg>", "<p a=\"a>", "<li>a", "<a href=#a>a ",
]  # fmt: skip
_AT = "00:00:01,000 --> 00:00:02,000"
_PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid {}\nmsgstr ""\n'
_ASS = (
    "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Good evening {}\\Nto all\n"
)
_XLIFF = (
    '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file source-language="en"'
    ' target-language="de" datatype="plaintext" original="x"><body><trans-unit id="1"><source>Good'
    " evening {}</source></trans-unit></body></file></xliff>"
)
_QT = (
    '<!DOCTYPE TS><TS version="2.1" language="de"><context><name>C</name><message><source>Good'
    ' evening {}</source><translation type="unfinished"></translation></message></context></TS>'
)


def _flat(text: str) -> str:
    return re.sub(r"[\n\x1e]", " ", text)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# The format, and a document from a text.
KINDS: dict[str, tuple[str, Callable[[str], str]]] = {
    "md": ("md", lambda t: f"Good evening {t}\n"),
    "md start": ("md", lambda t: f"{t}\n\nGood evening to all\n"),
    "mdx": ("mdx", lambda t: f"Good evening {t}\n"),
    "txt": ("txt", lambda t: f"Good evening {t}\n"),
    "html": ("html", lambda t: f"<body><p>Good evening {t}</p></body>"),
    "rst": ("rst", lambda t: f"Good evening {t}\n"),
    "rst start": ("rst", lambda t: f"{t}\n\nGood evening to all\n"),
    "srt": ("srt", lambda t: f"1\n{_AT}\nGood evening {_flat(t)}\nto all\n"),
    "srt words": ("srt", lambda t: f"1\n{_AT}\nGood {_flat(t)}e\n{_flat(t)} {_flat(t)}\n"),
    "vtt": ("vtt", lambda t: f"WEBVTT\n\n{_AT.replace(',', '.')}\nGood evening {_flat(t)}\nto all\n"),
    "ass": ("ass", lambda t: _ASS.format(_flat(t).replace("{}", "{ }"))),
    "json": ("json", lambda t: json.dumps({"text": f"Good evening {t}"})),
    "json start": ("json", lambda t: f'{{"text": "Good evening"}}{t}'),
    "po": ("po", lambda t: _PO.replace("{}", json.dumps(f"Good evening {t}", ensure_ascii=False))),
    "po start": ("po", lambda t: _PO.replace("{}", '"Good evening"') + t),
    "properties": ("properties", lambda t: f"key=Good evening {_flat(t)}\n"),
    "strings": ("strings", lambda t: f'"key" = {json.dumps("Good evening " + t, ensure_ascii=False)};\n'),
    "android": ("android", lambda t: f'<resources><string name="a">Good evening {_xml(t)}</string></resources>'),
    "xliff": ("xliff", lambda t: _XLIFF.replace("{}", _xml(t))),
    "qt": ("qt", lambda t: _QT.replace("{}", _xml(t))),
}  # fmt: skip
_PROMPT = re.compile(r"Translate(?: from [\w ]+)? to [\w ]+: (.*)", re.DOTALL)


class _TooLong(BaseException):
    """A text took longer than the limit, at this place."""


def accents(prompt: str) -> str:
    found = _PROMPT.search(prompt)
    assert found is not None
    return found[1].replace("e", "é")


def seconds(kind: str, fragment: str, size: int, limit: float) -> tuple[float, str]:
    """Return the CPU seconds of a translation, and its error."""
    format, wrap = KINDS[kind]
    text = wrap(fragment * (size // len(fragment.encode())))
    toolbox = Toolbox(engine=ScriptedEngine(accents, n_ctx=1 << 22), model="scripted")
    dialect = "mdx" if format == "mdx" else "auto"
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limit)
    error = ""
    try:
        toolbox.translate(
            text,
            "en",
            source="en",
            format=check_format("md" if format == "mdx" else format),
            dialect=dialect,  # type: ignore[arg-type]
        )
    except LlmtoolError as exc:
        error = f"{type(exc).__name__}: {str(exc)[:60]}"
    except _TooLong as exc:
        return float("inf"), str(exc)
    except Exception as exc:
        error = f"!! {type(exc).__name__}: {str(exc)[:60]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return time.process_time() - started, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="FORMAT", default=list(KINDS))
    parser.add_argument("--sizes", nargs=2, type=int, default=[8, 32], metavar="KB")
    parser.add_argument("--limit", type=float, default=20.0, help="CPU seconds for each text")
    args = parser.parse_args()

    def stop(number: int, frame: FrameType | None) -> None:
        while frame and frame.f_back and "llmtool" not in frame.f_code.co_filename:
            frame = frame.f_back
        raise _TooLong(f"{frame.f_code.co_filename[-30:]}:{frame.f_lineno}" if frame else "")

    signal.signal(signal.SIGPROF, stop)
    small, large = (size * 1000 for size in args.sizes)
    for kind in args.kinds:
        for fragment in FRAGMENTS:
            before, error = seconds(kind, fragment, small, args.limit)
            after, last = (
                seconds(kind, fragment, large, args.limit) if before < 1e9 else (before, error)
            )
            ratio = after / max(before, 1e-3) if before < 1e9 else float("inf")
            is_slow = after > 0.2 and ratio > 1.6 * large / small
            if is_slow or after > 3 or error.startswith("!!") or last.startswith("!!"):
                print(
                    f"{kind:12}{fragment!r:28}{after:7.2f} s  ratio {ratio:.1f} {last}", flush=True
                )
        print(f"{kind}: done", flush=True)


if __name__ == "__main__":
    main()
