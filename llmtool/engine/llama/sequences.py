"""Allocate the sequences and cells of a context, and cache those of requests that have ended.

An ended sequence stays in the context, idle, with its tokens. A request that begins with the same
tokens continues it or a copy of it. Idle sequences make room for others, least recently used first;
those that are worth it remain as copies of their state in host memory.

A running sequence reserves all the cells that it may need. Cells are counted by `Span`: copies
share the cells that one sequence computed, from a position on.

Source: SGLang's RadixAttention (Zheng et al., 2024) and llama.cpp's server. But: no tree; requests
are compared with each sequence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import count

import msgspec

from llmtool.engine.llama.context import Context
from llmtool.engine.types import common_prefix_length

MIN_SHARED = 16  # tokens; sharing fewer saves nothing
_MAX_STATES = 64  # in host memory; each request is compared with all of them

Span = tuple[int, int, int]  # a number of the computation, its first and last position


class CachedSequence(msgspec.Struct, eq=False, kw_only=True):
    """A sequence that is in the context as `seq`, in host memory as `state`, or in both.

    The first `length` of its `tokens` are computed; the last token of a reply is not. A beginning
    of at least `min_length` of them can be used. `key` is what
    the state depends on besides the tokens. With `keep` it is worth a copy in host memory. A
    `is_prefix` sequence is copied, but never continued. `layout` are the properties of a context
    that can load the state.
    """

    tokens: tuple[int, ...]
    length: int
    min_length: int = 0
    key: Hashable = None
    keep: bool = False
    is_prefix: bool = False
    seq: int | None = None
    spans: tuple[Span, ...] = ()
    state: bytearray | None = None
    layout: Hashable = None


class SequenceCache:
    """The cached sequences of a model, also of earlier contexts, least recently used first.

    Up to `_MAX_STATES` states are in host memory, and take up to `limit_bytes`.
    """

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.entries: list[CachedSequence] = []

    @property
    def size_bytes(self) -> int:
        return sum(len(each.state) for each in self.entries if each.state is not None)

    def touch(self, entry: CachedSequence) -> None:
        """Make an entry the most recently used one."""
        if entry in self.entries:
            self.entries.remove(entry)
            self.entries.append(entry)

    def limit_states(self) -> None:
        """Drop states beyond the limits, least recently used first."""
        saved = [each for each in self.entries if each.state is not None]
        n_bytes = self.size_bytes
        while saved and (n_bytes > self.limit_bytes or len(saved) > _MAX_STATES):
            entry = saved.pop(0)
            assert entry.state is not None
            n_bytes -= len(entry.state)
            entry.state = None
            if entry.seq is None:
                self.entries.remove(entry)


class Sequences:
    """The sequences of one context: free, running, or idle in a `SequenceCache`.

    With `keep_all`, sequences that are not worth a copy in host memory stay idle, too.
    """

    def __init__(
        self, context: Context, cache: SequenceCache | None = None, *, keep_all: bool = True
    ) -> None:
        self.context, self._keep_all = context, keep_all
        self.cache = cache or SequenceCache(limit_bytes=0)
        self._free = list(range(context.n_seq))
        self._running: dict[int, tuple[Span, ...]] = {}
        self._numbers = count()
        self.n_released = 0  # how often sequences or cells became available

    @property
    def idle(self) -> list[CachedSequence]:
        """The idle sequences, least recently used first."""
        return [each for each in self.cache.entries if each.seq is not None]

    @property
    def n_free_cells(self) -> int:
        """The number of cells that no running sequence has reserved.

        With separate streams it is the number of cells of one stream.
        """
        context = self.context
        if context.separate_streams:
            return context.n_ctx_seq
        return context.n_ctx - _count_cells(self._running.values())

    @property
    def n_free(self) -> int:
        """The number of sequences that can be acquired."""
        return len(self._free) + len(self.idle)

    def find(
        self, tokens: Sequence[int], key: Hashable = None
    ) -> tuple[CachedSequence | None, int]:
        """Return the cached sequence with the longest common prefix, and its usable length.

        A memory that cannot be truncated uses a sequence as a whole or not at all.
        """
        tokens, best, best_length = tuple(tokens), None, 0
        n_free_cells = self.n_free_cells
        for entry in self.cache.entries:
            is_loadable = entry.layout == self.context.layout and entry.length <= n_free_cells
            if entry.key != key or (entry.seq is None and not is_loadable):
                continue
            length = min(entry.length, common_prefix_length([entry.tokens, tokens]))
            if length < entry.length and not self.context.can_truncate:
                continue
            if length < entry.min_length:
                continue
            is_better = best is None or best.seq is None or entry.seq is not None
            if length > best_length or (length and length == best_length and is_better):
                best, best_length = entry, length
        return best, best_length

    def histories(self, key: Hashable = None) -> list[tuple[int, ...]]:
        """Return the tokens of all cached sequences."""
        return [each.tokens for each in self.cache.entries if each.key == key]

    def view(self, seq: int, tokens: tuple[int, ...]) -> CachedSequence:
        """Return a running sequence that begins with `tokens`, for `begin`."""
        return CachedSequence(
            tokens=tokens,
            length=len(tokens),
            is_prefix=True,
            seq=seq,
            spans=_clip(self._running[seq], len(tokens)),
        )

    def has_cells(self, source: CachedSequence | None, length: int, n_cells: int) -> bool:
        """Return whether a sequence of `n_cells` can begin with the `length` tokens of `source`."""
        context = self.context
        if context.separate_streams:
            return n_cells <= context.n_ctx_seq
        shared = _clip(source.spans, length) if source is not None else ()
        if not shared:  # also if it is in host memory
            length = 0
        n_used = _count_cells([*self._running.values(), shared])
        return n_used + n_cells - length <= context.n_ctx

    def begin(self, source: CachedSequence | None, length: int, *, n_cells: int) -> tuple[int, int]:
        """Start a sequence of up to `n_cells` tokens; return it and the tokens that it begins with.

        It begins with the first `length` tokens of `source`, or is empty.
        """
        spans: tuple[Span, ...] = ()
        if source is not None and source.seq is None and not self._load(source):
            source = None
        if source is None or source.seq is None:
            seq, length = self._acquire(), 0
        else:
            self.cache.touch(source)
            spans = _clip(source.spans, length)
            if self._can_continue(source, length):
                self.cache.entries.remove(source)
                seq = source.seq
            else:
                seq = self._acquire()
                self.context.copy(source.seq, seq)
            if self.context.length(seq) > length:  # a running one may be longer than its view
                self.context.truncate(seq, length)
        self._running[seq] = (*spans, (next(self._numbers), length, n_cells))
        self._make_room()
        return seq, length

    def _can_continue(self, source: CachedSequence, length: int) -> bool:
        """Whether a request continues a sequence itself, not a copy of it."""
        if not self._free and self.idle == [source]:
            return True
        if source.is_prefix:
            return False
        if self.context.separate_streams and not (self._free or source.keep):
            return True  # a copy would evict another sequence, and copies all cells of a stream
        if self.context.can_truncate:
            return source.length - length < MIN_SHARED
        return not source.keep

    def acquire(self, like: int | None = None, *, length: int = 0, n_cells: int = 0) -> int:
        """Return an empty sequence, for `length` tokens of sequence `like` and `n_cells` more."""
        seq = self._acquire()
        spans = () if like is None else _clip(self._running[like], length)
        if n_cells:
            spans = (*spans, (next(self._numbers), length, length + n_cells))
        self._running[seq] = spans
        self._make_room()
        return seq

    def _acquire(self) -> int:
        if not self._free:
            self._evict(self.idle[0])
        return self._free.pop(0)

    def free(self, seq: int) -> None:
        """Release a sequence; cells that other sequences share stay."""
        self.n_released += 1
        self._running.pop(seq, None)
        self.context.drop(seq)
        self._free = sorted([*self._free, seq])

    def retire(
        self,
        seq: int,
        tokens: tuple[int, ...],
        *,
        length: int | None = None,
        key: Hashable = None,
        keep: bool = False,
        is_prefix: bool = False,
    ) -> None:
        """End a running sequence and cache its tokens, of which `length` are computed."""
        context = self.context
        length = len(tokens) if length is None else length
        is_valid = context.can_truncate or not context.was_interrupted
        if not is_valid or length < MIN_SHARED or not (keep or is_prefix or self._keep_all):
            self.free(seq)
            return
        if context.length(seq) > length:
            context.truncate(seq, length)
        entry = CachedSequence(
            tokens=tokens,
            length=length,
            min_length=context.min_length(seq),
            key=key,
            keep=keep,
            is_prefix=is_prefix,
            seq=seq,
            spans=_clip(self._running.pop(seq), length),
        )
        self.n_released += 1
        self._drop_covered(entry)
        self.cache.entries.append(entry)
        if self._running:
            self._drop_scanned()

    def checkpoint(self, seq: int, tokens: tuple[int, ...], *, key: Hashable = None) -> None:
        """Cache a copy of a running sequence, if the memory cannot be truncated."""
        if self.context.can_truncate or self.n_free < 2:  # leave one for the next job
            return
        copy = self.acquire(seq, length=len(tokens))
        self.context.copy(seq, copy)
        self.retire(copy, tokens, key=key, keep=True)

    def add_state(
        self,
        tokens: tuple[int, ...],
        state: bytearray,
        *,
        key: Hashable = None,
        is_prefix: bool = False,
    ) -> bool:
        """Load a state with `tokens` as an idle sequence; return False if it is not valid."""
        entry = CachedSequence(
            tokens=tokens,
            length=len(tokens),
            key=key,
            keep=True,
            is_prefix=is_prefix,
            state=state,
            layout=self.context.layout,
        )
        if not self.n_free or entry.length > self.n_free_cells or not self._load(entry):
            return False
        entry.state = None
        self._drop_covered(entry)
        self.cache.entries.append(entry)
        return True

    def _drop_covered(self, new: CachedSequence) -> None:
        """Drop sequences that a new one contains."""
        for entry in list(self.cache.entries):
            if entry.key != new.key or entry.length > new.length:
                continue
            if entry.is_prefix > new.is_prefix or entry.keep > new.keep:
                continue
            is_same = entry.tokens[: entry.length] == new.tokens[: entry.length]
            if is_same and (entry.length == new.length or self.context.can_truncate):
                entry.keep, entry.state = False, None
                self._evict(entry)

    def _load(self, entry: CachedSequence) -> bool:
        """Load a state from host memory; if it is not valid, drop it."""
        assert entry.state is not None
        self.cache.touch(entry)
        seq = self._acquire()
        self._running[seq] = ((next(self._numbers), 0, entry.length),)
        self._make_room()
        spans = self._running.pop(seq)
        if self.context.restore(seq, entry.state) and self.context.length(seq) == entry.length:
            entry.seq, entry.spans = seq, spans
            entry.min_length = self.context.min_length(seq)
            return True
        self.free(seq)
        if entry in self.cache.entries:
            self.cache.entries.remove(entry)
        return False

    def _make_room(self) -> None:
        """Evict idle sequences until the running ones have their cells."""
        context = self.context
        if context.separate_streams:
            return
        self._drop_scanned()
        for entry in self.idle:
            spans = [*self._running.values(), *(each.spans for each in self.idle)]
            if _count_cells(spans) <= context.n_ctx:
                return
            self._evict(entry)

    def _drop_scanned(self) -> None:
        """Evict idle sequences whose cells only slow the running ones down.

        Attention scans all cells of a pool. On a CPU this takes longer, after a few tokens, than
        to copy the cells to host memory and back.
        """
        context = self.context
        weights = context.weights
        if context.separate_streams or weights.requires_full_snapshots or weights.n_gpu_layers:
            return
        running = list(self._running.values())
        n_running = _count_cells(running)
        latest = next((each for each in reversed(self.idle) if each.is_prefix), None)
        for entry in self.idle:
            if entry is not latest and _count_cells([*running, entry.spans]) > n_running:
                self._evict(entry)

    def _evict(self, entry: CachedSequence) -> None:
        """Remove an idle sequence from the context; save its state if it is worth it."""
        if entry.seq is not None:
            if entry.keep and entry.state is None and self.cache.limit_bytes:
                entry.state, entry.layout = self.context.save(entry.seq), self.context.layout
            self.free(entry.seq)
        entry.seq, entry.spans = None, ()
        if 0 < self.context.weights.n_swa < entry.length:  # see `Context.min_length`
            entry.min_length = entry.length - 1
        if entry.state is None:
            self.cache.entries.remove(entry)
        self.cache.limit_states()

    def evict_all(self) -> None:
        """Remove all idle sequences from the context, and save those that are worth it."""
        for entry in self.idle:
            self._evict(entry)

    def recover(self) -> None:
        """Drop what a failed decode may have changed; called while nothing runs.

        A decode never overwrites keys and values of other tokens, but may overwrite recurrent
        states.
        """
        if self.context.was_interrupted:
            self.context.was_interrupted = False
            if not self.context.can_truncate:
                self.reset()

    def reset(self) -> None:
        """Drop all sequences from the context, also those of an interrupted decode."""
        for entry in self.idle:
            entry.seq, entry.spans = None, ()
            if entry.state is None:
                self.cache.entries.remove(entry)
        self._running = {}
        self._free = list(range(self.context.n_seq))
        self.context.clear()

    def compact(self) -> dict[int, int]:
        """Make the ids of running sequences adjacent; return the moved ones, from old to new id."""
        running = sorted(self._running)
        n = len(running)
        if not n or running[-1] - running[0] < n:
            return {}
        starts = range(self.context.n_seq - n + 1)
        start = max(starts, key=lambda at: sum(at <= seq < at + n for seq in running))
        targets = set(range(start, start + n))
        moved = {}
        for seq in (each for each in running if each not in targets):
            target = min(targets - set(self._running))
            for entry in [each for each in self.idle if each.seq == target]:
                self._relocate(entry, avoid=targets)
            self._free.remove(target)
            self.context.copy(seq, target)
            self._running[target] = self._running[seq]
            self.free(seq)
            moved[seq] = target
        return moved

    def _relocate(self, entry: CachedSequence, *, avoid: set[int]) -> None:
        """Move an idle sequence to another id, or evict it."""
        assert entry.seq is not None
        target = next((each for each in self._free if each not in avoid), None)
        if target is None or not (entry.keep or entry.is_prefix):
            self._evict(entry)
            return
        self._free.remove(target)
        self.context.copy(entry.seq, target)
        self.free(entry.seq)
        entry.seq = target


def _clip(spans: tuple[Span, ...], length: int) -> tuple[Span, ...]:
    """Return the spans of the first `length` tokens."""
    return tuple((n, start, min(end, length)) for n, start, end in spans if start < length)


def _count_cells(sequences: Iterable[tuple[Span, ...]]) -> int:
    """Return the number of cells of sequences, shared ones counted once."""
    ends: dict[int, tuple[int, int]] = {}
    for spans in sequences:
        for number, start, end in spans:
            ends[number] = start, max(end, ends.get(number, (0, 0))[1])
    return sum(end - start for start, end in ends.values())
