"""Build the requests of a summary: notes, refined notes and the summary itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from llmtool.engine.types import Request
from llmtool.structured.constraint import Constraint
from llmtool.tasks.options import Style
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, identify, limit_answer, with_sampling
from llmtool.tasks.summarize.length import Length
from llmtool.text.sections import Chunk

_TOKENS_PER_WORD = 1.8  # upper estimate for replies
_MIN_NOTE_WORDS = 12
_RETRY_TEMPERATURE = 0.4


class SummaryPrompts(msgspec.Struct, frozen=True, kw_only=True):
    """The templates, length, style and focus of one `summarize` call.

    `refined_notes` is required for the strategy "refine".
    """

    final: PreparedTask
    notes: PreparedTask
    refined_notes: PreparedTask | None
    length: Length
    style: Style
    focus: str | None

    @property
    def text_input(self) -> str:
        """The name of the final template's input for the text."""
        return self.final.template.primary_input() or "text"

    def note_request(self, text: str, *, path: Sequence[str] = (), max_tokens: int) -> Request:
        """Return the request for notes on a chunk, or on a group of notes.

        `path` are the headings above the chunk.
        """
        values = {**self._note_values(path, max_tokens), "text": text}
        return _request(self.notes, values, max_tokens=max_tokens)

    def refine_request(self, notes: str, chunk: Chunk, *, max_tokens: int) -> Request:
        """Return the request that adds a chunk to the notes on the chunks before it."""
        assert self.refined_notes is not None
        values = {**self._note_values(chunk.path, max_tokens), "text": chunk.text, "summary": notes}
        return _request(self.refined_notes, values, max_tokens=max_tokens)

    def summary_request(self, text: str, *, attempt: int = 0) -> Request:
        """Return the request for the summary of a text; a retry uses a temperature above 0."""
        values = {self.text_input: text, "length": self.length.phrase, "focus": self.focus}
        request = _request(self.final, values)
        if self.final.options.sampling.max_tokens is None:
            max_tokens = int(self.length.n_words * 1.3 * _TOKENS_PER_WORD) + 40
            request = limit_answer(request, max_tokens)
        expression = self.length.expression(self.style)
        if expression is not None:
            request = with_sampling(request, constraint=Constraint("regex", expression), stop=())
        if attempt:
            request = with_sampling(
                request,
                temperature=request.sampling.temperature or _RETRY_TEMPERATURE,
                seed=(request.sampling.seed or 0) + attempt,
            )
        return request

    def identity(self, *parts: object) -> bytes:
        """Return a hash of the templates, the options and `parts`."""
        final = self.final
        options = [final.options.system, final.options.thinking, final.options.variables]
        others = [
            identify(each.template, each.sampling).hex()
            for each in (self.notes, self.refined_notes)
            if each is not None
        ]
        summary = [self.length, self.style, self.focus]
        return identify(
            final.template, final.model, options, final.sampling, summary, others, *parts
        )

    def _note_values(self, path: Sequence[str], max_tokens: int) -> dict[str, object]:
        n_words = max(_MIN_NOTE_WORDS, int(max_tokens / _TOKENS_PER_WORD))
        return {
            "length": f"at most {n_words} words",
            "focus": self.focus,
            "headings": " > ".join(path),
        }


def _request(
    prepared: PreparedTask, values: Mapping[str, object], *, max_tokens: int | None = None
) -> Request:
    """Render a template with the values that it has inputs for."""
    inputs = prepared.template.inputs
    variables = {name: value for name, value in values.items() if name in inputs and value}
    request = prepared.request(Case(variables=variables))
    return request if max_tokens is None else limit_answer(request, max_tokens)
