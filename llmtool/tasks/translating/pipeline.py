"""Documents through an engine: passages of all of them together, results in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from llmtool.engine.types import (
    Engine,
    Failed,
    Finished,
    FinishReason,
    Prompt,
    Request,
    Token,
    Usage,
)
from llmtool.errors import Cancelled, EngineError, LlmtoolError
from llmtool.tasks.in_order import MAX_AHEAD
from llmtool.tasks.translating.documents import DocumentWork, Passage
from llmtool.tasks.translating.work import Work

_MAX_WRONG = 2  # tries of a passage as a whole
_ATTEMPTS_OF_A_SENTENCE = 1


class Asking(Protocol):
    """How a passage is put to the model, and what a reply to it must be."""

    def ask(self, document: DocumentWork, work: Work, *, is_again: bool) -> Request: ...

    def find_fault(
        self, work: Work, reply: str, finish_reason: FinishReason
    ) -> tuple[str, str | None]:
        """Return the reply, tidied, and what is wrong with it."""
        ...


class Pipeline:
    """Translates documents with all their passages decoded together.

    `events` yields a `Passage` for each document as its output grows, in the order of its source,
    and a document when it is done, in the order in which documents came.
    """

    def __init__(
        self,
        engine: Engine,
        documents: Iterable[DocumentWork | Failed | None],
        asking: Asking,
    ) -> None:
        self._engine, self._documents, self._asking = engine, documents, asking
        self._line: deque[DocumentWork | Failed] = deque()
        self._again: deque[tuple[DocumentWork, Work]] = deque()
        self._open: dict[int, tuple[DocumentWork, Work]] = {}
        self._texts: dict[int, list[str]] = {}
        self._next_id = 0

    def events(self) -> Generator[Passage | DocumentWork | Failed, None, None]:
        events = self._engine.stream(self._read())
        try:
            for event in events:
                if isinstance(event, Token):
                    if event.id in self._texts and not event.thought:
                        self._texts[event.id].append(event.text)
                    continue
                document = None
                if event.id in self._open:
                    document, work = self._open.pop(event.id)
                    reply = "".join(self._texts.pop(event.id))
                    if isinstance(event, Failed):
                        self._fail(document, event.error)
                    else:
                        self._count(document, event)
                        self._take(document, work, reply, event.finish_reason)
                        self._answer_others(document, work)
                yield from self._leave(document)
            if self._line:
                raise EngineError("the model was closed before the translation was complete")
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def _read(self) -> Iterator[Request | Failed | None]:
        """Yield requests as the engine wants them: what is asked again before what is new."""
        new = self._new()
        is_done = False
        while True:
            if self._again:
                yield self._request(*self._again.popleft(), is_again=True)
            elif is_done and not self._open:
                return
            elif is_done or max(len(self._open), len(self._line)) >= MAX_AHEAD:
                yield None
            else:
                item = next(new, _END)
                if item is _END:
                    is_done = True
                elif isinstance(item, tuple):
                    yield self._request(*item)
                else:
                    yield item

    def _new(self) -> Iterator[tuple[DocumentWork, Work] | Failed | None]:
        for document in self._documents:
            if document is None:
                yield None
                continue
            self._line.append(document)
            if isinstance(document, Failed):
                yield _wake_up()
                continue
            try:
                for work in document.leaves(self._count_tokens):
                    text = work.marked.text
                    if text in document.waiting:
                        document.waiting[text].append(work)
                        self._answer_others(document, work)
                    else:
                        document.waiting[text] = [work]
                        yield document, work
                    if document.error is not None:
                        break
            except LlmtoolError as exc:
                self._fail(document, exc)
            yield _wake_up()

    def _request(
        self, document: DocumentWork, work: Work, *, is_again: bool = False
    ) -> Request | Failed | None:
        if document.error is not None:
            return None
        try:
            request = self._asking.ask(document, work, is_again=is_again)
        except LlmtoolError as exc:
            self._fail(document, exc)
            return _wake_up()
        work.asked = request.prompt
        self._next_id += 1
        self._open[self._next_id] = document, work
        self._texts[self._next_id] = []
        return msgspec.structs.replace(request, id=self._next_id)

    def _take(
        self, document: DocumentWork, work: Work, reply: str, finish_reason: FinishReason
    ) -> None:
        """Settle a passage by a reply, or ask again."""
        if document.error is not None:
            return
        work.tries += 1
        if work.tries == 1:
            document.replies[work.marked.text] = reply, finish_reason
        reply, fault = self._asking.find_fault(work, reply, finish_reason)
        parts = work.read(reply)
        if fault is None and parts is None:
            fault = "lost what must stay: code, a link, a tag or a placeholder"
        if fault is None and parts is not None:
            fault = document.find_fault(work, parts)
        if fault is None and parts is not None:
            document.settle(work, parts)
        elif work.tries < (_ATTEMPTS_OF_A_SENTENCE if work.is_sentence else _MAX_WRONG):
            document.n_retried += 1
            self._again.append((document, work))
        elif work.divide_into_sentences():
            for child in work.children:
                if child.is_language:
                    self._again.append((document, child))
                else:
                    document.settle(child, child.parts)
        else:
            document.settle(work, work.parts, fault)

    def _answer_others(self, document: DocumentWork, work: Work) -> None:
        """Give a reply to the other passages with the same text, each of which judges it."""
        text = work.marked.text
        if text not in document.replies:
            return
        for other in document.waiting[text]:
            other.asked = other.asked or work.asked
            if other.tries == 0 and other.result is None and not other.children:
                self._take(document, other, *document.replies[text])

    def _leave(self, document: DocumentWork | None) -> Iterator[Passage | DocumentWork | Failed]:
        for each in (
            [document]
            if document is not None
            else [one for one in self._line if isinstance(one, DocumentWork)]
        ):
            text = each.take_output() if each.error is None else ""
            if text:
                yield Passage(id=each.id, text=text, n_done=each.n_done, n_segments=len(each.works))
        while self._line:
            first = self._line[0]
            if isinstance(first, DocumentWork) and not first.is_complete:
                return
            self._line.popleft()
            if isinstance(first, DocumentWork) and first.error is not None:
                yield Failed(first.id, first.error)
            else:
                yield first

    def _fail(self, document: DocumentWork, error: LlmtoolError) -> None:
        if isinstance(error, Cancelled):
            raise error
        document.error = document.error or error

    def _count(self, document: DocumentWork, event: Finished) -> None:
        now, used = document.usage, event.usage
        document.usage = Usage(
            prompt_tokens=now.prompt_tokens + used.prompt_tokens,
            cached_tokens=now.cached_tokens + used.cached_tokens,
            completion_tokens=now.completion_tokens + used.completion_tokens,
        )

    def _count_tokens(self, text: str) -> int:
        return len(self._engine.tokenize(Prompt(text=text)).token_ids) if text else 0


_END: Any = object()


def _wake_up() -> Failed:
    """Return an event that the engine gives back at once, so that what is done can leave."""
    return Failed(-1, EngineError("nothing to do"))
