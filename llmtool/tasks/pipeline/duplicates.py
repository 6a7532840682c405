"""Answer equal requests of a stream once, so that they get equal answers.

A request's position in its batch changes the rounding of its logits, and thereby scores and near
ties. Only requests whose answer is not random are compared: scored, greedy, or with a seed.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from llmtool.engine.types import Failed, Request, Sampling, ScoreRequest
from llmtool.errors import LlmtoolError

_MAX_RECENT = 64  # answers
_MAX_ANSWERS, _MAX_BYTES = 50_000, 8 << 20  # of the table with the earlier ones
_PLACEHOLDER = LlmtoolError("an equal request has the answer")


class _Identified(Protocol):
    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=_Identified)  # a request
E = TypeVar("E")  # an answer, or an event before it


def answer_once(
    requests: Iterable[R | Failed | None],
    run: Callable[[Iterator[R | Failed | None]], Generator[E | Failed, None, None]],
    *,
    key: Callable[[R], bytes | None],
    kind: type[Any],
    adapt: Callable[[E, R], E] = lambda answer, request: answer,
) -> Generator[E | Failed, None, None]:
    """Run requests; yield events, and one answer for each request, in order.

    A request that equals an earlier one gets its answer or error. Memory is bounded: the last
    `_MAX_ANSWERS` answers are compared, or fewer long ones.

    Args:
        run: yields events and, in order, one answer or `Failed` for each request or `Failed`.
        key: identifies a request; None if its answer is random.
        kind: the type of answers, as opposed to other events.
        adapt: returns the answer to an equal request, for this one.
    """
    unanswered: dict[bytes, _Slot[E]] = {}
    answers = _Answers[E](kind)
    order: deque[tuple[R | Failed, bytes | None, _Slot[E], bool]] = deque()

    def distinct() -> Iterator[R | Failed | None]:
        for request in requests:
            if request is None:
                yield None
                continue
            found = None if isinstance(request, Failed) else key(request)
            slot = None if found is None else unanswered.get(found) or answers.get(found)
            is_equal = slot is not None
            slot = slot or _Slot()
            if found is not None and not is_equal:
                unanswered[found] = slot
            order.append((request, found, slot, is_equal))
            # A `Failed` takes the place of an equal request in the order.
            yield Failed(request.id, _PLACEHOLDER) if is_equal else request

    with closing(run(distinct())) as events:
        for event in events:
            if not isinstance(event, (Failed, kind)):
                yield event
                continue
            request, found, slot, is_equal = order.popleft()
            if not is_equal:
                slot.answer = event
                if found is not None:
                    del unanswered[found]
                    answers.add(found, slot)
                yield event
            elif isinstance(slot.answer, Failed):
                yield Failed(request.id, slot.answer.error)
            elif slot.answer is not None and not isinstance(request, Failed):
                yield adapt(slot.answer, request)


class _Slot(Generic[E]):
    """The answer to a request, None until it is complete."""

    def __init__(self, answer: E | Failed | None = None) -> None:
        self.answer = answer


class _Answers(Generic[E]):
    """Complete answers by key: the last as objects, earlier ones encoded in a table."""

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self._recent: OrderedDict[bytes, _Slot[E]] = OrderedDict()
        self._table = _Table()

    def get(self, key: bytes) -> _Slot[E] | None:
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        data = self._table.get(key)
        return None if data is None else _Slot(msgspec.msgpack.decode(data, type=self._kind))

    def add(self, key: bytes, slot: _Slot[E]) -> None:
        self._recent[key] = slot
        if len(self._recent) > _MAX_RECENT:
            key, slot = self._recent.popitem(last=False)
            if not isinstance(slot.answer, Failed):  # otherwise it is computed again
                # `adapt` restores objects of other types.
                data = msgspec.msgpack.encode(slot.answer, enc_hook=lambda value: None)
                self._table.add(key, data)


class _Table:
    """A hash table of byte strings in two arrays, because Python objects take more memory.

    It is emptied when it is full.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._data = bytearray(1)  # records of a key, a length and the bytes
        self._places = array("Q")  # of the records in the data, by hash with linear probing
        self._n = 0

    def get(self, key: bytes) -> bytes | None:
        place = self._places[self._find(key)] if self._n else 0
        if not place:
            return None
        start = place + len(key) + 4
        length = int.from_bytes(self._data[start - 4 : start], "big")
        return bytes(self._data[start : start + length])

    def add(self, key: bytes, value: bytes) -> None:
        if self._n >= _MAX_ANSWERS or len(self._data) + len(value) > _MAX_BYTES:
            self._clear()
        if not self._n:
            self._places.frombytes(bytes(8 * 2 * _MAX_ANSWERS))
        self._places[self._find(key)] = len(self._data)
        self._data += key + len(value).to_bytes(4, "big") + value
        self._n += 1

    def _find(self, key: bytes) -> int:
        """Return the index of a key in the places, or of the free one for it."""
        n = len(self._places)
        index = int.from_bytes(key[:8], "big") % n
        while (place := self._places[index]) and self._data[place : place + len(key)] != key:
            index = (index + 1) % n
        return index


def request_key(request: Request) -> bytes | None:
    """Identify a request by its prompt and options, without the seed if it is greedy."""
    if not is_determined(request.sampling) or request.keep or request.cancellation:
        return None
    sampling = request.sampling
    if is_greedy(sampling):
        sampling = msgspec.structs.replace(sampling, seed=None)
    return digest(request.prompt, sampling, request.n, request.echo)


def score_key(request: ScoreRequest) -> bytes | None:
    """Identify a request by its prompt and candidates."""
    return digest(request.prompt, request.candidates, request.end)


def is_determined(sampling: Sampling) -> bool:
    """Return whether a reply with these options is not random."""
    return is_greedy(sampling) or sampling.seed is not None


def is_greedy(sampling: Sampling) -> bool:
    """Return whether the seed has no effect."""
    return sampling.temperature == 0 or sampling.top_k == 1


def digest(*parts: object) -> bytes | None:
    """Return a hash of values, None if a text among them is not valid Unicode."""
    try:
        return hashlib.sha256(msgspec.json.encode(parts, enc_hook=repr, order="sorted")).digest()
    except UnicodeEncodeError:
        return None
