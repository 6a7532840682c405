"""A llama.cpp context: decodes batches of tokens to rows of logits.

Sequences either share one pool of cells (`kv_unified`), so that copying a sequence copies no keys
or values, or have separate streams, so that attention does not scan the cells of other sequences.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.bindings import clear_errors, last_error
from llmtool.engine.llama.interrupts import SignalWatch
from llmtool.engine.llama.model import LlamaModel
from llmtool.engine.types import KVType, StreamProgress
from llmtool.errors import Cancelled, EngineError

# Tokens of one stream in a batch from which llama.cpp's CPU backend computes attention in tiles.
TILE = 64
_MIN_ROWS = 4  # of a batch, from which numpy is faster
_MIN_SEARCHED = 1000  # rows; searching as many takes as long as importing numpy
_GGML_TYPES = {"f16": 1, "q8_0": 8}


class ActiveAdapters(msgspec.Struct, frozen=True):
    """Loaded LoRA adapters and their scales. `key` identifies them, None if there are none."""

    native: tuple[tuple[Any, float], ...] = ()
    key: tuple[tuple[object, float], ...] | None = None


class Batch:
    """Up to `size` tokens for one `decode`, each with its sequence and position."""

    def __init__(self, weights: LlamaModel, size: int) -> None:
        lib = weights._lib
        self.size = size
        self.n_tokens = 0
        self.rows: list[int] = []  # the tokens that give logits
        self._tokens = (ctypes.c_int32 * size)()
        self._positions = (ctypes.c_int32 * size)()
        self._sequences = (ctypes.c_int32 * size)()
        self._outputs = (ctypes.c_int8 * size)()
        self._counts = (ctypes.c_int32 * size)(*[1] * size)
        start = ctypes.addressof(self._sequences)
        self._pointers = (ctypes.c_void_p * (size + 1))(*range(start, start + 4 * size, 4))
        self.native = lib.llama_batch(
            n_tokens=0,
            token=self._tokens,
            embd=None,
            pos=self._positions,
            n_seq_id=self._counts,
            seq_id=ctypes.cast(self._pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=ctypes.cast(self._outputs, ctypes.POINTER(ctypes.c_int8)),
        )

    @property
    def n_free(self) -> int:
        return self.size - self.n_tokens

    @property
    def n_outputs(self) -> int:
        return len(self.rows)

    def clear(self) -> None:
        self.n_tokens = 0
        self.rows.clear()

    def add(self, tokens: Sequence[int], *, seq: int, pos: int, n_outputs: int) -> range:
        """Append tokens of one sequence from position `pos`; return the rows of their logits.

        Each of the last `n_outputs` tokens gives a row.
        """
        at, n = self.n_tokens, len(tokens)
        end = at + n
        self._tokens[at:end] = list(tokens)
        self._positions[at:end] = list(range(pos, pos + n))
        self._sequences[at:end] = [seq] * n
        outputs = bytes(n - n_outputs) + b"\1" * n_outputs
        self._outputs[at:end] = list(outputs)
        self.n_tokens = end
        rows = range(end - n_outputs, end)
        self.rows += rows
        return rows


class Context:
    """The KV cache of `n_seq` sequences, with the buffers for computing.

    Args:
        n_ctx: number of cells: the tokens of all sequences, shared ones counted once.
        n_threads: threads for prefill and decode.
        n_seq: number of sequences; their ids are 0 to n_seq - 1.
        separate_streams: give each sequence its own n_ctx // n_seq cells. Copying a sequence then
            copies its keys and values, and llama.cpp batches only adjacent ids.
        n_batch: maximum number of tokens per `decode`.
        n_outputs: maximum number of rows of logits per `decode`.
        swa_full: whether layers with a sliding window store all tokens. Sequences that share a
            prefix need it, because shared cells are never reused.
        kv_type: data type of the KV cache; q8_0 halves the memory and is slower.
        cancellation: aborts a running `decode` between two nodes of the graph.

    Raises:
        EngineError: not enough memory.
    """

    def __init__(
        self,
        weights: LlamaModel,
        *,
        n_ctx: int,
        n_threads: int,
        n_seq: int = 1,
        separate_streams: bool = False,
        n_batch: int = 512,
        n_outputs: int = 1,
        kv_type: KVType = "f16",
        swa_full: bool = True,
        cancellation: Cancellation,
        progress: StreamProgress | None = None,
    ) -> None:
        lib = self._lib = weights._lib
        self.weights = weights
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_seq_max = self.n_seq = n_seq
        params.n_outputs_max = self.n_outputs = max(n_outputs, n_seq)  # llama.cpp aborts otherwise
        params.n_threads = params.n_threads_batch = n_threads
        params.type_k = params.type_v = _GGML_TYPES[kv_type]
        self.separate_streams = separate_streams
        params.kv_unified = not separate_streams
        params.no_perf = True
        params.swa_full = self.swa_full = swa_full
        self._cancellation, self._progress = cancellation, progress or StreamProgress()
        self._watch = SignalWatch(cancellation, on_fault=weights.on_fault)
        # The abort callback is strlen(flag): 0 while the flag is an empty string. A Python callback
        # would run 515 times per token on a 30-layer model and take about 4 % of the time.
        self._flag = (ctypes.c_char * 2).from_buffer(cancellation.flag)
        params.abort_callback = ctypes.cast(_c_library().strlen, lib.ggml_abort_callback)
        params.abort_callback_data = ctypes.addressof(self._flag)
        clear_errors()
        self._ctx = lib.llama_init_from_model(weights._model, params)
        if not self._ctx:
            reason = last_error() or "insufficient memory"
            advice = "; shorten the input or the reply" if "memory" in reason else ""
            raise EngineError(f"cannot create a context of {n_ctx:,} tokens: {reason}{advice}")
        self._memory = lib.llama_get_memory(self._ctx)
        self._adapters = ActiveAdapters()
        self.was_interrupted = False  # whether a failed `decode` left an undefined state
        self._has_pending_copies = False
        self._best: dict[int, int] | None = None  # the most likely token of each row
        self._n_searched = 0  # rows
        self.n_ctx = int(lib.llama_n_ctx(self._ctx))
        self.n_ctx_seq = int(lib.llama_n_ctx_seq(self._ctx))  # limit of one sequence
        self.n_batch = int(lib.llama_n_batch(self._ctx))
        self.batch = Batch(weights, self.n_batch)
        # Whether a model with two sets of RoPE factors uses the one for long contexts.
        self.uses_long_rope = weights.n_ctx_rope is not None and self.n_ctx_seq > weights.n_ctx_rope
        # Whether the end of a sequence can be removed.
        self.can_truncate = not weights.requires_full_snapshots and (
            swa_full or not weights.has_sliding_window
        )
        # A saved state loads only into a context with the same layout.
        self.layout = self.uses_long_rope, swa_full, n_seq if separate_streams else 1

    def close(self) -> None:
        if self._ctx:
            self._lib.llama_free(self._ctx)
            self._ctx = None
            self._watch.close()

    def use_adapters(self, adapters: ActiveAdapters) -> None:
        """Apply these LoRA adapters, and no others, in the next `decode`."""
        if adapters.key == self._adapters.key:
            return
        self._adapters, n = adapters, len(adapters.native)
        pointers = (self._lib.llama_adapter_lora_p_ctypes * n)(
            *(each for each, _ in adapters.native)
        )
        scales = (ctypes.c_float * n)(*(scale for _, scale in adapters.native))
        self._lib.llama_set_adapters_lora(self._ctx, pointers, n, scales)

    def decode(self) -> None:
        """Append the tokens of `batch` to their sequences and compute the rows of logits.

        Raises:
            Cancelled: a stop was requested; the state of the batch's sequences is undefined.
            EngineError: llama.cpp failed.
        """
        self.batch.native.n_tokens = self.batch.n_tokens
        self._has_pending_copies, self._best = False, None
        with self._cancellation.running_native(), self._watch:
            code = self._lib.llama_decode(self._ctx, self.batch.native)
        if code == 0:
            return
        self.was_interrupted = True
        if code == 2:
            raise Cancelled("cancelled", reason=self._cancellation.reason)
        reason = last_error() or "no reason given"
        raise EngineError(f"llama.cpp failed to decode: {reason} (code {code})")

    def most_likely(self, row: int) -> int | None:
        """Return the first of the most likely tokens of a row, if it is cheap to find.

        numpy finds those of all rows at once, in a tenth of the time of llama.cpp's sampler, but
        takes 0.1 s to import. So it is imported when a context has had many rows.
        """
        rows = self.batch.rows
        if self._best is None:
            if len(rows) < _MIN_ROWS:
                return None
            self._n_searched += len(rows)
            if self._n_searched < _MIN_SEARCHED and "numpy" not in sys.modules:
                self._best = {}
            else:
                self._best = self._find_best(rows)
        return self._best.get(row)

    def _find_best(self, rows: Sequence[int]) -> dict[int, int]:
        import numpy as np

        start = ctypes.addressof(self._lib.llama_get_logits(self._ctx).contents)
        shape = len(rows), self.weights.n_vocab
        values = (ctypes.c_char * (4 * shape[0] * shape[1])).from_address(start)
        logits = np.frombuffer(memoryview(values), np.float32).reshape(shape)
        best = logits.argmax(axis=1)
        highest = logits[np.arange(len(rows)), best].tolist()
        found = zip(rows, best.tolist(), highest, strict=True)
        return {row: token for row, token, logit in found if not math.isnan(logit)}

    def synchronize(self) -> None:
        """Wait for the rows of the last `decode`, which a GPU computes in the background."""
        if self.weights.n_gpu_layers:
            self._lib.llama_synchronize(self._ctx)

    def prefill(self, tokens: Sequence[int], *, seq: int = 0, pos: int = 0) -> int:
        """Append tokens to one sequence, in separate batches; return the last row."""
        row = -1
        for at in range(0, len(tokens), self.n_batch):
            self._cancellation.check()
            chunk = tokens[at : at + self.n_batch]
            self.batch.clear()
            (row,) = self.batch.add(chunk, seq=seq, pos=pos + at, n_outputs=1)
            started = time.perf_counter()
            self.decode()
            self._progress.add_prompt_tokens(len(chunk))
            self._progress.add_time(time.perf_counter() - started, n_read=len(chunk))
        return row

    def length(self, seq: int) -> int:
        """Return the number of tokens in a sequence."""
        return int(self._lib.llama_memory_seq_pos_max(self._memory, seq)) + 1

    def min_length(self, seq: int) -> int:
        """Return the shortest length that a sequence can be truncated to.

        A saved state has only the last window of layers with a sliding window. The tokens before
        it are missing, which those of an earlier window see.
        """
        if not self.weights.has_sliding_window:
            return 0
        start = int(self._lib.llama_memory_seq_pos_min(self._memory, seq))
        return start + self.weights.n_swa - 1 if start > 0 else 0

    def copy(self, source: int, target: int) -> None:
        """Copy a sequence to an empty one."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self._has_pending_copies |= self.separate_streams

    def truncate(self, seq: int, length: int) -> bool:
        """Remove the tokens after the first `length`; return False if the memory cannot do it."""
        return bool(self._lib.llama_memory_seq_rm(self._memory, seq, length, -1))

    def drop(self, seq: int) -> None:
        """Empty a sequence."""
        self._lib.llama_memory_seq_rm(self._memory, seq, -1, -1)

    def clear(self) -> None:
        self._lib.llama_memory_clear(self._memory, False)

    def save(self, seq: int) -> bytearray:
        """Return the state of a sequence as bytes, for `restore`."""
        state = bytearray(int(self._lib.llama_state_seq_get_size(self._ctx, seq)))
        self._lib.llama_state_seq_get_data(self._ctx, _pointer(state), len(state), seq)
        return state

    def restore(self, seq: int, state: bytearray) -> bool:
        """Load a state into an empty sequence; return False if llama.cpp rejects it."""
        if not state:
            return False
        if self._has_pending_copies:
            # llama.cpp copies between streams in the next decode, and would copy what is loaded.
            self.batch.clear()
            self.batch.add([0], seq=seq, pos=0, n_outputs=1)
            self.decode()
            self.drop(seq)
        done = self._lib.llama_state_seq_set_data(self._ctx, _pointer(state), len(state), seq)
        if not done:
            self.drop(seq)
        return bool(done)


def _pointer(state: bytearray) -> object:
    """Return a pointer to bytes. An array would need a type of its own for each length."""
    return ctypes.byref(ctypes.c_uint8.from_buffer(state))


def _c_library() -> ctypes.CDLL:
    return ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
