"""Arguments of the wrong type: each public function says what was given and what it accepts."""

from __future__ import annotations

import asyncio
import fractions
import inspect
import math
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import llmtool
from llmtool.arguments import _ALIASES, check_argument
from llmtool.engine import types
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Message
from llmtool.errors import LlmtoolError, UsageError
from llmtool.tasks import options as task_options
from llmtool.tasks.chat import truncation
from llmtool.tasks.options import annotations_of, make_options
from llmtool.toolbox import Toolbox

VALUES: dict[str, Any] = {
    "None": None,
    "nan": math.nan,
    "path": Path("notes.txt"),
    "bytes": b"text",
    "dict": {"a": 1},
    "bool": True,
    "int": 5,
    "negative": -7,
    "float": 0.5,
    "empty": "",
    "list": ["a", 3],
    "generator": (each for each in [1]),
    "object": object(),
    "class": int,
}
# The arguments of each method; each of them is replaced in turn.
METHODS: dict[str, tuple[Any, ...]] = {
    "generate": ("Hello",),
    "stream_generate": ("Hello",),
    "request": ("Hello",),
    "run": ("title", "Rain."),
    "run_each": ("title", ["Rain."]),
    "classify": ("Hello", ["a", "b"]),
    "calibrate": ([("Hello", "a")] * 25, ["a", "b"]),
    "summarize": ("A short text.",),
    "stream_summarize": ("A short text.",),
    "translate": ("Guten Morgen!", "French"),
    "stream_translate": ("Guten Morgen!", "French"),
    "write_code": ("a function",),
    "explain_code": ("x = 1",),
    "review_code": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",),
    "fix_code": ("x = ", "an error"),
    "write_tests": ("x = 1",),
    "complete_code": ("x = ", "\n"),
    "commit_message": ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",),
    "tune": ("title", [{"text": "Rain.", "expected": "Rain"}] * 25),
    "chat": (),
    "tokenize": (None,),
}
KEYWORDS = ("session", "save", "overflow", "messages", "framework", "language", "file", "body")


def finish(result: object) -> None:
    """Read a result to its end, as an error of an item appears when it is read."""
    if hasattr(result, "__next__"):
        list(result)  # type: ignore[call-overload]


def make_box(reply: str = "```\nHello!\n```") -> Toolbox:
    return Toolbox("scripted", engine=ScriptedEngine(reply), environ={})


def test_every_task_is_in_the_table() -> None:
    names = {name for name in dir(Toolbox) if callable(getattr(Toolbox, name))}
    synchronous = {name for name in names if name[0] not in "_a"}
    others = {"close", "warm_up", "prepare_batch", "time_limit"}
    assert synchronous - others == METHODS.keys()


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("method", METHODS)
def test_wrong_arguments_raise_one_of_our_errors(
    method: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    box, arguments = make_box(), METHODS[method]
    for at in range(len(arguments)):
        try:
            finish(getattr(box, method)(*arguments[:at], value, *arguments[at + 1 :]))
        except LlmtoolError as exc:
            assert "\n" not in str(exc) and " at 0x" not in str(exc)
    parameters = inspect.signature(getattr(box, method)).parameters
    for name in parameters.keys() & set(KEYWORDS):
        given = {name: value} if name != "messages" else {"messages": value}
        positional = () if name == "messages" else arguments
        try:
            finish(getattr(box, method)(*positional, **given))
        except LlmtoolError as exc:
            assert "\n" not in str(exc) and " at 0x" not in str(exc)


KINDS = {
    name: kind
    for name, kind in vars(task_options).items()
    if name.endswith("Options") and name != "_Options" and hasattr(kind, "__struct_fields__")
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_wrong_options_say_what_is_accepted(kind: type[Any]) -> None:
    for name, annotation in annotations_of(kind).items():
        if name in ("sampling", "schema"):
            continue
        for value in VALUES.values():
            if value is None:
                continue
            try:
                make_options(kind, {name: value})
            except UsageError as exc:
                assert re.match(rf"{name}(\[.+?\])?=", str(exc)), exc
                assert " must be " in str(exc), exc
            else:
                accepted = annotation.replace("Effort", "Literal['low', 'medium', 'high']")
                check_argument(name, value, accepted)


@pytest.mark.parametrize("name", ["generate", "summarize", "write_code"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_wrong_options_of_a_call_raise_one_of_our_errors(name: str, value: Any) -> None:
    box = make_box()
    parameters = inspect.signature(getattr(box, name)).parameters.values()
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and each.name != "messages":
            try:
                getattr(box, name)("Hello", **{each.name: value})
            except LlmtoolError as exc:
                assert "\n" not in str(exc)


CASES: dict[str, tuple[Any, str]] = {
    "none": (lambda box: box.generate(None, template="title"), "prompt"),
    "number": (lambda box: box.summarize(5), "text=5: must be a string or a list or iterator of s"),
    "path": (
        lambda box: box.summarize(Path("a.txt")),
        "must be a string or a list or iterator of strings; for the text of the file, pass path.re",
    ),
    "template path": (lambda box: box.run(Path("a.yaml")), "a Template; pass str(path)"),
    "bytes": (lambda box: box.generate(b"x"), "prompt=b'x': .*; decode it first, for example with"),
    "Word document": (
        lambda box: box.translate(Path("a.docx"), "de"),
        "EPUB book, pass llmtool.documents.packages.unpack.path.read_bytes",
    ),
    "content of a Word document": (
        lambda box: box.translate(b"PK\x03\x04...", "de"),
        "to translate a Word document or EPUB book, pass llmtool.documents.packages.unpack",
    ),
    "item": (lambda box: box.classify(["a", 3], ["x", "y"]), r"text\[1\]=3: must be a string"),
    "late item": (
        lambda box: list(box.generate(iter(["a", None]))),
        r"prompt\[1\]=None: must be a string",
    ),
    "bool": (lambda box: box.generate("x", max_tokens=True), "max_tokens=True: must be an integer"),
    "nan": (
        lambda box: box.generate("x", top_p=math.nan),
        "top_p=nan: must be a number or None, not nan",
    ),
    "choice": (
        lambda box: box.summarize("x", style="loud"),
        "style='loud': must be 'paragraph', 'bullets', 'headline' or 'tldr'",
    ),
    "generator": (lambda box: box.translate(iter(()), iter(())), "to=<tuple_iterator>: must be"),
    "chat": (lambda box: box.chat().say(None), "text=None: must be a string"),
    "chat option": (
        lambda box: box.chat().say("x", n_tokens=1),
        "did you mean 'max_tokens'?",
    ),
    "stream": (lambda box: box.generate("x", stream=True), "'stream'; use stream_generate"),
    "stream of a chat": (lambda box: box.chat().say("x", stream=True), "'stream'; use Chat.stream"),
    "no stream": (lambda box: box.classify("x", ["a"], stream=True), "this function does not str"),
    "another name": (
        lambda box: box.generate("x", max_new_tokens=5),
        "unknown option 'max_new_tokens'; did you mean 'max_tokens'?",
    ),
    "typing error": (lambda box: box.summarize("x", timout=5), "'timout'; did you mean 'timeout'?"),
    "two options": (lambda box: box.generate("x", top=5), "did you mean 'top_p' or 'top_k'?"),
    "no similar option": (
        lambda box: box.generate("x", tools=[]),
        "unknown option 'tools'; valid options: template, system",
    ),
    "option of the toolbox": (
        lambda box: box.generate("x", num_ctx=5),
        "unknown option 'num_ctx'; pass n_ctx= to llmtool.Toolbox",
    ),
    "time limit in options": (
        lambda box: box.run("title", "x", options={"timeout": 5}),
        "unknown option 'timeout'; pass it to the function itself",
    ),
    "no model": (lambda box: Toolbox(""), "model='': must be the name of a model"),
    "bias": (
        lambda box: box.generate("x", logit_bias={262: -101}),
        "logit_bias={262: -101}: must be between -100 and 100",
    ),
    "bias by another key": (
        lambda box: box.generate("x", logit_bias={1.5: 1}),
        "logit_bias= has the key 1.5; keys must be integers or strings",
    ),
    "range": (
        lambda box: box.generate("x", temperature=-1),
        "temperature=-1: must be between 0",
    ),
    "minimum": (lambda box: box.generate("x", max_tokens=0), "max_tokens=0: must be at least 1"),
    "above": (
        lambda box: box.generate("x", repeat_penalty=0),
        "repeat_penalty=0: must be between 0.01 and 100",
    ),
    "layers": (
        lambda box: Toolbox("starter", n_gpu_layers=-2).engine,
        "n_gpu_layers=-2: must be at least -1",
    ),
    "long value": (
        lambda box: box.generate("x", seed="1" * 500),
        r"seed='1{26,30}\.\.\.1{26,30}': must be an integer or None",
    ),
    "toolbox": (lambda box: Toolbox(5), "model=5: must be a string, a path or None"),
    "context": (lambda box: Toolbox("x", n_ctx="4k"), "n_ctx='4k': must be an integer or None"),
    "negative": (lambda box: Toolbox("x", n_ctx=-1), "n_ctx=-1: must be at least 1"),
    "zero": (lambda box: Toolbox("x", n_threads=0), "n_threads=0: must be between 1 and 512"),
    "sequences": (
        lambda box: Toolbox("x", n_parallel=65),
        "n_parallel=65: must be between 1",
    ),
    "seconds": (lambda box: box.time_limit("5"), "seconds='5': must be a number"),
    "engine": (lambda box: Toolbox(engine=5), "engine=5: must be an engine, such as Scripted"),
    "key": (lambda box: box.run("title", {5: "x"}), "cases= has the key 5; keys must be strings"),
    "value": (
        lambda box: box.translate("x", "fr", glossary={"a": None}),
        r"glossary\['a'\]=None: must be a string",
    ),
    "pair": (
        lambda box: box.translate("x", "fr", glossary=[("a", "b", "c")]),
        r"glossary\[0\]=('a', 'b', 'c'): must be a pair of strings",
    ),
    "pairs": (
        lambda box: box.translate("x", "fr", glossary="a"),
        "glossary='a': must be a list or iterator of pairs or a mapping",
    ),
    "labels": (lambda box: box.classify("x", int), "labels=<class 'int'>: must be a list of str"),
    "options": (lambda box: box.run("title", "x", options=5), "options=5: must be a mapping"),
    "option as input": (
        lambda box: box.run("title", "x", max_tokens=5),
        "no input 'max_tokens'; to set the option, pass options={'max_tokens': VALUE}",
    ),
    "tuple as message": (
        lambda box: box.generate(messages=[("user", "Hi")]),
        r"messages\[0\]=('user', 'Hi'): must be a message with role and content",
    ),
    "list in content": (
        lambda box: box.generate(messages=[{"role": "user", "content": [["Hi"]]}]),
        r"messages\[0\]: content is a list with \['Hi'\]; it must be a text",
    ),
    "messages as prompt": (
        lambda box: box.generate([{"role": "user", "content": "Hi"}]),
        "must be a string; for a conversation, pass messages=",
    ),
    "message objects as prompt": (
        lambda box: box.stream_generate([Message("user", "Hi")]),
        "must be a string or None; for a conversation, pass messages=",
    ),
    "number as length": (
        lambda box: box.summarize("x", length=50),
        "length=50: must be a string, such as '50 words'",
    ),
    "alias for a model": (
        lambda box: Toolbox(context=4096),
        "unknown option 'context'; did you mean 'n_ctx'?",
    ),
    "option of a call for a model": (
        lambda box: Toolbox(thinking=True),
        r"unknown option 'thinking'; pass it to a method, such as generate(…, thinking=…)",
    ),
    "alias for a positional argument": (
        lambda box: box.translate("x", target="fr"),
        "unknown option 'target'; did you mean 'to'?",
    ),
    "resembles another option": (
        lambda box: box.translate("x", "fr", formality="less"),
        "unknown option 'formality'; valid options: template, ",
    ),
    "all options": (lambda box: box.generate("x", foo=1), "stop, messages, timeout$"),
    "all options of a message": (lambda box: box.chat().say("x", foo=1), "stop, timeout$"),
    "generic type as labels": (
        lambda box: box.classify("x", list[str]),
        r"labels=list\[str\]: must be a list",
    ),
    "text twice": (
        lambda box: box.run("title", "x", text="y"),
        "input 'text' of template 'title' is given twice, as the text and by its name; pass it",
    ),
    "text to classify twice": (
        lambda box: box.classify("x", template="sentiment", variables={"text": "y"}),
        "input 'text' of template 'sentiment' is given twice",
    ),
    "result of a test": (
        lambda _: make_box("x = 1\n```").write_code("x", run_tests=lambda code: None),
        r"run_tests returned None: must return a TestRun, such as llmtool.TestRun(exit_code=1",
    ),
    "asyncio stream of bytes": (
        lambda box: box.astream_generate(b"x"),
        "prompt=b'x': must be a string or None; decode it first",
    ),
    "unknown option of an asyncio stream": (
        lambda box: box.astream_generate("x", sedd=1),
        "unknown option 'sedd'",
    ),
    "type": (lambda box: Toolbox("x", kv_type="q4"), "kv_type='q4': must be 'f16' or 'q8_0'"),
}


@pytest.mark.parametrize(("call", "message"), CASES.values(), ids=CASES)
def test_message_has_the_argument_and_what_is_accepted(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(").replace(")", r"\)")):
        call(make_box())


HALF = "One half of an emoji: \ud83d. The other half is missing."
DIFF = f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+{HALF}\n"
ONE: dict[str, Any] = {"max_tokens": 1}
NOT_UNICODE: dict[str, Any] = {
    "generate": lambda box: box.generate(HALF, **ONE),
    "messages": lambda box: box.generate(messages=[{"role": "user", "content": HALF}], **ONE),
    "system": lambda box: box.generate("x", system=HALF, **ONE),
    "chat": lambda box: box.chat().say(HALF, **ONE),
    "system of a chat": lambda box: box.chat(system=HALF).say("x", **ONE),
    "run": lambda box: box.run("title", HALF),
    "summarize": lambda box: box.summarize(HALF),
    "translate": lambda box: box.translate(HALF, "French", source="en"),
    "classify": lambda box: box.classify(HALF, ["a", "b"]),
    "label": lambda box: box.classify("x", ["a", HALF]),
    "write_code": lambda box: box.write_code(HALF, **ONE),
    "fix_code": lambda box: box.fix_code("x = 1", HALF, **ONE),
    "review_code": lambda box: box.review_code(DIFF, **ONE),
    "commit_message": lambda box: box.commit_message(DIFF, **ONE),
    "regex": lambda box: box.generate("x", regex=HALF, **ONE),
}


@pytest.mark.parametrize("name", NOT_UNICODE)
def test_text_that_is_not_unicode_is_an_error(name: str, box: Toolbox) -> None:
    with pytest.raises(LlmtoolError, match="not valid Unicode"):
        NOT_UNICODE[name](box)


def test_names_of_types_have_the_values_of_the_types() -> None:
    kinds = {
        "Effort": types.Effort,
        "KVType": types.KVType,
        "OverflowPolicy": truncation.OverflowPolicy,
        "Strategy": task_options.Strategy,
        "Style": task_options.Style,
    }
    literals = {name for name, text in _ALIASES.items() if text.startswith("Literal")}
    assert literals - {"Dialect", "Format"} == kinds.keys()
    for name, kind in kinds.items():
        for value in get_args(kind):
            assert check_argument("name", value, name) == value
        assert _ALIASES[name].count("'") == 2 * len(get_args(kind))


def test_asyncio_forms_check_their_arguments() -> None:
    with pytest.raises(UsageError, match="prompt=5"):
        asyncio.run(make_box().agenerate(5))  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [None, "text", b"text", 5, {"a": "b"}, Path("a.txt")])
def test_asyncio_forms_for_many_texts_accept_only_several(value: Any) -> None:
    box = make_box()
    forms = {"agenerate_each": (), "asummarize_each": (), "awrite_code_each": ()}
    for name, others in {
        **forms,
        "aclassify_each": (["a", "b"],),
        "atranslate_each": ("fr",),
    }.items():
        with pytest.raises(UsageError, match="texts=.* must be a list or iterator of strings"):
            getattr(box, name)(value, *others)


def test_strings_of_other_libraries_become_python_s() -> None:
    class Text(str):
        """A string of another library."""

    label = make_box().classify(Text("x"), [Text("a"), Text("b")]).label
    assert type(label) is str and type(check_argument("text", Text("a"), "str")) is str


def test_numbers_of_other_libraries_are_accepted() -> None:
    class Index(int):
        """An integer of another library."""

    box = make_box()
    assert box.generate("x", max_tokens=Index(3), temperature=fractions.Fraction(1, 2)).text
    assert type(check_argument("n", Index(3), "int")) is int
    assert box.classify("x", ["a", "b"], prior={"a": fractions.Fraction(1, 2), "b": 1}).label
    assert check_argument("top_p", fractions.Fraction(1, 2), "float") == 0.5


def test_help_still_shows_the_signature() -> None:
    text = str(inspect.signature(llmtool.generate))
    assert text.startswith("(prompt: str | Iterable[str]") and "max_tokens: int | None" in text
    assert (llmtool.generate.__doc__ or "").startswith("Generate a reply")
    assert list(inspect.signature(Toolbox).parameters)[:2] == ["model", "base_url"]
