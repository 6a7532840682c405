"""Token bytes to text: split characters, stop strings, reasoning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtool.engine.reply import Reply
from llmtool.engine.text_stream import (
    ControlTokens,
    ReasoningSplitter,
    ReasoningTags,
    StopStrings,
    find_opening,
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
    splitter = ReasoningSplitter(THINK, opening="<think>")
    assert splitter.push("\nwell</think>yes") == [("well", True), ("yes", False)]


def test_requested_answer_tags_of_the_template_are_text() -> None:
    tags = ReasoningTags("<think>", "</think>", "<answer>", "</answer>")
    assert split(["<answer>Four.</answer>"], ReasoningSplitter(tags)) == ("", "Four.")
    splitter = ReasoningSplitter(tags, prompt="Use <answer>.")
    assert split(["<answer>Four.</answer>"], splitter) == ("", "<answer>Four.</answer>")


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


KIMI_K3 = find_reasoning_tags("<|open|>think<|sep|>")
GPT_OSS = (
    "<|channel|>analysis<|message|>Plan.",
    "<|start|>assistant<|channel|>final<|message|>Four.",
)
# Replies with the reasoning "Plan." and the answer "Four.", and how the prompt ends.
REPLIES = {
    "think": ("<think>\nPlan.\n</think>\n\nFour.", ""),
    "think after white space": ("\n <think>Plan.</think>Four.", ""),
    "two blocks": ("<think>Pl</think>\n<think>an.</think>Four.", ""),
    "opened by the prompt": ("Plan.</think>Four.", "<think>"),
    "Magistral": ("[THINK]Plan.[/THINK]Four.", ""),
    "Seed-OSS": ("<seed:think>Plan.</seed:think>Four.", ""),
    "LongCat": ("<longcat_think>Plan.</longcat_think>\nFour.", ""),
    "EXAONE": ("<thought>\nPlan.\n</thought>\n\nFour.", ""),
    "Apertus": ("<|inner_prefix|>Plan.<|inner_suffix|>Four.", ""),
    "Kimi K2": ("◁think▷Plan.◁/think▷Four.", ""),
    "Granite": ("<think>Plan.</think>\n<response>Four.</response>", ""),
    "Hunyuan": ("<think>\nPlan.\n</think>\n<answer>\nFour.\n</answer>\n", ""),
    "OpenThinker": (
        "<|begin_of_thought|>Plan.<|end_of_thought|><|begin_of_solution|>Four.<|end_of_solution|>",
        "",
    ),
    "Marco": ("<Thought>Plan.</Thought>\n<Output>Four.</Output>", ""),
    "Gemma 4": ("<|channel>thought\nPlan.<channel|>Four.", ""),
    "Kimi K3": (
        "Plan.<|close|>think<|sep|><|open|>response<|sep|>Four.<|close|>response<|sep|>",
        "<|open|>think<|sep|>",
    ),
    "Cohere": (
        "<|START_THINKING|>Plan.<|END_THINKING|><|START_RESPONSE|>Four.<|END_RESPONSE|>",
        "",
    ),
    "Solar": ("<|think|>Plan.<|end|><|begin|>assistant<|content|>Four.", ""),
    "gpt-oss": ("<|end|>".join(GPT_OSS), ""),
    "gpt-oss after the role": ("<|end|>".join(GPT_OSS), "<|start|>assistant"),
    "gpt-oss without an end": ("".join(GPT_OSS) + "<|return|>", ""),
    "gpt-oss without a start": (
        "<|channel|>analysis<|message|>Plan.<|end|>assistant<|channel|>final<|message|>Four.",
        "",
    ),
    "gpt-oss without a role": (
        "<|channel|>analysis<|message|>Plan.<|channel|>final<|message|>Four.",
        "",
    ),
    "gpt-oss without a message": (
        "<|channel|>analysis Plan.<|end|><|start|>assistant<|channel|>final Four.",
        "",
    ),
    "gpt-oss with two channels": (
        "<|channel|>commentary" + "<|end|>".join(GPT_OSS),
        "<|start|>assistant",
    ),
    "gpt-oss commentary": (
        "<|channel|>commentary<|message|>Plan.<|end|>" + GPT_OSS[1],
        "<|start|>assistant",
    ),
    "gpt-oss call": (
        " to=functions.f<|channel|>commentary <|constrain|>json<|message|>Plan.<|call|>"
        + GPT_OSS[1],
        "<|start|>assistant",
    ),
    "gpt-oss call in the reasoning": (
        "<|channel|>analysis to=python code<|message|>Plan.<|end|>" + GPT_OSS[1],
        "",
    ),
    "gpt-oss constraint": (
        "<|channel|>analysis<|message|>Plan.<|end|>"
        "<|start|>assistant<|channel|>final <|constrain|>json<|message|>Four.",
        "",
    ),
    "gpt-oss answer without a header": (
        "<|channel|>analysis<|message|>Plan.<|end|>Four.",
        "",
    ),
}


def split(chunks: list[str], splitter: ReasoningSplitter) -> tuple[str, str]:
    """Return the reasoning and the answer of a reply."""
    out = [pair for chunk in chunks for pair in splitter.push(chunk)] + splitter.finish()
    return "".join(t for t, reasons in out if reasons), "".join(
        t for t, reasons in out if not reasons
    )


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("family", REPLIES)
def test_reasoning_of_any_model_is_separated_from_the_answer(family: str, size: int) -> None:
    reply, opening = REPLIES[family]
    chunks = [reply[i : i + size] for i in range(0, len(reply), size)]
    assert split(chunks, ReasoningSplitter(opening=opening)) == ("Plan.", "Four.")


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("reply", "opening", "reasoning"),
    [
        ("<|open|>think<|sep|>Plan.<|close|>think<|sep|><|open|>response<|sep|>Four.", "", "Plan."),
        ("Plan.<|close|>think<|sep|><|open|>response<|sep|>Four.", "<|open|>think<|sep|>", "Plan."),
        ("<|open|>response<|sep|>Four.<|close|>response<|sep|>", "", ""),
        ("Four.<|close|>response<|sep|>", "<|open|>response<|sep|>", ""),
        (
            "Four.<|close|>response<|sep|><|close|>message<|sep|>",
            "<|open|>response<|sep|>",
            "",
        ),
    ],
    ids=["complete", "opened", "no reasoning", "answer opened", "end of the message"],
)
def test_tags_of_several_words_are_removed(
    reply: str, opening: str, reasoning: str, size: int
) -> None:
    chunks = [reply[i : i + size] for i in range(0, len(reply), size)]
    assert split(chunks, ReasoningSplitter(KIMI_K3, opening=opening)) == (reasoning, "Four.")


@pytest.mark.parametrize(
    ("reply", "prompt"),
    [
        ("The tags <think> and </think> are text.", ""),
        ("<html>\n<p>text</p>\n</html>", ""),
        ("[1, 2]", ""),
        ("[INST] text", ""),
        ("<answer>Four.</answer>", ""),
        ("<thoughtful>text</thoughtful>", ""),
        ("<thinking>Plan.</thinking>\n<answer>Four.</answer>", "Use <thinking> and <answer> tags."),
        ("<", ""),
        ("<|", ""),
    ],
)
def test_other_tags_are_text(reply: str, prompt: str) -> None:
    assert split(list(reply), ReasoningSplitter(prompt=prompt)) == ("", reply)


def test_answer_tags_that_the_prompt_mentions_are_text() -> None:
    reply = "<think>Plan.</think><answer>Four.</answer>"
    splitter = ReasoningSplitter(prompt="Write <answer> tags after <think> tags.")
    assert split(list(reply), splitter) == ("Plan.", "<answer>Four.</answer>")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Four.", ("", "Four.")),
        ("to be or not", ("", "to be or not")),
        ("<|channel|>final<|message|>Four.<|end|>", ("", "Four.")),
        ("<|message|>Four.", ("", "Four.")),
        ("<|channel|>analysis<|message|>Plan.<|end|>", ("Plan.", "")),
        ("<|channel|>commentary to=functions.f<|message|>{}<|call|>", ("{}", "")),
        ("<|channel|>final<|message|>One.<|end|><|message|>Two.", ("", "One.\n\nTwo.")),
    ],
)
def test_gpt_oss_reply_without_reasoning_or_answer(reply: str, expected: tuple[str, str]) -> None:
    assert split(list(reply), ReasoningSplitter(opening="<|start|>assistant")) == expected


def control_tokens(*names: str) -> ControlTokens:
    return ControlTokens(lambda text: {n: i for i, n in enumerate(names) if n in text})


def test_only_control_tokens_are_tags_if_the_model_has_them() -> None:
    names = [f"<|{name}|>" for name in ("start", "channel", "message", "end", "return")]
    controls = control_tokens(*names)
    splitter = ReasoningSplitter(controls=controls)
    reply = controls.spell("".join(GPT_OSS))
    assert split([*reply, " <|channel|>final<|end|>"], splitter) == (
        "Plan.",
        "Four. <|channel|>final<|end|>",
    )


@pytest.mark.parametrize(
    "reply",
    ["{0}Four.", "Fo{0}ur.", "Four.{0}", "{0}<think>{0}</think>{0}Four.{0}", "</think>{0}Four."],
)
def test_control_tokens_are_not_part_of_the_answer(reply: str) -> None:
    controls = control_tokens("<|filler|>", "</think>")
    chunks = list(controls.spell(reply.format("<|filler|>")))
    assert split(chunks, ReasoningSplitter(controls=controls)) == ("", "Four.")


def test_unknown_control_token_begins_the_reasoning_by_its_name() -> None:
    controls = control_tokens("<|START_THINKING|>", "<|END_THINKING|>")
    reply = controls.spell("<|START_THINKING|>Plan.<|END_THINKING|>Four.")
    assert split(list(reply), ReasoningSplitter(controls=controls)) == ("Plan.", "Four.")


PARTS = ["<think>", "</think>", "<|channel|>", "<|message|>", "<|end|>", "<|start|>", "assistant"]
PARTS += ["analysis", "final", " to=f", "<|constrain|>", "json", "<response>", "</response>", "a"]
PARTS += ["\n", " ", "<", "<|", "[THINK]", "[/THINK]", "<|END_THINKING|>", "\ud800"]


@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join), st.integers(1, 4))
def test_chunks_of_any_size_give_the_same_text(reply: str, size: int) -> None:
    chunks = [reply[i : i + size] for i in range(0, len(reply), size)]
    assert split(chunks, ReasoningSplitter()) == split([reply], ReasoningSplitter())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ m.content.split('</think>')[-1] }}", ("<think>", "</think>", "")),
        ("… <seed:think>", ("<seed:think>", "</seed:think>", "")),
        ("… [THINK]", ("[THINK]", "[/THINK]", "")),
        ("<|START_THINKING|>", ("<|START_THINKING|>", "<|END_THINKING|>", "")),
        ("<think></think> <response></response>", ("<think>", "</think>", "<response>")),
        ("<|think|> <|end|>", ("<|think|>", "<|end|>", "")),
        (
            "'Here is my thought process:'",
            ("Here is my thought process:", "Here is my response:", ""),
        ),
    ],
)
def test_tags_are_found_in_the_chat_template(template: str, expected: tuple[str, ...]) -> None:
    tags = find_reasoning_tags(template)
    assert tags is not None
    assert tags[:3] == expected


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<|assistant|><think>\n", "<think>"),
        ("<|assistant|><seed:think>", "<seed:think>"),
        ("<|CHATBOT_TOKEN|><|START_RESPONSE|>", "<|START_RESPONSE|>"),
        ("<think>\n\n</think>\n\n", ""),
        ("<|assistant|><|think|><|budget|>", ""),
        ("<|assistant|>", ""),
        ("<|assistant|>\n", ""),
        ("Write <answer>", ""),
    ],
)
def test_prompt_may_begin_the_reasoning_or_the_answer(prompt: str, opening: str) -> None:
    assert find_opening(prompt, None) == opening


def test_template_without_reasoning_has_no_tags() -> None:
    assert find_reasoning_tags("{{ messages }}") is None
