"""Build the requests of a summary."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtool.engine.types import Request
from llmtool.structured.constraint import Constraint
from llmtool.tasks.options import Style
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, identify, limit_answer, with_sampling
from llmtool.tasks.summarize.length import Length
from llmtool.tasks.summarize.source import Sentence

_TOKENS_PER_WORD = 2.4  # upper estimate for replies
_RETRY_TEMPERATURE = 0.4
_WORDS_PER_SENTENCE = 18
_POINT = r"- [^\n]{10,240}"


class SummaryPrompts(msgspec.Struct, frozen=True, kw_only=True):
    """The template, length, style and focus of one `summarize` call."""

    task: PreparedTask
    length: Length
    style: Style
    focus: str | None

    @property
    def text_input(self) -> str:
        """The name of the template's input for the text."""
        return self.task.template.primary_input() or "text"

    def request(
        self, sentences: Sequence[Sentence], *, n: int, accepted: Sequence[str] = ()
    ) -> Request:
        """Return the request to summarize sentences in `n` words, or sentences if these count.

        With `accepted`, sentences of an earlier reply, the model continues after them, with a
        temperature above 0.
        """
        is_line = self.style in ("headline", "tldr")
        counts = self.length.counts_sentences
        words = n * _WORDS_PER_SENTENCE if counts else n
        phrase = self.length.phrase if is_line else _phrase(n, self.style, counts=counts)
        values = {self.text_input: passage_text(sentences), "length": phrase, "focus": self.focus}
        inputs = self.task.template.inputs
        variables = {name: value for name, value in values.items() if name in inputs and value}
        request = self.task.request(Case(variables=variables))
        if self.task.options.sampling.max_tokens is None:
            request = limit_answer(request, int(words * _TOKENS_PER_WORD) + 40)
        if self.style == "bullets":
            n_points = n if counts else max(1, round(n / _WORDS_PER_SENTENCE))
            expression = rf"{_POINT}(\n{_POINT}){{0,{max(0, n_points - 1 - len(accepted))}}}"
            request = with_sampling(request, constraint=Constraint("regex", expression))
        if accepted:
            prefill = self._joined(accepted)
            prompt = msgspec.structs.replace(request.prompt, prefill=prefill)
            request = msgspec.structs.replace(request, prompt=prompt)
        return request

    def retry(self, request: Request) -> Request:
        """Return a request with another seed, and a temperature above 0."""
        sampling = request.sampling
        return with_sampling(
            request,
            temperature=sampling.temperature or _RETRY_TEMPERATURE,
            seed=(sampling.seed or 0) + 1,
        )

    def identity(self, *parts: object) -> bytes:
        """Return a hash of the template, the options and `parts`."""
        summary = [self.length, self.style, self.focus]
        return identify(self.task.template, self.task.model, *self._options(), summary, *parts)

    def for_self_test(self) -> SummaryPrompts:
        """Return these prompts for a number of words, without a focus."""
        length = Length(phrase="", n_words=1)
        return msgspec.structs.replace(self, length=length, focus=None)

    def writing_identity(self) -> bytes:
        """Return a hash of what affects how well the model writes."""
        return identify(self.task.template, *self._options(), self.style)

    def _options(self) -> list[object]:
        options, sampling = self.task.options, self.task.sampling
        return [[options.system, options.thinking, options.variables], sampling]

    def _joined(self, accepted: Sequence[str]) -> str:
        if self.style == "bullets":
            return "".join(f"- {text}\n" for text in accepted)
        return " ".join(accepted)


def _phrase(n: int, style: Style, *, counts: bool) -> str:
    if counts:
        unit = "short line" if style == "bullets" else "sentence"
        return f"one {unit}" if n == 1 else f"{n} {unit}s"
    if style == "bullets":
        return _phrase(max(1, round(n / _WORDS_PER_SENTENCE)), style, counts=True)
    return f"about {n} words"


def passage_text(sentences: Sequence[Sentence]) -> str:
    """Return sentences as a text: paragraphs, list items, rows and headings on their own lines."""
    parts: list[str] = []
    last: Sentence | None = None
    for each in sentences:
        text = f"- {each.text}" if each.kind in ("item", "row") and each.opens else each.text
        if last is None:
            separator = ""
        elif last.block == each.block:
            separator = " "
        else:
            separator = "\n" if last.kind == each.kind and each.kind != "prose" else "\n\n"
        parts.append(separator + text)
        last = each
    return "".join(parts)
