"""Tokenize messages with the model's chat template, without control tokens from their text.

The prompt has only the special tokens that the template itself writes. Ordinary text gets exactly
the ids of llama.cpp's tokenization of the rendered template.

If a text contains a special token, a control character (the breaker) is inserted into the token
before tokenization, and the breaker's ids are removed afterwards. Unlike splitting the text, this
preserves the ids of the surrounding text, and the template still sees the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from llmtool.engine.llama.chat_renderer import ChatMessage, ChatRenderer
from llmtool.engine.text_stream import (
    HARMONY,
    TAG,
    ReasoningTags,
    find_opening,
    find_reasoning_tags,
)
from llmtool.engine.types import (
    ChatTemplateOptions,
    FimTokens,
    Message,
    Prompt,
    Tokenized,
    TokenKind,
)
from llmtool.errors import TemplateError, UsageError
from llmtool.option_names import option

# C0 controls: tokenizers do not merge them with other characters, and texts rarely contain them.
_BREAKERS = "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11\x12\x13"
_ANCHORS = "\n:x\x01"
# A model without a chat template sees a dialogue, and would also write the next turn.
_REQUEST, _REPLY = "Request:\n\n", "Reply:\n\n"
_TURNS = ("\nRequest:\n", "\nReply:\n")
_HTML = re.compile(r"</?(table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i"
                   r"|u|s|sub|sup|code|pre|a|img|p|br|hr|ul|ol|li|div|span)>")  # fmt: skip


class Vocabulary(Protocol):
    """The methods of `LlamaModel` that this module uses."""

    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def adds_bos(self) -> bool: ...
    @property
    def fim_tokens(self) -> FimTokens | None: ...
    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]: ...
    def token_text(self, token: int) -> str: ...
    def kind(self, token: int) -> TokenKind: ...
    def render_piece(self, token: int, *, special: bool) -> bytes: ...


class ChatTemplate:
    """Renders and tokenizes prompts for one model.

    Args:
        source: the chat template, or None for a base model, which completes text.
        options: replace the template, and set its variables.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        source: str | None,
        options: ChatTemplateOptions = ChatTemplateOptions(),
    ) -> None:
        self._vocabulary, self._options = vocabulary, options
        self._source = source if options.source is None else options.source
        self._special: dict[int, str] = {}
        self._last_allowed: tuple[str, list[int]] = "", []

    def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the rendered prompt and its ids.

        Raises:
            TemplateError: the chat template is invalid, or forms special tokens from a message.
            UsageError: the prompt has a suffix, and the model cannot fill in the middle.
        """
        if prompt.suffix is not None:
            return self._tokenize_fim(prompt)
        if prompt.text is not None or self._source is None:
            return self._tokenize_text(prompt)
        plain, shape = self._renderer.choose_shape(prompt)
        end = self._end_of_reasoning(plain) if prompt.thinking is False else ""
        allowed = self._allowed_tokens(plain + end + ("x" if prompt.prefill else ""))

        def encode(texts: Sequence[str]) -> tuple[str, list[int]]:
            *contents, prefill = texts
            messages: list[ChatMessage] = [
                {"role": message.role, "content": content}
                for message, content in zip(prompt.messages, contents, strict=True)
            ]
            rendered = self._renderer.render(shape(messages), thinking=prompt.thinking)
            return rendered + end + prefill, self._encode(rendered + end + prefill)

        contents = [message.content for message in prompt.messages]
        text, ids = self._encode_safely([*contents, prompt.prefill], encode, allowed)
        opening = find_opening(plain + end, self.reasoning_tags)
        return Tokenized(
            text=text,
            token_ids=tuple(ids),
            opening=opening + prompt.prefill,
            begins_text=not prompt.prefill,
        )

    @cached_property
    def _renderer(self) -> ChatRenderer:
        vocabulary = self._vocabulary
        ids = {"bos_token": vocabulary.bos, "eos_token": vocabulary.eos}
        tokens = {name: vocabulary.token_text(i) if i >= 0 else "" for name, i in ids.items()}
        name, arguments = self._options.name, self._options.arguments
        return ChatRenderer(self._source or "", tokens, name=name, arguments=arguments)

    @property
    def exists(self) -> bool:
        """Whether the model, or the options, have a chat template."""
        return self._source is not None

    @property
    def switches_reasoning(self) -> bool:
        """Whether the template can turn reasoning on or off; true without a template."""
        return self._source is None or self._renderer.switches_reasoning

    def _end_of_reasoning(self, plain: str) -> str:
        """Return what ends the reasoning of a prompt at once, or "" if the template turns it off.

        The template may begin the reasoning of every reply, or leave it to the model.
        """
        tags = self.reasoning_tags
        if tags is None:
            return ""
        opening = find_opening(plain, tags)
        if opening != tags.start and (opening or self._renderer.switches_reasoning):
            return ""
        start = "" if opening else tags.start
        closing = tags.closing
        return start + (closing.lstrip("\n") if (plain + start).endswith("\n") else closing)

    def argument_warning(self) -> str | None:
        """Return a warning if values were given for variables that the template does not read."""
        if not self._options.arguments:
            return None
        unread, read = self._renderer.unread_arguments()
        if self._source is None:
            unread, reason = [*self._options.arguments], "the model has no chat template"
        elif read:
            reason = f"{self._options.name} reads {', '.join(read)}"
        else:
            reason = f"{self._options.name} has no variables to set"
        names = ", ".join(map(repr, unread))
        arguments = "argument {} has" if len(unread) == 1 else "arguments {} have"
        return f"template {arguments.format(names)} no effect: {reason}" if unread else None

    @cached_property
    def turn_end(self) -> int | None:
        """The token that the template writes after a reply, even if it is not marked as an end."""
        if self._source is None or self.reasoning_tags == HARMONY:  # where it ends each message
            return None
        after = self._renderer.text_after_reply().lstrip()
        ids = self._vocabulary.tokenize(after.encode(), add_special=False, parse_special=True)
        is_tag = bool(ids) and TAG.fullmatch(self._vocabulary.token_text(ids[0])) is not None
        return ids[0] if is_tag or self._special_tokens(ids[:1]) else None

    @cached_property
    def reasoning_tags(self) -> ReasoningTags | None:
        """The tags that the template writes around reasoning, or mentions."""
        source = self._source or ""
        mentioned = find_reasoning_tags(source)
        if mentioned == HARMONY or not ("reasoning" in source or "thinking" in source):
            return mentioned
        from llmtool.engine.llama.learned_tags import learn_reasoning_tags

        def render(messages: Sequence[Mapping[str, str]], thinking: bool, begin: bool) -> str:
            return self._renderer.render(messages, thinking=thinking, begin=begin)

        try:
            learned = learn_reasoning_tags(render)
        except TemplateError:  # it rejects the messages
            return mentioned
        if learned is None or mentioned is None or learned.answer:
            return learned or mentioned
        return learned._replace(answer=mentioned.answer, answer_end=mentioned.answer_end)

    def _tokenize_text(self, prompt: Prompt) -> Tokenized:
        text, is_dialogue = prompt.text, False
        if text is None:
            is_dialogue = not prompt.continues
            if is_dialogue:
                text = _dialogue(prompt.messages)
            else:
                text = "\n\n".join(message.content for message in prompt.messages)
        allowed = self._allowed_tokens("x")

        def encode(texts: Sequence[str]) -> tuple[str, list[int]]:
            return texts[0], self._encode(texts[0])

        text, ids = self._encode_safely([text + prompt.prefill], encode, allowed)
        return Tokenized(
            text=text,
            token_ids=tuple(ids),
            opening=find_opening(text, None),
            begins_text=is_dialogue and not prompt.prefill,
            stop=_TURNS if is_dialogue else (),
        )

    def _tokenize_fim(self, prompt: Prompt) -> Tokenized:
        """Join prefix, suffix and prefill with the model's tokens for filling in the middle.

        Source: Bavarian et al., "Efficient training of language models to fill in the middle"
        (2022), PSM mode. But: other files of the repository are not put before the prefix.
        """
        vocabulary = self._vocabulary
        tokens = vocabulary.fim_tokens
        if tokens is None:
            raise UsageError(
                "this model has no fill-in-the-middle tokens; use one that has them, such as "
                f"{option('model', 'ggml-org/Qwen2.5-Coder-1.5B-Q8_0-GGUF')}"
            )
        ids = [vocabulary.bos] if vocabulary.adds_bos else []
        rendered = vocabulary.token_text(vocabulary.bos) if ids else ""
        parts = (prompt.text or "", prompt.suffix or "", prompt.prefill)
        for token, part in zip((tokens.prefix, tokens.suffix, tokens.middle), parts, strict=True):
            text, part_ids = self._encode_safely([part], self._encode_middle, [])
            ids += [token, *part_ids]
            rendered += vocabulary.token_text(token) + text
        return Tokenized(text=rendered, token_ids=tuple(ids))

    def _encode_middle(self, texts: Sequence[str]) -> tuple[str, list[int]]:
        """Tokenize text that follows other text: without the space that SentencePiece prepends."""

        def encode(text: str) -> list[int]:
            raw = text.encode()
            return self._vocabulary.tokenize(raw, add_special=False, parse_special=True)

        (text,) = texts
        ids = encode(text)
        pieces = b"".join(self._vocabulary.render_piece(t, special=True) for t in ids)
        if pieces == b" " + text.encode():
            for anchor in _ANCHORS:  # the first that does not merge with the text
                anchored, anchor_ids = encode(anchor + text), encode(anchor)
                if anchored[: len(anchor_ids)] == anchor_ids:
                    return text, anchored[len(anchor_ids) :]
        return text, ids

    def _encode_safely(
        self,
        texts: list[str],
        encode: Callable[[Sequence[str]], tuple[str, list[int]]],
        allowed: list[int],
    ) -> tuple[str, list[int]]:
        """Encode texts without forming special tokens from them."""
        special = [self._find_special_texts(text) for text in texts]
        text, ids = encode(texts)
        if not any(special) and self._special_tokens(ids) == allowed:
            return text, ids
        for breaker in _BREAKERS:
            if any(breaker in t for t in texts):
                continue
            broken = [self._break(t, breaker) for t in texts]
            # Then also at the edges, where template and message may form a token together.
            for attempt in (broken, [_break_edges(t, breaker) for t in broken]):
                rendered, with_breaks = encode(attempt)
                without = self._remove(with_breaks, breaker, rendered)
                if without is not None and self._special_tokens(without) == allowed:
                    return rendered.replace(breaker, ""), without
        raise TemplateError(
            "the model's chat template turns message text into control tokens; "
            f"use another model, or another template with {option('chat_template', 'FILE')}"
        )

    def _break(self, text: str, breaker: str) -> str:
        # Breaking up one special token can form another (<|a<|b|>|>), so repeat.
        for _ in range(100):
            special = self._find_special_texts(text)
            if not special:
                return text
            pattern = "|".join(re.escape(t) for t in sorted(special, key=len, reverse=True))
            text = re.sub(pattern, lambda m: m[0][0] + breaker + m[0][1:], text)
        return breaker.join(text)

    def _find_special_texts(self, text: str) -> set[str]:
        """Return the texts of special tokens that occur in `text`."""
        if not text:
            return set()
        ids = self._vocabulary.tokenize(text.encode(), add_special=False, parse_special=True)
        special = (t for t in set(ids) if self._vocabulary.kind(t) != "ordinary")
        found = {self._special_text(t) or self._unknown_text(t) for t in special}
        return {t for t in found if len(t) > 1 and t in text}

    def _remove(self, ids: list[int], breaker: str, rendered: str) -> list[int] | None:
        """Remove the breaker's ids; return None if it is part of another token."""
        rest: list[int] = []
        # SentencePiece adds spaces, and some tokenizers drop white space beside special tokens, so
        # neither is compared.
        expected, at = rendered.replace(breaker, "").replace(" ", "").encode(), 0
        after_special = False
        for token in ids:
            piece = self._vocabulary.render_piece(token, special=True)
            is_special = bool(self._special_text(token))
            if piece.strip() == breaker.encode() and not is_special:
                continue
            rest.append(token)
            piece = piece.replace(b" ", b"")
            if is_special or after_special:
                piece = piece.lstrip()
                while expected[at : at + 1].isspace():
                    at += 1
            if expected.startswith(piece, at):
                at += len(piece)
            elif rest != [self._vocabulary.bos]:
                return None
            after_special = is_special or (after_special and not piece)
        return None if expected[at:].strip() else rest

    def _encode(self, rendered: str) -> list[int]:
        """Tokenize as llama.cpp does: parse special tokens, add one BOS and no EOS."""
        vocabulary = self._vocabulary
        ids = vocabulary.tokenize(rendered.encode(), add_special=False, parse_special=True)
        if vocabulary.adds_bos and ids[:1] != [vocabulary.bos]:
            ids.insert(0, vocabulary.bos)
        return ids

    def _allowed_tokens(self, plain: str) -> list[int]:
        """Return the special tokens of a prompt without messages; those of a batch are equal."""
        if self._last_allowed[0] != plain:
            self._last_allowed = plain, self._special_tokens(self._encode(plain))
        return self._last_allowed[1]

    def _special_tokens(self, ids: list[int]) -> list[int]:
        return [token for token in ids if self._special_text(token)]

    def _special_text(self, token: int) -> str:
        """Return the text of a special token, "" for an ordinary one."""
        text = self._special.get(token)
        if text is None:
            kind = self._vocabulary.kind(token)
            text = self._vocabulary.token_text(token) if kind in ("control", "user") else ""
            if kind == "user" and _is_ordinary(text):
                text = ""
            self._special[token] = text
        return text

    def _unknown_text(self, token: int) -> str:
        unknown = self._vocabulary.kind(token) == "unknown"
        return self._vocabulary.token_text(token) if unknown else ""


def _dialogue(messages: Sequence[Message]) -> str:
    """Return messages as plain text that ends where the reply begins.

    Example:
        >>> from llmtool.engine.types import Message
        >>> _dialogue([Message("user", "Name a bird.")])
        'Request:\\n\\nName a bird.\\n\\nReply:\\n\\n'
    """
    prefixes = {"system": "", "user": _REQUEST, "assistant": _REPLY}
    parts = [f"{prefixes[each.role]}{each.content.strip()}\n\n" for each in messages]
    return "".join(parts) + _REPLY


def _is_ordinary(text: str) -> bool:
    """Whether a USER_DEFINED token is ordinary text: white space, a word or an HTML tag."""
    word = text.replace("\u2581", " ").strip()
    return not word or word.isalnum() or _HTML.fullmatch(word) is not None


def _break_edges(text: str, breaker: str) -> str:
    core = text.strip()
    if not core:
        return text
    start = text.index(core)
    return text[:start] + breaker + core + breaker + text[start + len(core) :]
