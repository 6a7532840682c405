"""A constraint holds in the answer: a thought before it is free, whatever its mark is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import CHATML

from llmtool.engine.llama.constrained_sampler import Binding
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import Message, Prompt, Request, Sampling, Token
from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint

THINK = ReasoningTags("<think>", "</think>")
CHANNELS = ReasoningTags("<|c|>analysis<|m|>", "<|s|><|c|>final<|m|>", "<|c|>final<|m|>")


class Bytes:
    """A vocabulary of bytes, with one token for a whole mark."""

    n_vocab = 258

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text)

    def render_piece(self, token: int, *, special: bool) -> bytes:
        return b"<think>" if token == 257 else b"" if token == 256 else bytes([token])

    def kind(self, token: int) -> str:
        return "ordinary" if token < 256 else "control"

    def is_end(self, token: int) -> bool:
        return token == 256


class Wishes:
    """A sampler that wants to write a text, and takes what the constraint allows instead."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def sample(self, context: Any, row: int, matcher: Any = None) -> int:
        wish = self.tokens[0]
        if matcher is None or matcher.allows(wish):
            return wish
        return next(token for token in range(257) if matcher.allows(token))


def write(
    wish: str | list[int],
    *,
    regex: str = "yes|no",
    marks: ReasoningTags | None,
    opened: bool = False,
) -> str:
    """Return what is written by a model that wishes to write `wish`."""
    tokens = list(wish.encode()) if isinstance(wish, str) else list(wish)
    words = Bytes()
    reply = Reply(0, 0, marks=marks, in_thought=opened)
    constraint = ConstraintCompiler(words).compile(Constraint("regex", regex))
    binding = Binding(constraint, reply, marks=marks, weights=words)  # type: ignore[arg-type]
    sampler, written = Wishes(tokens), b""
    while sampler.tokens and not binding.finished:
        token = binding.draw(sampler, None, 0)  # type: ignore[arg-type]
        if token == sampler.tokens[0]:
            sampler.tokens.pop(0)
        if token == 256:
            break
        binding.accept(token)
        piece = words.render_piece(token, special=True)
        written += piece
        reply.push(piece)
    binding.close()
    return written.decode()


@pytest.mark.parametrize(
    ("wish", "marks", "opened", "written"),
    [
        ("yes", None, False, "yes"),
        ("<think>hm, what</think>yes", THINK, False, "<think>hm, what</think>yes"),
        ("hm, what</think>no", THINK, True, "hm, what</think>no"),
        ("no", THINK, False, "no"),
        (
            "<|c|>analysis<|m|>hm<|s|><|c|>final<|m|>yes",
            CHANNELS,
            False,
            "<|c|>analysis<|m|>hm<|s|><|c|>final<|m|>yes",
        ),
        ("<|c|>final<|m|>no", CHANNELS, False, "<|c|>final<|m|>no"),
    ],
    ids=["no marks", "thought", "opened by the prompt", "no thought", "channels", "answer mark"],
)
def test_a_reply_that_keeps_to_the_constraint_is_left_alone(
    wish: str, marks: ReasoningTags | None, opened: bool, written: str
) -> None:
    assert write(wish, marks=marks, opened=opened) == written


def test_a_mark_of_one_token_begins_a_thought() -> None:
    assert write([257, *b"hm</think>yes"], marks=THINK) == "<think>hm</think>yes"


def test_white_space_does_not_begin_a_thought() -> None:
    assert write("\n\nyes", marks=THINK).strip("\n") in ("yes", "no")
    assert "\n" not in write("\n\nyes", marks=THINK)


def test_a_mark_that_was_begun_is_gone_on_with_where_nothing_else_may_follow() -> None:
    assert write("<yes", marks=THINK).startswith("<think>")


def test_what_looked_like_a_mark_can_be_the_answer() -> None:
    assert write("<thing>", regex="<th[a-z]+>", marks=THINK) == "<thing>"


def test_an_answer_that_breaks_the_constraint_is_bent_to_it() -> None:
    assert write("<think>hm</think>maybe", marks=THINK) in (
        "<think>hm</think>yes",
        "<think>hm</think>no",
    )


@pytest.mark.parametrize(
    ("named", "thinking", "may_think"),
    [
        ("<|channel|>analysis", None, True),
        ("<|channel|>analysis", False, True),
        ("<think>", True, True),
        ("<think>", False, False),
    ],
    ids=["channels", "channels, unasked", "thought", "thought, unasked"],
)
def test_who_marks_its_answer_may_begin_with_a_mark_though_nobody_asks_for_a_thought(
    tiny_model: Callable[..., Path], named: str, thinking: bool | None, may_think: bool
) -> None:
    template = f"{{# {named} #}}{CHATML}"
    engine = LocalEngine(tiny_model("plain", chat_template=template, printable=True), n_threads=1)
    requests = [
        Request(
            id=id,
            prompt=Prompt(messages=(Message("user", "hello"),), thinking=thinking),
            n=32,
            sampling=Sampling(
                temperature=100,  # all that is allowed is about as likely
                top_k=0,
                top_p=1,
                min_p=0,
                seed=100 * id,
                max_tokens=30,
                constraint=Constraint("regex", "yes|no"),
            ),
        )
        for id in range(32)
    ]
    events = [event for event in engine.stream(requests) if isinstance(event, Token)]
    engine.close()
    assert any(event.thought for event in events) is may_think
