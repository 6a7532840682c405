"""Token bytes to text: split characters, stop strings, reasoning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import (
    ReasoningSplitter,
    ReasoningTags,
    StopStrings,
    find_reasoning_tags,
)

THINK = ReasoningTags("<think>", "</think>")


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    offsets = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]


def stream(chunks: list[bytes]) -> str:
    reply = Reply(0, 0)
    events = [event for chunk in chunks for event in reply.push(chunk)]
    return "".join(event.text for event in [*events, *reply.finish()])


@given(st.binary(max_size=60), st.lists(st.integers(0, 100)))
def test_streamed_bytes_decode_to_the_whole_text(data: bytes, cuts: list[int]) -> None:
    assert stream(split_at(data, cuts)) == data.decode("utf-8", "replace")


def test_split_character_waits_for_its_last_byte() -> None:
    reply = Reply(0, 0)
    events = [reply.push(bytes([byte])) for byte in "🙂".encode()]
    assert [[event.text for event in each] for each in events] == [[], [], [], ["🙂"]]


def test_invalid_byte_does_not_affect_the_following_text() -> None:
    assert stream([b"\xff", "漢".encode()]) == "\ufffd漢"


@given(
    st.text(alphabet="abEND", max_size=40),
    st.lists(st.text(alphabet="abEND", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 100)),
)
def test_reply_ends_before_the_first_stop_string(
    text: str, stop: list[str], cuts: list[int]
) -> None:
    stream = StopStrings(stop)
    visible = ""
    for chunk in split_at(text.encode(), cuts):
        visible += stream.push(chunk.decode())
        assert not any(each in visible for each in stop)
    visible += stream.finish()
    starts = [text.index(each) for each in stop if each in text]
    if cuts == []:  # in one chunk, the reply ends before the first stop string
        assert visible == text[: min(starts, default=len(text))]
    assert text.startswith(visible)
    assert stream.stopped == bool(starts)


def test_partial_stop_string_is_pending() -> None:
    stream = StopStrings(["STOP"])
    assert [stream.push(p) for p in ("a S", "TO", "x S", "T")] == ["a ", "", "STOx ", ""]
    assert stream.finish() == "ST"


@pytest.mark.parametrize(
    ("reply", "reasoning", "answer"),
    [
        ("<think>\nhm, so\n</think>\n\nHello", "hm, so", "Hello"),
        ("Hello <think>no</think>", "", "Hello <think>no</think>"),
        ("  \n<think>a</think>b", "a", "b"),
        ("<think>never ends", "never ends", ""),
        ("<thin air", "", "<thin air"),
        ("", "", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_reasoning_at_the_beginning_is_separated_from_the_answer(
    reply: str, reasoning: str, answer: str, size: int
) -> None:
    splitter = ReasoningSplitter(THINK)
    chunks = [reply[i : i + size] for i in range(0, len(reply), size)]
    out = [pair for chunk in chunks for pair in splitter.push(chunk)] + splitter.finish()
    assert "".join(text for text, is_reasoning in out if is_reasoning) == reasoning
    assert "".join(text for text, is_reasoning in out if not is_reasoning) == answer


def test_no_start_tag_is_needed_if_the_prompt_opens_the_reasoning() -> None:
    splitter = ReasoningSplitter(THINK, in_reasoning=True)
    assert splitter.push("\nwell</think>yes") == [("well", True), ("yes", False)]


def test_gpt_oss_channels_are_separated_by_their_tags() -> None:
    tags = find_reasoning_tags("… <|channel|>analysis …")
    assert tags is not None
    splitter = ReasoningSplitter(tags)
    reply = (
        "<|channel|>analysis<|message|>let me see<|start|>assistant<|channel|>final<|message|>Paris"
    )
    assert splitter.push(reply) == [("let me see", True), ("Paris", False)]
    direct = ReasoningSplitter(tags)
    assert direct.push("<|channel|>final<|message|>Paris") == [("Paris", False)]


def test_template_without_reasoning_has_no_tags() -> None:
    assert find_reasoning_tags("{{ messages }}") is None
