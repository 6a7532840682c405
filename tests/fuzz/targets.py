"""What reads input from others: for each kind, valid documents, its syntax and its reader."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import msgspec
from fuzz import peers
from tiny_adapter import write_tiny_adapter
from tiny_model import write_tiny_model

from llmtool import Toolbox
from llmtool.batch.readers import Reader
from llmtool.cancellation import Cancellation
from llmtool.config import load_settings
from llmtool.documents.packages import pack, unpack
from llmtool.documents.readers.readable import read_document
from llmtool.engine.llama.adapters import check_adapter
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.preflight import preflight, preflight_adapter
from llmtool.engine.scripted import ScriptedEngine
from llmtool.prompts.foreign import convert
from llmtool.prompts.library import Library
from llmtool.sessions.store import Sessions
from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint
from llmtool.structured.linear_regex import compile_search
from llmtool.structured.resolve import resolve
from llmtool.tasks.classify.labelled_texts import (
    read_labelled_texts,
    read_multi_labelled_texts,
)
from llmtool.tasks.code.diffs import parse_diff
from llmtool.tasks.summarize.source import read_sentences
from llmtool.tasks.translate.glossary import read_glossary
from llmtool.tuning.records import read_data

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
def _engine() -> ScriptedEngine:
    """A model that repeats its input."""
    return ScriptedEngine(lambda prompt: prompt.rpartition(": ")[2])


@cache
def _made_toolbox() -> Toolbox:
    return Toolbox(engine=_engine(), model="scripted")


def _toolbox() -> Toolbox:
    """Return a toolbox; the prompts of earlier documents are forgotten, as they take memory."""
    _engine().prompts.clear()
    return _made_toolbox()


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


def read_both(format: Any, suffix: str, data: bytes, folder: Path) -> None:
    """Read a document as `sum` does, and translate it."""
    summarize(suffix, data, folder)
    translate(format, data, folder)


def read_package(format: Any, data: bytes, folder: Path) -> None:
    """Read and translate a package, or one with this text in its member."""
    if not data.startswith(b"PK"):
        data = package(format, data)
    read_document(data, name=f"in.{format}")
    text = unpack(data)
    if text is not None:
        found = _toolbox().translate(text, "fr", source="en", format=format)
        pack(data, found.text)


def package(format: str, text: bytes) -> bytes:
    """Return a Word document or EPUB book with one member of text."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if format == "docx":
            archive.writestr("[Content_Types].xml", "<Types/>")
            archive.writestr("word/document.xml", text)
        else:
            archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
            archive.writestr("META-INF/container.xml", "<container/>")
            archive.writestr("a.xhtml", text)
    return file.getvalue()


def use_glossary(data: bytes, folder: Path) -> None:
    path = folder / "terms.csv"
    path.write_bytes(data)
    terms = read_glossary(str(path), "fr")
    _toolbox().translate("A branch. Two pull requests. " * 20, "fr", source="en", glossary=terms)


def read_examples(data: bytes, folder: Path) -> None:
    path = folder / f"examples.{'jsonl' if data.lstrip()[:1] == b'{' else 'csv'}"
    path.write_bytes(data)
    read_multi_labelled_texts(str(path))
    examples = read_labelled_texts(str(path))
    labels = list(dict.fromkeys(each.label for each in examples))
    _toolbox().classify("It was good", labels, examples=examples)


def read_tuning_data(data: bytes, folder: Path) -> None:
    path = folder / "data.jsonl"
    path.write_bytes(data)
    read_data(path, Library().load("sentiment"))


def import_template(source: str, data: bytes, folder: Path) -> None:
    convert(data.decode("utf-8", "replace"), source=source, name="imported")


def protect(data: bytes, folder: Path) -> None:
    text = "Order ACME-12 of aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa today."
    pattern = data.decode("utf-8", "replace")
    _toolbox().translate(text, "fr", source="en", protect=[pattern])


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
<< /Type /Page /Parent 2 0 R /Contents 4 0 R
/Resources << /Font << /F1 5 0 R >> >> >>
endobj
4 0 obj
<< /Length 44 >>
stream
BT /F1 12 Tf 72 720 Td (The bridge opens.) Tj ET
endstream
endobj
5 0 obj
<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>
endobj
6 0 obj
<< /Length 71 >>
stream
begincmap
1 begincodespacerange
<00> <ff>
endcodespacerange
1 beginbfrange
<20> <7e> <0020>
endbfrange
endcmap
endstream
endobj
trailer
<< /Root 1 0 R /Size 7 >>
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
WORD = b"""<?xml version="1.0" encoding="UTF-8"?><w:document xmlns:w="urn:w"><w:body>
<w:p><w:pPr><w:pStyle w:val="a"/></w:pPr><w:r><w:t xml:space="preserve">Sales were </w:t></w:r>
<w:r><w:rPr><w:b/></w:rPr><w:t>much</w:t></w:r><w:r><w:t> higher &amp; better.</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:hyperlink><w:r><w:t>Costs</w:t></w:r></w:hyperlink></w:p></w:tc></w:tr>
</w:tbl></w:body></w:document>
"""
CHAPTER = b"""<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>One</title></head>
<body><h1>The first chapter</h1><p>It is <em>very</em> quiet.<br/></p></body></html>
"""
TUNED = b"""llmtool: 1
name: mood-tuned
extends: sentiment
prompt: "Text: {{ text }}"
examples:
  - {text: It was good, output: positive}
  - {text: It was rude, output: negative}
tuned:
  original_sha256: "00"
  data: data.jsonl
  data_sha256: "00"
  model: starter
  metric: accuracy
  budget: 100
  n_final: 30
  score: 0.9
  interval: [0.8, 1.0]
  original_score: 0.8
  date: 2026-11-30
  version: 0.1.0
"""
FABRIC = b"# IDENTITY\n\nYou write titles.\n\n# STEPS\n\n- Read {{topic}}.\n\n# INPUT:\n\nINPUT:\n"
PROMPTY = b"""---
name: Titles
description: Write a title
model:
  api: chat
  parameters: {max_tokens: 20, temperature: 0.2}
inputs:
  topic: {type: string, default: bridges}
sample:
  topic: rivers
---
system:
You write titles.

user:
{{topic}}
"""
EXAMPLES = [
    b"text,label\nIt was good,positive\nIt was rude,negative\nNot bad,positive\n",
    b'{"text": "It was good", "label": "a"}\n{"text": "It was bad", "label": "b"}\n',
    b'{"text": "It was good", "label": "a"}\n{"text": "Not bad", "labels": ["b", "a"]}\n',
]
XML = b"<!-- --> <![CDATA[ ]]> &amp; &#x110000; &x; <a <x> </x> <!DOCTYPE".split()
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
        [PDF, PDF.replace(b"4 0 obj\n<< /Length 44 >>", b"4 0 obj\n<< /Filter /ASCIIHexDecode >>")],
        [b"obj", b"<<", b"[", b"(", b"/Kids", b"3 0 R", b"stream\n", b"(a) Tj ", b"<20> <ff> <0> "],
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
    "docx": Target(
        [package("docx", WORD), WORD],
        [*XML, b"<w:p>", b"<w:r>", b"<w:t>", b"</w:t>", b"<w:br/>", b"PK\x01\x02"],
        partial(read_package, "docx"),
    ),
    "epub": Target(
        [package("epub", CHAPTER), CHAPTER, *files(".html")],
        [*XML, *HTML, b"PK\x01\x02"],
        partial(read_package, "epub"),
    ),
    "xliff": Target(
        files(".xlf", ".xliff"),
        [*XML, b"<target>", b"<g id='1'>", b"<x id='1'/>", b"<mrk>", b"</source>"],
        partial(read_both, "xliff", ".xlf"),
    ),
    "android": Target(
        files(".xml"),
        [*XML, b"<string name='a'>", b"<item quantity='one'>", b"%1$s", b"\\'", b"<plurals>"],
        partial(read_both, "android", ".xml"),
    ),
    "qt": Target(
        files(".ts"),
        [*XML, b"<message>", b"<source>", b"<numerusform>", b"%n", b"<byte value='x1'/>"],
        partial(read_both, "qt", ".ts"),
    ),
    "strings": Target(
        files(".strings"),
        [b'"', b"/*", b"*/", b"//", b";", b" = ", b"\\U", b"%@", b"{", b"("],
        partial(read_both, "strings", ".strings"),
    ),
    "properties": Target(
        files(".properties"),
        [b"\\", b"\\u", b"\\\n", b"x\\\n", b"=", b":", b"#", b"{0}", b"'", b" "],
        partial(read_both, "properties", ".properties"),
    ),
    "ass": Target(
        files(".ass"),
        [b"{\\i1}", b"{", b"\\N", b"Dialogue: ", b",,", b"[Events]", b"\\p1", b"Format: "],
        partial(read_both, "ass", ".ass"),
    ),
    "rst": Target(
        files(".rst"),
        [b"*", b"``", b"`", b":a:`", b"|", b"__", b"[#]_", b".. ", b"::\n", b"+--", b"  ", b"\n"],
        partial(translate, "rst"),
        has_limits=True,
    ),
    "txt": Target(
        files(".txt"),
        [b"\n\n", b"- ", b". ", b"http://a.b/", b"(", b"\xe2\x80\xae", b"Mr. ", b" "],
        partial(read_both, "txt", ".txt"),
    ),
    "tuned": Target(
        [TUNED],
        [b"- ", b"{", b"text: ", b"tuned:\n", b"extends: ", b"  ", b"\n", b"{{ text }}"],
        load_template,
    ),
    "fabric": Target(
        [FABRIC],
        [b"{{", b"}}", b"# ", b"INPUT:", b"{%", b"\n"],
        partial(import_template, "system.md"),
    ),
    "prompty": Target(
        [PROMPTY],
        [b"---\n", b"{{", b"{% for x in y %}", b"user:\n", b"assistant:\n", b"${env:A}", b": "],
        partial(import_template, "a.prompty"),
    ),
    "glossary": Target(
        [b"term,fr\nbranch,branche\npull request,demande\n", b"branch\tZweig\n"],
        [b",", b'"', b"\n", b"a,a\n", b"branch", b"fr", b"("],
        use_glossary,
    ),
    "examples": Target(
        EXAMPLES, [b",", b'"', b"\n", b"label", b"{", b"[", b"a,b\n"], read_examples
    ),
    "tuning": Target(
        [b'{"text": "Good", "label": "positive"}\n{"text": "Bad", "expected": "negative"}\n'],
        [b'"assert": [', b'{"regex": "(a+)+"}', b"{", b"[", b'"', b"\n", b'"split": "test"'],
        read_tuning_data,
    ),
    "protect": Target(
        [rb"ACME-\d+", rb"(a+)+$"],
        [b"(", b"{1,1000}", b"|", b"[", b"\\", b"*", b"(?=", b"(a|a)*"],
        protect,
        has_limits=True,
    ),
    "http": Target(
        peers.REQUESTS,
        [b"\r\n", b"{", b"[", b'"', b'"n": ', b"null", b"Host: ", b"\\ud800", b'{"text": '],
        peers.send_request,
        has_limits=True,
    ),
    "requests": Target(
        [peers.BATCH_REQUESTS],
        [b"\n", b"{", b"[", b'"', b'"body": ', b"null", b"\\ud800", b'"custom_id": "0"'],
        peers.answer_batch,
        has_limits=True,
    ),
    "results": Target(
        [peers.BATCH_RESULTS],
        [b"\n", b"{", b"[", b'"', b'"body": ', b"null", b"\\ud800", b'"logprobs": '],
        peers.read_results,
    ),
    "replies": Target(
        peers.REPLIES,
        [b"data: ", b"\n\n", b"{", b"[", b'"', b"null", b"\\ud800", b'"index": 1', b"[DONE]"],
        peers.receive_reply,
    ),
    "models": Target(
        peers.MODELS,
        [b"{", b"[", b'"', b"null", b'"id": ', b"\\ud800", b'"n_ctx": '],
        peers.receive_models,
    ),
    "listing": Target(
        [peers.LISTING],
        [b"{", b"[", b'"', b"null", b"../", b"\\u0000", b'"rfilename": '],
        peers.receive_listing,
    ),
    "socket": Target(
        peers.CLIENT_MESSAGES,
        [b"\xff" * 4, b"\x91", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\0\0\0\x02\x91\x01"],
        peers.send_messages,
    ),
    "messages": Target(
        peers.SERVER_MESSAGES,
        [b"\xff" * 4, b"\x91", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\0\0\0\x02\x91\x1e"],
        peers.receive_messages,
    ),
}
