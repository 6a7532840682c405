"""Constraints apply to the answer, not to the reasoning, with any tokenization of the tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_model import CHATML

from llmtool.engine.llama.constrained_sampler import ConstrainedSampler
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import ReasoningTags
from llmtool.engine.types import Message, Prompt, Request, Sampling, Token
from llmtool.structured.compiler import ConstraintCompiler
from llmtool.structured.constraint import Constraint

THINK = ReasoningTags("<think>", "</think>")
CHANNELS = ReasoningTags("<|c|>analysis<|m|>", "<|s|><|c|>final<|m|>", "<|c|>final<|m|>")


class Bytes:
    """A vocabulary of bytes, an end token, and one token for a whole tag."""

    n_vocab = 258

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        return list(text)

    def render_piece(self, token: int, *, special: bool) -> bytes:
        return b"<think>" if token == 257 else b"" if token == 256 else bytes([token])

    def kind(self, token: int) -> str:
        return "ordinary" if token < 256 else "control"

    def is_end(self, token: int) -> bool:
        return token == 256


class ScriptedSampler:
    """Samples given tokens, or the first token that the constraint allows."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def sample(self, context: Any, row: int, matcher: Any = None) -> int:
        preferred = self.tokens[0]
        if matcher is None or matcher.allows(preferred):
            return preferred
        return next(token for token in range(257) if matcher.allows(token))


def generate(
    script: str | list[int],
    *,
    regex: str = "yes|no",
    tags: ReasoningTags | None,
    opened: bool = False,
) -> str:
    """Return the constrained reply of a model that would generate `script` without constraint."""
    tokens = list(script.encode()) if isinstance(script, str) else list(script)
    vocabulary = Bytes()
    reply = Reply(0, 0, tags=tags, opening=tags.start if tags and opened else "")
    constraint = ConstraintCompiler(vocabulary).compile(Constraint("regex", regex))
    sampler, generated = ScriptedSampler(tokens), b""
    constrained = ConstrainedSampler(sampler, constraint, reply, tags=tags, weights=vocabulary)  # type: ignore[arg-type]
    while sampler.tokens and not constrained.finished:
        token = constrained.sample(None, 0)  # type: ignore[arg-type]
        if token == sampler.tokens[0]:
            sampler.tokens.pop(0)
        if token == 256:
            break
        constrained.accept(token)
        piece = vocabulary.render_piece(token, special=True)
        generated += piece
        reply.push(piece)
    constrained.close()
    return generated.decode()


@pytest.mark.parametrize(
    ("script", "tags", "opened", "expected"),
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
    ids=["no tags", "reasoning", "opened by the prompt", "no reasoning", "channels", "answer tag"],
)
def test_valid_reply_is_unchanged(
    script: str, tags: ReasoningTags | None, opened: bool, expected: str
) -> None:
    assert generate(script, tags=tags, opened=opened) == expected


def test_single_token_tag_begins_the_reasoning() -> None:
    assert generate([257, *b"hm</think>yes"], tags=THINK) == "<think>hm</think>yes"


def test_white_space_does_not_begin_the_reasoning() -> None:
    assert generate("\n\nyes", tags=THINK).strip("\n") in ("yes", "no")
    assert "\n" not in generate("\n\nyes", tags=THINK)


def test_partial_tag_is_completed_if_the_answer_cannot_begin_with_it() -> None:
    assert generate("<yes", tags=THINK).startswith("<think>")


def test_partial_tag_may_begin_the_answer() -> None:
    assert generate("<thing>", regex="<th[a-z]+>", tags=THINK) == "<thing>"


def test_answer_is_forced_to_satisfy_the_constraint() -> None:
    assert generate("<think>hm</think>maybe", tags=THINK) in (
        "<think>hm</think>yes",
        "<think>hm</think>no",
    )


@pytest.mark.parametrize(
    ("tag", "thinking", "may_reason"),
    [
        ("<|channel|>analysis", None, True),
        ("<|channel|>analysis", False, False),
        ("<think>", True, True),
        ("<think>", False, False),
    ],
    ids=["channels", "channels, thinking off", "reasoning", "reasoning, thinking off"],
)
def test_model_with_answer_tags_may_begin_with_a_tag_without_reasoning(
    tiny_model: Callable[..., Path], tag: str, thinking: bool | None, may_reason: bool
) -> None:
    template = f"{{# {tag} #}}{CHATML}"
    engine = LocalEngine(
        load_model(tiny_model("plain", chat_template=template, printable=True)), n_threads=1
    )
    requests = [
        Request(
            id=id,
            prompt=Prompt(messages=(Message("user", "hello"),), thinking=thinking),
            n=32,
            sampling=Sampling(
                temperature=100,  # all allowed tokens are about equally likely
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
    assert any(event.reasoning for event in events) is may_reason
