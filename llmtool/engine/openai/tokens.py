"""Count the tokens of a prompt: by the server, if it can, or else an estimate."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from llmtool.engine.openai.bodies import make_body
from llmtool.engine.openai.capabilities import Features
from llmtool.engine.openai.connection import Connection
from llmtool.engine.openai.errors import invalid_reply
from llmtool.engine.types import Message, Prompt, Request, Tokenized
from llmtool.errors import UsageError

_MAX_CACHED = 512
_ANCHOR = ":"
_BYTES_PER_TOKEN = 3  # less than of most texts, so that an estimate is rather too high
_TOKENS_PER_MESSAGE = 8
_CHAT_FIELDS = (
    "messages",
    "continue_final_message",
    "add_generation_prompt",
    "chat_template_kwargs",
    "reasoning_effort",
)


class TokenCounter:
    """Tokenizes the prompts of a model.

    Where the server has no API for it, the ids are placeholders, and only their number counts.
    """

    def __init__(self, connection: Connection, features: Features, model: str) -> None:
        self._connection, self._features, self._model = connection, features, model
        self.is_exact = bool(features.tokenize)
        self._is_checked = False
        self._cached: OrderedDict[Prompt, Tokenized] = OrderedDict()
        self._continuations: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._end_ids: tuple[int, ...] | None = None

    async def check(self) -> bool:
        """Return whether the server tokenizes; a proxy may have only the paths of OpenAI's API."""
        try:
            return self.is_exact and bool(await self.token_ids(_ANCHOR))
        except UsageError:
            self.is_exact = False
            return False

    def find(self, prompt: Prompt) -> Tokenized | None:
        """Return the tokens of a prompt if they are known without a request."""
        if prompt.token_ids is not None:
            return Tokenized(text="", token_ids=prompt.token_ids)
        if not self.is_exact:
            return estimate(prompt)
        return self._cached.get(prompt)

    async def tokenize(self, prompt: Prompt) -> Tokenized:
        """Return the tokens of a prompt.

        Raises:
            LlmtoolError: the request failed.
        """
        known = self.find(prompt)
        if known is not None:
            return known
        if not self._is_checked:
            self._is_checked = True
            if not await self.check():
                return estimate(prompt)
        if self._features.tokenize == "vllm":
            found = await self._of_vllm(prompt)
        else:
            found = await self._of_llama_cpp(prompt)
        self._cached[prompt] = found
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return found

    async def token_ids(self, text: str, *, parses_special: bool = False) -> tuple[int, ...]:
        """Return the ids of a text, without those that begin or end it; () if unsupported."""
        if not self.is_exact:
            return ()
        body: dict[str, Any] = {"model": self._model, "parse_special": parses_special}
        if self._features.tokenize == "vllm":
            body |= {"prompt": text, "add_special_tokens": False}
        else:
            body |= {"content": text, "add_special": False}
        return self._read_ids(await self._post("/tokenize", body))

    async def continuation(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text that continues a prompt.

        SentencePiece prepends a space, so the text is tokenized after an anchor.
        """
        if text not in self._continuations:
            ids, anchor = await self.token_ids(_ANCHOR + text), await self.token_ids(_ANCHOR)
            is_apart = ids[: len(anchor)] == anchor
            found = ids[len(anchor) :] if is_apart else await self.token_ids(text)
            self._continuations[text] = found
            if len(self._continuations) > _MAX_CACHED:
                self._continuations.popitem(last=False)
        return self._continuations[text]

    async def end_ids(self) -> tuple[int, ...]:
        """Return the tokens that end a reply: of a turn in the chat template, and of a text.

        Raises:
            UsageError: the server reports neither.
        """
        if self._end_ids is None:
            ends = [*await self._turn_end(), *await self._text_end()]
            self._end_ids = tuple(dict.fromkeys(ends))
        if not self._end_ids:
            raise UsageError(
                f"{self._connection.endpoint.name}: the server does not report the token that ends "
                "a reply, which distinguishes labels that begin with another one; rename them"
            )
        return self._end_ids

    async def _turn_end(self) -> tuple[int, ...]:
        """Return the token after a reply that another message follows."""
        question, reply = Message("user", "a"), Message("assistant", "b")
        before = await self.tokenize(Prompt(messages=(question,), prefill=reply.content))
        after = await self.tokenize(Prompt(messages=(question, reply, question)))
        n = len(before.token_ids)
        return after.token_ids[n : n + 1] if after.token_ids[:n] == before.token_ids else ()

    async def _text_end(self) -> tuple[int, ...]:
        path = "/props" if self._features.tokenize == "llama.cpp" else "/tokenizer_info"
        try:
            document = await self._request("GET", path)
        except UsageError:  # it may be off
            return ()
        text = document.get("eos_token") if isinstance(document, dict) else None
        ids = await self.token_ids(text, parses_special=True) if isinstance(text, str) else ()
        return ids if len(ids) == 1 else ()

    async def _of_llama_cpp(self, prompt: Prompt) -> Tokenized:
        text = prompt.text
        if text is None:
            body = self.chat_fields(prompt)
            document = await self._post("/apply-template", {"model": self._model, **body})
            text = document.get("prompt") if isinstance(document, dict) else None
            if not isinstance(text, str):
                raise invalid_reply(self._connection.endpoint, "no prompt")
        else:
            text += prompt.prefill
        body = {
            "model": self._model,
            "content": text,
            "add_special": True,
            "parse_special": prompt.text is None,  # control tokens come from the template only
        }
        ids = self._read_ids(await self._post("/tokenize", body))
        return Tokenized(text=text, token_ids=ids)

    async def _of_vllm(self, prompt: Prompt) -> Tokenized:
        body = (
            {
                "prompt": prompt.text + prompt.prefill,
                "add_special_tokens": True,
                "parse_special": False,
            }
            if prompt.text is not None
            else self.chat_fields(prompt)
        )
        ids = self._read_ids(await self._post("/tokenize", {"model": self._model, **body}))
        return Tokenized(text=estimate(prompt).text, token_ids=ids)

    def chat_fields(self, prompt: Prompt) -> dict[str, Any]:
        """Return the fields of a chat's body that change its tokens."""
        whole = make_body(
            Request(prompt=prompt),
            endpoint=self._connection.endpoint,
            features=self._features,
            model=self._model,
            seed=0,
        ).document
        return {name: whole[name] for name in _CHAT_FIELDS if name in whole}

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._request("POST", path, body)

    async def _request(self, method: str, path: str, body: object = None) -> Any:
        connection = self._connection
        url = connection.endpoint.root + path
        return await connection.retry(
            lambda: connection.fetch(method, url, body, model=self._model), is_limited=False
        )

    def _read_ids(self, document: Any) -> tuple[int, ...]:
        found = document.get("tokens") if isinstance(document, dict) else None
        if not isinstance(found, list) or any(type(each) is not int for each in found):
            raise invalid_reply(self._connection.endpoint, "no list of tokens")
        return tuple(found)


def estimate(prompt: Prompt) -> Tokenized:
    """Return the conversation as text, and as many placeholders as it may have tokens.

    Example:
        >>> from llmtool.engine.types import Prompt
        >>> len(estimate(Prompt(text="Say hello to the world")).token_ids)
        8
    """
    text = prompt.text
    if text is None:
        text = "\n".join(f"{each.role}: {each.content}" for each in prompt.messages)
    text += (prompt.suffix or "") + prompt.prefill
    n_bytes = len(text.encode("utf-8", "replace"))
    n_tokens = -(-n_bytes // _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(prompt.messages)
    return Tokenized(text=text, token_ids=tuple(range(n_tokens)))
