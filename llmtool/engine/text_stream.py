"""Convert token text to reply text: stop strings, reasoning and answer.

Each class has `push`, which takes a chunk and returns the text that is complete, and `finish`,
which returns the pending text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple


class ReasoningTags(NamedTuple):
    """The tags around a model's reasoning, and those around its answer, if any.

    `answer` may also begin a reply that has no reasoning. `separator` is the text between reasoning
    and answer, if it is known.
    """

    start: str
    end: str
    answer: str = ""
    answer_end: str = ""
    separator: str = ""

    @property
    def closing(self) -> str:
        """The text that ends the reasoning and begins the answer."""
        is_word = re.match(r"[<\[][\w/]", self.end)
        return self.separator or (f"\n{self.end}\n\n" if is_word else self.end) + self.answer


# gpt-oss writes messages with headers, such as `<|start|>assistant<|channel|>final<|message|>`.
HARMONY = ReasoningTags(
    "<|channel|>analysis<|message|>",
    "<|end|>",
    "<|channel|>final<|message|>",
    separator="<|end|><|start|>assistant<|channel|>final<|message|>",
)
# Tags of several words, by text in the chat template. Sources: the templates of gpt-oss, Gemma 4,
# Kimi K3 and Granite 3.2.
_KNOWN_TAGS = {
    "<|channel|>": HARMONY,
    "<|channel>thought": ReasoningTags("<|channel>thought", "<channel|>"),
    "<|open|>": ReasoningTags(
        "<|open|>think<|sep|>",
        "<|close|>think<|sep|>",
        "<|open|>response<|sep|>",
        "<|close|>response<|sep|>",
    ),
    "Here is my thought process:": ReasoningTags(
        "Here is my thought process:",
        "Here is my response:",
        separator="\n\nHere is my response:\n\n",
    ),
}
_UNAMBIGUOUS = [each for each in _KNOWN_TAGS.values() if each.start.startswith("<")]
# Other tags are a name in brackets: <think>, [THINK], ◁think▷, <|START_THINKING|>.
TAG = re.compile(r"<[^<>\s{}'\"]{1,40}>|\[/?[A-Z_]{1,40}\]|◁[^◁▷\s]{1,40}▷")
_PARTIAL_TAG = re.compile(r"<[^<>\s{}'\"]{0,40}|\[/?[A-Z_]{0,40}|◁[^◁▷\s]{0,40}")
_REASONING_WORDS = {"think", "thinking", "thought", "thoughts", "reasoning", "inner"}
_ANSWER_WORDS = {"answer", "response", "solution", "output"}
_OPPOSITES = {"start": "end", "begin": "end", "prefix": "suffix", "open": "close"}
_Kind = Literal["reasoning", "reasoning end", "answer", "answer end", "other"]

_CONTROL = re.compile("[\ud800-\udfff]")
_MARKERS = ("start", "channel", "message", "constrain", "end", "return", "call")
_ENDS = ("end", "return", "call")
_REASONING_CHANNELS = ("analysis", "commentary")
# The words of a header after each marker.
_HEADERS = {
    "start": re.compile(r"\s*(?:assistant|user|system|developer|tool)?\s*(?:to=\S*\s*)?"),
    "channel": re.compile(
        r"\s*(analysis|commentary|final|\w*)\s*(?:to=\S*\s*)?(?:code\b|json\b)?\s*"
    ),
    "constrain": re.compile(r"\s*\w*\s*"),
}
_ROLE = "assistant"
_HEADER_WORDS = (_ROLE, "to=", "code", "json")
_State = Literal["undecided", "reasoning", "answer", "header", "message", "ended"]


class ControlTokens:
    """Writes control tokens as lone surrogates, which no decoded text contains.

    So tags match only control tokens, not text that spells them, and control tokens that are not
    part of a tag can be removed from a reply. `find` returns the control tokens that a text spells,
    by their text.
    """

    def __init__(self, find: Callable[[str], Mapping[str, int]] = lambda _: {}) -> None:
        self._find = lru_cache(maxsize=64)(find)
        self._chars: dict[int, str] = {}
        self.names: dict[str, str] = {}

    def spell(self, text: str) -> str:
        """Return text with its control tokens as surrogates."""
        for name, token in self._find(text).items():
            text = text.replace(name, self.char(token, name))
        return text

    def char(self, token: int, name: str) -> str:
        """Return the surrogate of a control token; `names` maps it to the token's text."""
        char = self._chars.get(token)
        if char is None:
            char = chr(0xD800 + min(len(self._chars), 0x7FF))
            self._chars[token], self.names[char] = char, name
        return char


def find_reasoning_tags(chat_template: str) -> ReasoningTags | None:
    """Return the reasoning tags that a chat template mentions, or None."""
    for key, tags in _KNOWN_TAGS.items():
        if key in chat_template:
            return tags
    mentioned = dict.fromkeys(TAG.findall(chat_template))
    answer = next((t for t in mentioned if _kind(t) == "answer" and partner(t) in mentioned), "")
    for tag in mentioned:
        if _kind(tag) in ("reasoning", "reasoning end"):
            start, end = sorted((tag, partner(tag)), key=lambda each: _kind(each) != "reasoning")
            if "<|end|>" in mentioned and end not in mentioned:
                end = "<|end|>"
            return ReasoningTags(start, end, answer, partner(answer) if answer else "")
    return None


def find_opening(prompt: str, tags: ReasoningTags | None) -> str:
    """Return the tag that a prompt ends with, which begins the reasoning or the answer, or ""."""
    prompt = prompt.rstrip()
    known = [each for each in (tags, *_UNAMBIGUOUS) if each]
    for tag in (tag for each in known for tag in (each.start, each.answer) if tag):
        _, found, after = prompt.rpartition(tag)
        if found and not TAG.sub("", after).strip() and "/" not in after:
            return tag
    at = prompt.rfind("<|start|>") if tags == HARMONY else -1
    if at >= 0 and "\n" not in prompt[at:]:
        return prompt[at:]
    last = prompt[max(prompt.rfind(bracket) for bracket in "<[◁") :]
    kind = _kind(last) if TAG.fullmatch(last) else "other"
    is_opening = kind == "reasoning" or (kind == "answer" and last.startswith("<|"))
    return last if is_opening else ""


def _kind(tag: str) -> _Kind:
    words = set(re.findall("[a-z]+", tag.lower()))
    is_end = "/" in tag or words & set(_OPPOSITES.values())
    if words & _REASONING_WORDS and words & {"inner", "prefix", "suffix"} != {"inner"}:
        return "reasoning end" if is_end else "reasoning"
    if words & _ANSWER_WORDS:
        return "answer end" if is_end else "answer"
    return "other"


def partner(tag: str) -> str:
    """Return the end tag of a start tag, or the start tag of an end tag."""
    pairs = [*_OPPOSITES.items(), *((end, start) for start, end in _OPPOSITES.items())]
    for word, opposite in pairs:
        for a, b in ((word, opposite), (word.upper(), opposite.upper())):
            if a in re.split(r"[^a-zA-Z]", tag):
                return tag.replace(a, b)
    return tag.replace("/", "") if "/" in tag else re.sub(r"^(<[|｜]?|\[|◁)", r"\1/", tag)


class StopStrings:
    """Passes text up to the first stop string; text that may begin one is pending.

    Example:
        >>> s = StopStrings(["END"])
        >>> s.push("a E"), s.push("N"), s.push("D b"), s.stopped
        ('a ', '', '', True)
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._pending = ""
        self.found: str | None = None  # the stop string that ended the text

    @property
    def stopped(self) -> bool:
        return self.found is not None

    def push(self, text: str) -> str:
        if self.stopped:
            return ""
        if not self._stop:
            return text
        text = self._pending + text
        starts = [(at, s) for s in self._stop if (at := text.find(s)) >= 0]
        if starts:
            start, self.found = min(starts)
            self._pending = ""
            return text[:start]
        n = max(overlap(text, s) for s in self._stop)
        self._pending = text[len(text) - n :]
        return text[: len(text) - n]

    def finish(self) -> str:
        rest, self._pending = self._pending, ""
        return rest


class ReasoningSplitter:
    """Separates a model's reasoning from its answer.

    Only tags at the beginning of the reply count, and the end tag of the reasoning; later tags are
    ordinary text. Tags, the white space around them and all control tokens are dropped.

    Args:
        tags: the tags that the model is known to use. Others are recognized by their names.
        opening: the end of the prompt, if it begins the reasoning or the answer.
        controls: the control tokens of the reply.
        prompt: the text of the messages. A tag that it mentions belongs to the answer, unless it
            is `<think>` or one of `tags`.
    """

    def __init__(
        self,
        tags: ReasoningTags | None = None,
        *,
        opening: str = "",
        controls: ControlTokens | None = None,
        prompt: str = "",
    ) -> None:
        self._controls = controls or ControlTokens()
        self._prompt = prompt
        spell = self._controls.spell
        self._tags = [  # as text, and with control tokens
            (each, ReasoningTags(*map(spell, each)))
            for each in [tags, *_UNAMBIGUOUS]
            if each is not None and each != HARMONY
        ]
        self.closing = (tags or HARMONY).closing  # of the current reasoning
        self._markers = {spell(f"<|{name}|>"): name for name in _MARKERS}
        self._marker = re.compile("|".join(map(re.escape, self._markers)))
        self._state: _State = "undecided"
        self._reasoning_ends: list[str] = []
        self._answer_end = ""
        self._message_is_reasoning = False
        self._sections: set[bool] = set()  # whether there was reasoning, and an answer
        self._gap = ""  # before the text of the next message
        self._pending = ""
        self._strip = False
        self._may_be_role = False  # after a tag of a header
        self._is_trusted = True  # whether tags with any name count
        if opening:
            self.push(spell(opening))
        self._is_trusted = False

    @property
    def in_reasoning(self) -> bool:
        if self._state == "message":
            return self._message_is_reasoning
        return self._state == "reasoning" or (self._state == "header" and not self.undecided)

    @property
    def undecided(self) -> bool:
        """Whether the reply may still begin with reasoning."""
        return self._state in ("undecided", "header") and not self._sections

    @property
    def awaits_answer(self) -> bool:
        """Whether the reasoning has ended, and a tag of the answer may follow."""
        return self._state == "undecided" and bool(self._sections)

    def continues_after(self, char: str) -> bool:
        """Return whether a control token ends only the reasoning, although it may end replies."""
        if self._state == "message":
            return self._message_is_reasoning and self._markers.get(char) == "end"
        begins_tag = any(tag.startswith(char) for tag in self._reasoning_ends)
        return self._state == "reasoning" and char != "" and begins_tag

    def push(self, text: str) -> list[tuple[str, bool]]:
        """Return the complete chunks as (text, is reasoning) pairs."""
        out: list[tuple[str, bool]] = []
        self._pending += text
        while self._advance(out):
            pass
        return out

    def finish(self) -> list[tuple[str, bool]]:
        """Return the pending text."""
        out: list[tuple[str, bool]] = []
        if self._state == "header":
            self._read_header(is_end=True)
        if self._answer_end:
            text = self._pending.rstrip()
            if text.endswith(self._answer_end):
                self._pending = text.removesuffix(self._answer_end).rstrip()
        self._emit(out, self._pending, reasoning=self.in_reasoning)
        self._pending = ""
        return out

    def _advance(self, out: list[tuple[str, bool]]) -> bool:
        """Use the pending text; return whether the state changed."""
        if self._state == "undecided":
            return self._read_tag()
        if self._state == "reasoning":
            return self._read_reasoning(out)
        if self._state == "header":
            return self._read_header()
        if self._state == "message":
            return self._read_message(out)
        if self._state == "answer":
            return self._read_answer(out)
        self._pending = ""
        return False

    def _read_tag(self) -> bool:
        head = self._pending.lstrip()
        if self._may_be_role and head.startswith(_ROLE):
            self._may_be_role = False
            return self._skip(head.removeprefix(_ROLE))
        if not head or (self._may_be_role and _ROLE.startswith(head)):
            return False
        self._may_be_role = False
        tags = [*self._markers]
        for plain, (start, end, answer, answer_end, _) in self._tags:
            tags += [start, end, answer]
            if head.startswith(start):
                self.closing = plain.closing
                return self._begin_reasoning(head[len(start) :], [end, answer])
            if answer and head.startswith(answer) and answer not in self._prompt:
                return self._begin_answer(head[len(answer) :], answer_end)
            if head.startswith(end):
                return self._skip(head[len(end) :])
        if self._marker.match(head):
            self._state, self.closing = "header", HARMONY.closing
            return True
        if any(tag.startswith(head) for tag in tags if tag):
            return False
        name = self._controls.names.get(head[0])
        if name is not None:
            return self._read_named_tag(name, head[1:], is_control=True)
        if _PARTIAL_TAG.fullmatch(head):
            return False
        match = TAG.match(head)
        if match and self._read_named_tag(match[0], head[match.end() :], is_control=False):
            return True
        self._state = "answer"
        return True

    def _read_named_tag(self, tag: str, rest: str, *, is_control: bool) -> bool:
        """Use a tag that is known only by its name; return False if it is text."""
        kind = _kind(tag)
        is_requested = not (self._is_trusted or is_control or tag == "<think>")
        if is_requested and tag in self._prompt:
            return False
        end = partner(tag)
        if kind == "reasoning":
            ends = [end, end.replace("<|/", "</|"), "<|end|>"] if end.startswith("<|/") else [end]
            self.closing = ReasoningTags(tag, end).closing
            return self._begin_reasoning(rest, [*map(self._controls.spell, ends), ""])
        if kind == "answer" and (is_control or self._is_trusted or True in self._sections):
            return self._begin_answer(rest, self._controls.spell(end))
        if is_control or kind == "reasoning end" or (self._sections and tag.startswith("<|")):
            self._may_be_role = bool(self._sections)
            return self._skip(rest)
        return False

    def _skip(self, rest: str) -> bool:
        self._pending, self._strip = rest, True
        return True

    def _begin_reasoning(self, rest: str, ends: list[str]) -> bool:
        """`ends` are the end tags and, last, the tag of the answer, which stays pending."""
        self._state, self._reasoning_ends = "reasoning", ends
        self._sections.add(True)
        return self._skip(rest)

    def _begin_answer(self, rest: str, end: str) -> bool:
        self._state, self._answer_end = "answer", end
        return self._skip(rest)

    def _read_reasoning(self, out: list[tuple[str, bool]]) -> bool:
        answer = self._reasoning_ends[-1]
        found = [(self._pending.find(tag), tag) for tag in self._reasoning_ends if tag]
        at, tag = min((each for each in found if each[0] >= 0), default=(-1, ""))
        if at < 0:
            self._hold(out, [tag for _, tag in found], reasoning=True)
            return False
        self._emit(out, self._pending[:at].rstrip(), reasoning=True)
        self._state = "undecided"
        return self._skip(self._pending[at if tag == answer else at + len(tag) :])

    def _read_answer(self, out: list[tuple[str, bool]]) -> bool:
        end = self._answer_end
        if not end:
            self._emit(out, self._pending, reasoning=False)
            self._pending = ""
            return False
        before, tag, after = self._pending.partition(end)
        if tag and after.strip():
            if end.startswith("<|") or _CONTROL.match(end):
                self._emit(out, before.rstrip(), reasoning=False)
                self._state, self._answer_end = "ended", ""
                return True
            self._emit(out, before + tag, reasoning=False)  # text, not the end of the reply
            self._pending = after
            return True
        if tag:
            self._emit(out, before.rstrip(), reasoning=False)
            self._pending = self._pending[len(before.rstrip()) :]
        else:
            self._hold(out, [end], reasoning=False)
        return False

    def _read_header(self, *, is_end: bool = False) -> bool:
        """Read the header of a gpt-oss message, also an incomplete one."""
        text, at = self._pending, 0
        marker, channel, has_recipient = "start", "", False
        for match in [*self._marker.finditer(text), None]:
            words = text[at : match.start() if match else len(text)]
            header = _HEADERS.get(marker, _HEADERS["start"]).match(words)
            assert header is not None
            content = words[header.end() :]
            channel = header[1] if marker == "channel" else channel
            has_recipient = has_recipient or "to=" in header[0]
            if match is None and not is_end and self._may_be_header(content):
                return False
            if content.strip() or match is None:
                at += header.end()
                break
            marker, at = self._markers[match[0]], match.end()
            if marker == "message":
                break
            if marker in _ENDS:
                channel, has_recipient = "", False
        is_reasoning = channel in _REASONING_CHANNELS or (has_recipient and channel != "final")
        self._state, self._message_is_reasoning = "message", is_reasoning
        self._gap = "\n\n" if is_reasoning in self._sections else ""
        self._sections.add(is_reasoning)
        return self._skip(text[at:])

    def _may_be_header(self, text: str) -> bool:
        parts = [*_HEADER_WORDS, *self._markers]
        return not text or any(part.startswith(text) for part in parts)

    def _read_message(self, out: list[tuple[str, bool]]) -> bool:
        is_reasoning = self._message_is_reasoning
        match = self._marker.search(self._pending)
        if match is None:
            self._hold(out, [*self._markers], reasoning=is_reasoning)
            return False
        text = self._pending[: match.start()]
        self._emit(out, text.rstrip() if is_reasoning else text, reasoning=is_reasoning)
        name = self._markers[match[0]]
        self._pending = self._pending[
            match.start() if name in ("start", "channel") else match.end() :
        ]
        self._state = "message" if name in ("message", "constrain") else "header"
        return True

    def _hold(self, out: list[tuple[str, bool]], tags: Sequence[str], *, reasoning: bool) -> None:
        """Emit the pending text, except a partial tag at its end and white space before it."""
        n = max(overlap(self._pending, tag) for tag in tags)
        complete = self._pending[: len(self._pending) - n].rstrip()
        self._emit(out, complete, reasoning=reasoning)
        self._pending = self._pending[len(complete) :]

    def _emit(self, out: list[tuple[str, bool]], text: str, *, reasoning: bool) -> None:
        text = _CONTROL.sub("", text)
        if self._strip:
            text = text.lstrip()
        if text:
            self._strip = False
            self._sections.add(reasoning)
            out.append((self._gap + text, reasoning))
            self._gap = ""


def overlap(text: str, word: str) -> int:
    """Return the length of the longest suffix of `text` that is a proper prefix of `word`."""
    for n in range(min(len(word) - 1, len(text)), 0, -1):
        if text.endswith(word[:n]):
            return n
    return 0
