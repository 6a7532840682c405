"""Render conversations with a chat template so that no message is lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from llmtool.engine.types import Effort, Message, Prompt, Role
from llmtool.errors import TemplateError
from llmtool.option_names import option

if TYPE_CHECKING:
    from llmtool.engine.llama.reasoning_switches import Switches
    from llmtool.templating import Template

ChatMessage = Mapping[str, object]
Thinking = bool | Effort | None
Shape = Callable[[list[ChatMessage]], list[ChatMessage]]

_PROBE: tuple[Role, ...] = ("system", "user")
_MARKER = re.compile("q[zx][a-j]{6}[zx]q")
_PRINTED_PART = re.compile(f"text['\"]: ['\"]({_MARKER.pattern})")
_REASONING = "think|reason"  # in names of variables
_LANGUAGE_KEY = "source_lang_code"


class ChatRenderer:
    """Renders conversations with the chat template of one model.

    Some templates drop messages without an error: they expect a list of content parts, ignore the
    system role, or use only the last message. So each conversation is first rendered with a marker
    in place of each message, in several shapes, until all markers are in the result.

    Args:
        source: the chat template.
        tokens: the texts of special tokens, such as `bos_token`.
        name: the template's name in errors.
        arguments: values of variables, which take precedence.
    """

    def __init__(
        self,
        source: str,
        tokens: Mapping[str, str],
        *,
        name: str = "the model's chat template",
        arguments: Mapping[str, object] | None = None,
    ) -> None:
        self._source, self._name = source, name
        self._tokens, self._arguments = tokens, arguments or {}
        self._last_shape: tuple[object, Shape] | None = None
        self._last_choice: tuple[object, tuple[str, Shape]] | None = None
        self._found_switches: dict[Effort, Switches] = {}

    def render(
        self, messages: Sequence[ChatMessage], *, thinking: Thinking, begin: bool = True
    ) -> str:
        """Render messages as they are; with `begin` up to the beginning of the reply.

        Raises:
            TemplateError: the template is invalid, or rejects the messages.
        """
        return self._apply(messages, self._switches(thinking), begin=begin)

    @property
    def switches_reasoning(self) -> bool:
        """Whether the template can turn reasoning on or off; true if it is invalid."""
        try:
            return bool(self._reasoning_variables) and self._find_switches("medium").has_effect
        except TemplateError:
            return True

    def unread_arguments(self) -> tuple[list[str], list[str]]:
        """Return the arguments that the template does not read, and the variables that it reads.

        An invalid template has neither; rendering reports it.
        """
        try:
            read = self._template.undefined_variables()
        except TemplateError:
            return [], []
        unread = [name for name in self._arguments if name not in read]
        return unread, sorted(read - {"messages", "add_generation_prompt", *self._tokens})

    def _apply(
        self,
        messages: Sequence[ChatMessage],
        variables: Mapping[str, object],
        *,
        begin: bool = True,
    ) -> str:
        known = {"messages": messages, "add_generation_prompt": begin, "tools": None}
        values = {**known, **self._tokens, **variables, **self._arguments}
        return self._template.render(**values)

    def _switches(self, thinking: Thinking) -> Mapping[str, object]:
        if not self._reasoning_variables:
            return {}
        switches = self._find_switches(thinking if isinstance(thinking, str) else "medium")
        return switches.on if thinking else switches.off

    @cached_property
    def _reasoning_variables(self) -> Mapping[str, list[object]]:
        found = self._template.find_variables(_REASONING)
        return {name: each for name, each in found.items() if name not in self._arguments}

    def _find_switches(self, effort: Effort) -> Switches:
        if effort not in self._found_switches:
            from llmtool.engine.llama.reasoning_switches import find_switches

            messages: list[ChatMessage] = [{"role": role, "content": "x"} for role in _PROBE]
            prompt = Prompt(messages=tuple(Message(role, "x") for role in _PROBE))
            try:
                messages = self._choose_shape(prompt, {})[1](messages)
            except TemplateError:  # it may require variables
                del messages[0]
            self._found_switches[effort] = find_switches(
                self._reasoning_variables, partial(self._apply, messages), effort
            )
        return self._found_switches[effort]

    def choose_shape(self, prompt: Prompt) -> tuple[str, Shape]:
        """Return the prompt with a marker for each message, and the shape in which it has all.

        Raises:
            TemplateError: the template is invalid, rejects the messages, or drops one.
        """
        return self._choose_shape(prompt, self._switches(prompt.thinking))

    def _choose_shape(self, prompt: Prompt, variables: Mapping[str, object]) -> tuple[str, Shape]:
        markers = [_marker(n) if m.content.strip() else [] for n, m in enumerate(prompt.messages)]
        messages: list[ChatMessage] = [
            {"role": message.role, "content": "\n".join(words) or message.content}
            for message, words in zip(prompt.messages, markers, strict=True)
        ]
        # The requests of a batch differ only in their messages, which the markers replace.
        choice = messages, dict(variables), prompt.languages
        if self._last_choice is not None and self._last_choice[0] == choice:
            return self._last_choice[1]
        roles = [message.role for message in prompt.messages]
        kind = roles[:1], any(a == b for a, b in pairwise(roles)), all(markers), prompt.languages
        last = self._last_shape
        first = [last[1]] if last is not None and last[0] == kind else []
        errors = []
        for shape in (*first, *self._shapes(prompt.languages)):
            try:
                text = self._apply(shape(messages), variables)
                _check_markers(text, markers, prompt, self._name)
            except TemplateError as exc:
                errors.append(exc)
                continue
            self._last_shape = kind, shape
            self._last_choice = choice, (text, shape)
            return text, shape
        raise errors[len(first)]

    def text_after_reply(self) -> str:
        """Return what the template writes between a reply and the next message, "" if unknown."""
        roles: tuple[Role, ...] = ("user", "assistant", "user")
        prompt = Prompt(messages=tuple(Message(role, "x") for role in roles))
        try:
            text, _ = self.choose_shape(prompt)
        except TemplateError:
            return ""
        between = re.search(f"{_marker(1)[1]}(.*?){_marker(2)[0]}", text, re.DOTALL | re.IGNORECASE)
        return between[1] if between else ""

    @cached_property
    def _template(self) -> Template:
        from llmtool.templating import Template

        return Template(self._source, name=self._name, chat=True)

    def _shapes(self, languages: tuple[str, str] | None) -> Iterator[Shape]:
        """Yield ways to pass a conversation, the usual one first."""
        uses_languages = _LANGUAGE_KEY in self._source
        codes = languages if uses_languages else None
        typed = ((),) if uses_languages else ((), ("system", "user", "assistant"), ("user",))
        for arrange in (list, _join_turns, _merge_system):
            for typed_roles in typed:

                def shape(
                    messages: list[ChatMessage],
                    arrange: Shape = arrange,
                    typed_roles: Sequence[str] = typed_roles,
                ) -> list[ChatMessage]:
                    return _add_parts(arrange(messages), typed_roles, codes)

                yield shape


def _marker(n: int) -> list[str]:
    """Return two words that no template writes and changes of case or white space preserve."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{n:06}")
    return [f"qz{letters}zq", f"qx{letters}xq"]


def _check_markers(text: str, markers: Sequence[Sequence[str]], prompt: Prompt, name: str) -> None:
    text = text.lower()
    found = {*_MARKER.findall(text)} - {*_PRINTED_PART.findall(text)}
    n = next((n for n, words in enumerate(markers) if not found.issuperset(words)), None)
    if n is not None:
        role, total = prompt.messages[n].role, len(markers)
        which = f"message {n + 1} of {total} ({role})" if total > 2 else f"the {role} message"
        raise TemplateError(
            f"{name} drops {which}; "
            f"use another model, or another template with {option('chat_template', 'FILE')}"
        )


def _join_turns(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Join messages of the same role in a row, for templates whose roles must alternate."""
    return [
        {"role": role, "content": "\n\n".join(str(message["content"]) for message in turn)}
        for role, turn in groupby(messages, key=lambda message: message["role"])
    ]


def _merge_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Move the system message into the user message, for templates without a system role."""
    return _join_turns(
        [{**each, "role": "user"} if each["role"] == "system" else each for each in messages]
    )


def _add_parts(
    messages: list[ChatMessage], roles: Sequence[str], codes: tuple[str, str] | None
) -> list[ChatMessage]:
    """Make the content of some roles a list of one part, which may have language codes."""
    parts: list[ChatMessage] = []
    for message in messages:
        part = {"type": "text", "text": message["content"]}
        if message["role"] == "user" and codes is not None:  # as TranslateGemma's template requires
            part |= {"source_lang_code": codes[0], "target_lang_code": codes[1]}
        elif message["role"] not in roles:
            parts.append(message)
            continue
        parts.append({**message, "content": [part]})
    return parts
