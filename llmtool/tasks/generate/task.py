"""Generate text: prompts in, tokens and a `Generation` of each out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, overload

from llmtool.engine.types import Failed, Request, Token
from llmtool.tasks.options import GenerateOptions, make_options
from llmtool.tasks.pipeline.collect import stream_generations
from llmtool.tasks.pipeline.context import Tools
from llmtool.tasks.pipeline.prepare import Case, PreparedTask
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import GenerateKeywords


class GenerateTask(Tools):
    """`generate` and its forms."""

    @overload
    def generate(self, prompt: str, **options: Unpack[GenerateKeywords]) -> Generation: ...
    @overload
    def generate(
        self, prompt: Iterator[str], **options: Unpack[GenerateKeywords]
    ) -> Iterator[Generation]: ...
    @overload
    def generate(
        self, prompt: list[str] | tuple[str, ...], **options: Unpack[GenerateKeywords]
    ) -> list[Generation]: ...
    def generate(
        self, prompt: str | Iterable[str], **options: Unpack[GenerateKeywords]
    ) -> Generation | Iterator[Generation] | list[Generation]:
        """Let the model write a reply to `prompt`.

        Several prompts are decoded together. A sequence gives a list; an iterator, which is read
        as the replies need it and may have no end, gives an iterator; both in the prompts' order.
        The first prompt in that order which fails raises its error, and the rest is left.

        Args:
            prompt: an instruction, or several.
            input: text that the instruction is about; it is data, whatever it says.
            system: the system prompt; None takes the template's, or the model's own.
            n: how many replies to make; they share one prefill, reply i uses seed + i.
            prefill: how the reply begins; the model goes on from there.
            thinking: whether a reasoning model reasons first; `reasoning` has that text.
            template: a prompt template by name or path.
            variables: values for the template's other inputs.
            schema: the JSON that the reply must be: a JSON Schema, the short form
                ("name, age int"), a dataclass or a pydantic model. The model is told, too.
            grammar: a GBNF grammar that the reply must follow.
            regex: a regular expression that the whole reply must match.
            logprobs: how many alternatives to report with each token of the reply; 0 reports none.
            max_tokens, temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n: how to
                sample; `seed` (0 to 2^32-2) makes it repeatable; `stop` is a string or several.

        Returns:
            A `Generation`: `text`, `value` (what the text says, as the schema's type), `choices`,
            `usage` in tokens, `seconds`, `finish_reason` ("stop" or "length"), `seed`, `warnings`.
            `str()` of it is the text.

        Raises:
            ModelNotFound, ModelUnreadable: there is no model to load.
            ContextOverflow: prompt and reply do not fit; nothing is shortened.
            OutputValidationError: a reply was cut, or is not what the constraint asks
                for. Its `result` is the `Generation`, whose choices say what is wrong with them.
            InputError: the prompt is empty.
            TemplateError: the template or the model's chat template is broken.
            UsageError: an option is unknown or out of its range, or a schema is broken.

        Example:
            >>> reply = box.generate("Name a colour.", max_tokens=8)    # doctest: +SKIP
            >>> reply.text, reply.usage.completion_tokens               # doctest: +SKIP
            ('Red.', 2)
        """
        if isinstance(prompt, str):
            *_, result = self.stream_generate(prompt, **options)
            assert isinstance(result, Generation)
            return result
        prepared = self.prepare(make_options(GenerateOptions, options))
        results = self._generate_each(prepared, prompt)
        return results if isinstance(prompt, Iterator) else list(results)

    def _generate_each(
        self, prepared: PreparedTask, prompts: Iterable[str]
    ) -> Generator[Generation, None, None]:
        cases = (Case(id=i, prompt=each) for i, each in enumerate(prompts))
        for event in prepared.outcomes(self.engine, cases):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Generation):
                yield event

    def stream_generate(
        self,
        prompt: str | None,
        *,
        started: float | None = None,
        **options: Unpack[GenerateKeywords],
    ) -> Generator[Token | Generation, None, None]:
        """Like `generate` for one prompt, but yield each `Token`, then the `Generation`.

        Tokens of several choices come mixed, as they are decoded. `started` is the
        `time.perf_counter()` that `seconds` counts from.

        Example:
            for event in box.stream_generate("Tell me a story"):
                if isinstance(event, Token) and not event.reasoning:
                    print(event.text, end="", flush=True)
        """
        started = time.perf_counter() if started is None else started
        prepared = self.prepare(make_options(GenerateOptions, options))
        yield from self.stream_prepared(prepared, Case(prompt=prompt), started=started)

    def stream_prepared(
        self, prepared: PreparedTask, case: Case, *, started: float | None = None
    ) -> Generator[Token | Generation, None, None]:
        """`stream_generate` of one case, with options that `prepare` has checked."""
        started = time.perf_counter() if started is None else started
        yield from stream_generations(
            self.engine,
            [prepared.request(case)],
            model=prepared.model,
            contract=prepared.contract,
            started=started,
        )

    @overload
    async def agenerate(self, prompt: str, **options: Unpack[GenerateKeywords]) -> Generation: ...
    @overload
    async def agenerate(
        self, prompt: list[str] | tuple[str, ...], **options: Unpack[GenerateKeywords]
    ) -> list[Generation]: ...
    async def agenerate(
        self, prompt: str | list[str] | tuple[str, ...], **options: Unpack[GenerateKeywords]
    ) -> Generation | list[Generation]:
        """`generate` for asyncio: runs in a thread; cancelling the task stops the decoding."""
        if not isinstance(prompt, str):
            return [each async for each in self.agenerate_each(prompt, **options)]
        *_, result = [event async for event in self.astream_generate(prompt, **options)]
        assert isinstance(result, Generation)
        return result

    def agenerate_each(
        self, prompts: Iterable[str], **options: Unpack[GenerateKeywords]
    ) -> AsyncIterator[Generation]:
        """`generate` of many prompts for asyncio: results as they are there, in their order."""
        return self.turns.stream(
            lambda: self._generate_each(
                self.prepare(make_options(GenerateOptions, options)), prompts
            )
        )

    def astream_generate(
        self, prompt: str, **options: Unpack[GenerateKeywords]
    ) -> AsyncIterator[Token | Generation]:
        """`stream_generate` for asyncio."""
        return self.turns.stream(lambda: self.stream_generate(prompt, **options))

    def request(self, prompt: str | None, **options: Unpack[GenerateKeywords]) -> Request:
        """Render a template into the request that `generate` would serve."""
        prepared = self.prepare(make_options(GenerateOptions, options))
        return prepared.request(Case(prompt=prompt))
