"""The prefix cache as one loaded model sees it: token ids to states and back."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from pathlib import Path

from llmtool import files
from llmtool.engine.llama.bindings import library_version
from llmtool.engine.llama.context import Context
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.llama.prompt_cache.store import PrefixCache, make_key

_SIZE = struct.Struct("<Q")  # of the tokens before a state, in bytes


class PrefixStates:
    """Saves and finds the states of prefixes on disk.

    Args:
        folder: where they are kept; None keeps none.
        limit_bytes: of all states together; the ones not used for longest go first.
        parts: the files of the model.
        params: what else changes a state: threads, devices, the type of keys and values.
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
        self._cache = None if folder is None else PrefixCache(folder, limit_bytes=limit_bytes)
        self._model = [files.identify(part) for part in parts]
        self._name = weights.path.stem
        self._params = params

    def load(self, ids: Sequence[int], context: Context) -> bytearray | None:
        """Return the state of a prefix, or None where there is none."""
        return None if self._cache is None else self._cache.load(self._key(ids, context))

    def store(self, ids: Sequence[int], context: Context) -> None:
        """Keep the state of sequence 0, which holds `ids`."""
        if self._cache is not None:
            note: dict[str, str | int] = {"model": self._name, "n_tokens": len(ids)}
            self._cache.store(self._key(ids, context), context.save(0), note=note)

    def recall(
        self, ids: Sequence[int], context: Context
    ) -> tuple[tuple[int, ...], bytearray] | None:
        """Return a conversation as its model has spelled it, and its state, by its usual ids."""
        if self._cache is None:
            return None
        payload = self._cache.load(self._key(ids, context, spelled=True))
        if payload is None:
            return None
        (n_bytes,) = _SIZE.unpack_from(payload)
        end = _SIZE.size + n_bytes
        spelled = array("i", bytes(payload[_SIZE.size : end]))
        return tuple(spelled), payload[end:]

    def remember(self, ids: Sequence[int], spelled: Sequence[int], context: Context) -> None:
        """Keep the state of sequence 0, which holds a conversation, as `recall` returns it."""
        if self._cache is not None:
            note: dict[str, str | int] = {"model": self._name, "n_tokens": len(spelled)}
            tokens = array("i", spelled).tobytes()
            payload = b"".join((_SIZE.pack(len(tokens)), tokens, context.save(0)))
            self._cache.store(self._key(ids, context, spelled=True), payload, note=note)

    def _key(self, ids: Sequence[int], context: Context, *, spelled: bool = False) -> str:
        # Batches are not in it: a prefix that is shorter than a small context's is one batch.
        params = {**self._params, "swa_full": context.swa_full, "long": context.is_long}
        if context.apart:  # llama.cpp takes a state for as many pools as it was saved among
            params["pools"] = context.n_seq
        if spelled:
            params["spelled"] = True
        return make_key(model=self._model, build=library_version(), params=params, tokens=ids)
