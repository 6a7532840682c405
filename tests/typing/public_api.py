"""Calls of the public functions; comments are the inferred types that `test_typing.py` expects."""

import enum
from dataclasses import dataclass

from pydantic import TypeAdapter
from typing_extensions import reveal_type

import llmtool


@dataclass
class Person:
    name: str


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def functions(prompts: list[str]) -> None:
    reveal_type(llmtool.generate("x"))  # Generation[None]
    reveal_type(llmtool.generate("x", schema=Person).value)  # Person
    reveal_type(llmtool.generate("x", schema=Person, template="own", seed=1).value)  # Person
    reveal_type(llmtool.generate("x", schema=list[Person]).value)  # list[Person]
    reveal_type(llmtool.generate("x", schema=TypeAdapter(Person)).value)  # Person
    reveal_type(llmtool.generate("x", schema=Person | None).value)  # Any
    reveal_type(llmtool.generate("x", schema="name, age int").value)  # Any
    reveal_type(llmtool.generate("x", template="own").value)  # Any
    reveal_type(llmtool.generate("x", schema=Person).choices[0].value)  # Person | None
    reveal_type(llmtool.generate(prompts, schema=Person))  # list[Generation[Person]]
    reveal_type(llmtool.generate(iter(prompts), seed=1, timeout=9.5))  # Iterator[Generation[None]]
    reveal_type(llmtool.generate(messages=[{"role": "user", "content": "x"}]))  # Generation[None]
    message = llmtool.Message("user", "x")
    reveal_type(llmtool.generate(messages=[message], schema=Person).value)  # Person
    reveal_type(llmtool.classify("x", ["a", "b"]).label)  # str | None
    reveal_type(llmtool.classify("x", Mood, timeout=5).label)  # Mood | None
    reveal_type(llmtool.classify(prompts, bool))  # list[Classification[bool]]
    reveal_type(llmtool.run("title", text="x"))  # Generation[Any] | Classification[Any]
    reveal_type(llmtool.run("title", "x", timeout=5))  # Generation[Any] | Classification[Any]
    reveal_type(llmtool.run("title", ["x"]))  # list[Generation[Any] | Classification[Any]]
    reveal_type(llmtool.chat(timeout=5).say("x", max_tokens=5, timeout=5))  # Turn
    reveal_type(llmtool.complete_code("x", timeout=5))  # Code
    reveal_type(llmtool.summarize(iter(prompts)))  # Iterator[Summary]
    reveal_type(llmtool.write_code("x", language="py"))  # Code
    reveal_type(llmtool.fix_code("x", "it fails"))  # Fix
    reveal_type(llmtool.commit_message("x").subject)  # str


def toolbox(box: llmtool.Toolbox, texts: list[str]) -> None:
    reveal_type(box.translate(["a"], "fr"))  # list[Translation]
    reveal_type(box.calibrate([("a", "b")]).accuracy)  # tuple[float, float]
    reveal_type(box.generate(texts, schema=TypeAdapter(list[int]))[0].value)  # list[int]
    stream = box.stream_generate("x", schema=Person)
    reveal_type([token for token in stream])  # list[Token]
    reveal_type(stream.result)  # Generation[Person]
    with box.stream_summarize("x") as parts:
        reveal_type(next(parts))  # SummaryText
    reveal_type(parts.result)  # Summary
    reveal_type(box.chat().stream("x"))  # Stream[Token, Turn]


async def asyncio(texts: list[str]) -> None:
    reveal_type(await llmtool.agenerate("x"))  # Generation[None]
    reveal_type(await llmtool.agenerate(["x"]))  # list[Generation[None]]
    reveal_type((await llmtool.agenerate("x", schema=Person)).value)  # Person
    reveal_type(await llmtool.aclassify(texts, Mood))  # list[Classification[Mood]]
    reveal_type(await llmtool.arun("title", text="x"))  # Generation[Any] | Classification[Any]
    stream = llmtool.astream_generate("x")
    async for token in stream:
        reveal_type(token)  # Token
    reveal_type(stream.result)  # Generation[None]
    reveal_type(await llmtool.astream_translate("x", "de").finish())  # Translation


async def asynchronous_toolbox() -> None:
    async with llmtool.Toolbox() as box:
        reveal_type(box)  # Toolbox


def mistakes() -> None:
    llmtool.generate("x", sed=1)  # error: call-overload
    llmtool.summarize("x", style="poem")  # error: call-overload
    llmtool.summarize("x", timeout="5")  # error: call-overload
    llmtool.generat("x")  # error: attr-defined
    llmtool.fix_code("x", rapair=1)  # error: call-arg
    llmtool.chat(seed="1")  # error: arg-type
    llmtool.chat().say("x", sed=1)  # error: call-arg
