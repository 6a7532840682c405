"""What reads input from others: for each kind, valid documents, its syntax and its reader."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from tiny_adapter import write_tiny_adapter
from tiny_model import write_tiny_model

from llmtool import Toolbox
from llmtool.batch.readers import Reader
from llmtool.cancellation import Cancellation
from llmtool.config import load_settings
from llmtool.documents.readers.readable import read_document
from llmtool.engine.llama.adapters import check_adapter
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.preflight import preflight, preflight_adapter
from llmtool.engine.scripted import ScriptedEngine
from llmtool.prompts.library import Library
from llmtool.sessions.store import Sessions
from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint
from llmtool.structured.linear_regex import compile_search
from llmtool.structured.resolve import resolve
from llmtool.tasks.code.diffs import parse_diff
from llmtool.tasks.summarize.source import read_sentences

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "documents" / "corpus"


class Target(msgspec.Struct, frozen=True):
    """`read` gets a document and an empty folder; it may raise any `LlmtoolError`.

    `has_limits`: its child process limits what it cannot do in linear time.
    """

    corpus: list[bytes]
    syntax: list[bytes]
    read: Callable[[bytes, Path], object]
    has_limits: bool = False


def files(*suffixes: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.suffix in suffixes]


@cache
def _toolbox() -> Toolbox:
    """A toolbox whose model repeats its input."""
    return Toolbox(
        engine=ScriptedEngine(lambda prompt: prompt.rpartition(": ")[2]), model="scripted"
    )


@cache
def _compiler(folder: Path) -> ConstraintCompiler:
    path = write_tiny_model(folder.parent / "vocabulary.gguf", "plain")
    weights = LlamaModel(path, n_gpu_layers=0, vocab_only=True, cancellation=Cancellation())
    return ConstraintCompiler(weights)


def summarize(suffix: str, data: bytes, folder: Path) -> None:
    read_sentences(read_document(data, name=f"in{suffix}").text)


def translate(format: Any, data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    _toolbox().translate(text, "fr", source="en", format=format)


def load_model(data: bytes, folder: Path) -> None:
    path = folder / "model.gguf"
    path.write_bytes(data)
    preflight(path, (path,), cache_folder=folder, cancellation=Cancellation())


def load_adapter(data: bytes, folder: Path) -> None:
    path = folder / "adapter.gguf"
    path.write_bytes(data)
    model = write_tiny_model(folder / "model.gguf", "plain")
    check_adapter(path, "llama")
    preflight_adapter(path, model, (model,), cache_folder=folder, cancellation=Cancellation())


def load_template(data: bytes, folder: Path) -> None:
    path = folder / "fuzzed.yaml"
    path.write_bytes(data)
    Library([folder]).load(str(path))


def load_config(data: bytes, folder: Path) -> None:
    path = folder / "config.toml"
    path.write_bytes(data)
    load_settings({}, path)


def load_session(data: bytes, folder: Path) -> None:
    (folder / "talk.jsonl").write_bytes(data)
    Sessions(folder).recover("talk")


def check_schema(data: bytes, folder: Path) -> None:
    schema = resolve(data.decode("utf-8", "replace"))
    schema.check()
    _compiler(folder).compile(schema.constraint)


def constrain(kind: Any, data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    _compiler(folder).compile(Constraint(kind, text))


def search(data: bytes, folder: Path) -> None:
    try:
        compile_search(data.decode("utf-8", "replace"))("a" * 1000 + "b")
    except ValueError:
        pass  # the reason why the pattern is not supported


def read_records(format: Any, data: bytes, folder: Path) -> None:
    path = folder / "records"
    path.write_bytes(data)
    for _ in Reader(format, [str(path)]):
        pass


def read_diff(data: bytes, folder: Path) -> None:
    parse_diff(data.decode("utf-8", "replace"))


MAIL = b"""From: Ana <ana@example.org>
To: "Ben, Jr." <ben@example.org>, =?utf-8?q?M=C3=BCller?= <m@example.org>
Subject: =?iso-8859-1?b?SGVsbG8=?= there
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"; charset*=utf-8''x

--b1
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The bridge opens on Monday at =A0 nine.
--b1
Content-Type: text/html
Content-Transfer-Encoding: base64

PHA+SGVsbG88L3A+
--b1
Content-Type: message/rfc822

Subject: inner

Inner text.
--b1--
"""
PDF = b"""%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [3 0 R] /Count 1 >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << >> >>
endobj
4 0 obj
<< /Length 44 >>
stream
BT /F1 12 Tf 72 720 Td (The bridge opens.) Tj ET
endstream
endobj
trailer
<< /Root 1 0 R /Size 5 >>
startxref
0
%%EOF
"""
DIFF = b"""diff --git a/one.py b/one.py
index 83db48f..bf269f4 100644
--- a/one.py
+++ b/one.py
@@ -1,3 +1,4 @@ def f():
 a = 1
-b = 2
+b = 3
+c = 4
 d = 5
"""
TOML = b"""model = "starter"
threads = 4
[aliases]
small = "hf:a/b:Q4_0"
[models."a b"]
template_args = { x = [1, 2.5, true], y = 1979-05-27T07:32:00Z }
"""
SESSION = b"""{"llmtool": 1, "model": "starter"}
{"user": "Hello", "text": "Hi.", "finish_reason": "stop"}
"""
GRAMMAR = b"""root ::= term (" + " term)* # sums
term ::= number | "(" root ")"
number ::= [1-9] [0-9]{0,3} | "\\x41" | [^a-z\\]]?
"""
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z]\\w+$", "maxLength": 20},
            "n": {"type": "integer", "minimum": 0, "multipleOf": 5},
            "tags": {"type": "array", "items": {"enum": ["a", 1, None]}, "uniqueItems": True},
            "next": {"$ref": "#/$defs/next"},
        },
        "patternProperties": {"^x": {"type": "number"}},
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    }
).encode()
with tempfile.TemporaryDirectory() as _folder:
    ADAPTER = write_tiny_adapter(Path(_folder, "adapter.gguf")).read_bytes()
HTML = b"<p <!-- --> <a href=' <table> <td> </div> <script> <![CDATA[ &amp &#x110000; <nav>".split()
MARKDOWN = (
    b"** __ ` ``` ![[ [a]( ](  > - # | <b> </b> $$ \\[ {{% ::: !!! [^1]: {#a} --- ~~~".split()
)

TARGETS: dict[str, Target] = {
    "gguf": Target(
        [], [b"GGUF", b"\x08\0\0\0", b"\xff" * 8, b"\0" * 8, b"llama", b"gpt2"], load_model
    ),
    "adapter": Target(
        [ADAPTER],
        [b"GGUF", b"\xff" * 8, b"\0" * 8, b"lora", b"lora_a", b"blk.0."],
        load_adapter,
    ),
    "mail": Target(
        [MAIL],
        [b"--b1\n", b"=?utf-8?q?", b"?=", b'; a*0="', b"<", b"Content-Type: "],
        partial(summarize, ".eml"),
    ),
    "pdf": Target(
        [PDF],
        [b"obj", b"<<", b"[", b"(", b"/Kids", b"3 0 R", b"stream\n"],
        partial(summarize, ".pdf"),
    ),
    "page": Target(files(".html"), HTML, partial(summarize, ".html")),
    "html": Target(files(".html"), HTML, partial(translate, "html")),
    "md": Target(files(".md", ".mdx"), MARKDOWN, partial(translate, "md")),
    "srt": Target(
        files(".srt"),
        [b"<i>", b"{\\an8}", b"-->", b"\n\n", b"00:00:01,000"],
        partial(translate, "srt"),
    ),
    "vtt": Target(
        files(".vtt"), [b"<c>", b"NOTE", b"-->", b"\n\n", b"<00:01.000>"], partial(translate, "vtt")
    ),
    "po": Target(
        files(".po"),
        [b"msgid ", b'"', b"\n#, fuzzy\n", b"msgstr[1]", b"%s", b"\\"],
        partial(translate, "po"),
    ),
    "json": Target(
        files(".json", ".arb"), [b"{", b"[", b'"', b"\\u", b":", b","], partial(translate, "json")
    ),
    "csv": Target(
        [b'id,text,text\n1,"Good, but late",a\n', b"a;b\n1;2\n", b"a\tb\n1\t2\n"],
        [b",", b'"', b'""', b"\n", b"\r", b";", b"a,", b",\n"],
        partial(read_records, "csv"),
    ),
    "jsonl": Target(
        [b'{"text": "one", "n": [1, {"a": null}]}\n"two"\n'],
        [b"{", b"[", b'"', b"\\ud800", b"\n", b'{"a":'],
        partial(read_records, "jsonl"),
    ),
    "yaml": Target(
        [(ROOT.parent / "prompts" / "title.yaml").read_bytes()],
        [b"- ", b"&a ", b"*a", b"{", b"{% for x in y %}", b"!!python/x ", b": |\n", b"<<: "],
        load_template,
    ),
    "toml": Target([TOML], [b"a.", b"[", b"[[", b"{", b'"""', b"= "], load_config),
    "session": Target([SESSION], [b"{", b"[", b'"', b"\n", b"null", b'"text":'], load_session),
    "schema": Target(
        [SCHEMA, b"name, age int, tags [string]"],
        [b'{"anyOf": [', b'"$ref": "#"', b"[", b"{", b'"pattern": "(a+)+"', b"}"],
        check_schema,
        has_limits=True,
    ),
    "grammar": Target(
        [GRAMMAR],
        [b"(", b'"a"? ', b"{1,100000}", b" | ", b"root ", b"[^", b"\n"],
        partial(constrain, "gbnf"),
        has_limits=True,
    ),
    "regex": Target(
        [rb"(yes|no|[a-z]{2,5})+ \d* .?"],
        [b"(", b"{1,1000}", b"|", b"[", b"\\", b"*"],
        partial(constrain, "regex"),
        has_limits=True,
    ),
    "assertion": Target(
        [rb"(?i)^(a+)+$|\bx\w{2,}"],
        [b"(", b"{1,1000}", b"|", b"[", b"\\", b"*", b"(?=", b"\\1"],
        search,
    ),
    "diff": Target([DIFF], [b"@@ ", b"+", b"-", b"\n", b"diff --git ", b"rename from "], read_diff),
}
