"""The prompt cache of a loaded model: maps token ids to saved states."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llmtool import files
from llmtool.engine.llama.bindings import library_version
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel

if TYPE_CHECKING:
    from llmtool.engine.llama.prompt_cache.store import PrefixCache

_SIZE = struct.Struct("<Q")  # size in bytes of the tokens before a state


class PrefixStates:
    """Stores and loads the states of prompt prefixes on disk.

    Args:
        folder: the cache folder; None disables the cache.
        limit_bytes: limit for all states; the least recently used ones are removed first.
        parts: the files of the model.
        params: parameters that a state depends on: threads, GPU layers, data type of the KV cache.
    """

    def __init__(
        self,
        folder: Path | None,
        weights: LlamaModel,
        *,
        limit_bytes: int,
        parts: Sequence[Path],
        params: dict[str, str | int],
    ) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._model = weights.identities or [files.identify(part) for part in parts]
        self._name = weights.path.stem
        self._params = params

    @cached_property
    def _cache(self) -> PrefixCache | None:
        if self._folder is None:
            return None
        from llmtool.engine.llama.prompt_cache.store import PrefixCache

        return PrefixCache(self._folder, limit_bytes=self._limit_bytes)

    def load(
        self, ids: Sequence[int], context: Context, *, key: Hashable = None
    ) -> bytearray | None:
        """Return the state of a prefix, or None if it is not stored.

        `key` is what a state depends on besides the tokens, such as LoRA adapters.
        """
        return None if self._cache is None else self._cache.load(self._key(ids, context, key))

    def store(
        self, ids: Sequence[int], context: Context, seq: int = 0, *, key: Hashable = None
    ) -> None:
        """Store the state of a sequence, whose tokens are `ids`."""
        if self._cache is not None:
            name = self._key(ids, context, key)
            self._cache.store(name, context.save(seq), note=self._note(ids))

    def load_conversation(
        self, ids: Sequence[int], context: Context, *, key: Hashable = None
    ) -> tuple[tuple[int, ...], bytearray] | None:
        """Return the tokens and the state of a conversation, or None if it is not stored.

        `ids` are the tokens of its text. The model may have generated the text with other tokens.
        """
        if self._cache is None:
            return None
        payload = self._cache.load(self._key(ids, context, key, is_conversation=True))
        if payload is None:
            return None
        (n_bytes,) = _SIZE.unpack_from(payload)
        end = _SIZE.size + n_bytes
        tokens = array("i", bytes(payload[_SIZE.size : end]))
        return tuple(tokens), payload[end:]

    def store_conversation(
        self,
        ids: Sequence[int],
        tokens: Sequence[int],
        context: Context,
        seq: int,
        *,
        key: Hashable = None,
    ) -> None:
        """Store the state of a sequence, whose tokens are `tokens`, for `load_conversation`."""
        if self._cache is not None:
            raw = array("i", tokens).tobytes()
            payload = b"".join((_SIZE.pack(len(raw)), raw, context.save(seq)))
            name = self._key(ids, context, key, is_conversation=True)
            self._cache.store(name, payload, note=self._note(tokens))

    def _note(self, tokens: Sequence[int]) -> dict[str, str | int]:
        return {"model": self._name, "n_tokens": len(tokens)}

    def _key(
        self, ids: Sequence[int], context: Context, key: Hashable, *, is_conversation: bool = False
    ) -> str:
        from llmtool.engine.llama.prompt_cache.store import make_key

        # The batch size is not part of the key: it differs only in small contexts, whose prefixes
        # fit in one batch.
        params = {**self._params, "swa_full": context.swa_full, "long": context.uses_long_rope}
        if context.separate_streams:  # a state loads only into a context with as many streams
            params["streams"] = context.n_seq
        if key is not None:
            params["key"] = repr(key)
        if is_conversation:
            params["conversation"] = True
        return make_key(model=self._model, build=library_version(), params=params, tokens=ids)
