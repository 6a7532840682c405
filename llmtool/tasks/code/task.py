"""Write code: replies to code that parses, repaired and laid out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, overload

from llmtool.engine.types import Failed
from llmtool.tasks.options import CodeOptions, GenerateOptions, make_options
from llmtool.tasks.pipeline.context import Tools
from llmtool.tasks.pipeline.prepare import Case

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.code.generate import CodeWriter
    from llmtool.tasks.code.results import Code
    from llmtool.tasks.keywords import CodeKeywords

REPAIR = "code-repair"


class CodeTask(Tools):
    """`write_code` and its forms."""

    @overload
    def write_code(self, request: str, **options: Unpack[CodeKeywords]) -> Code: ...
    @overload
    def write_code(
        self, request: Iterator[str], **options: Unpack[CodeKeywords]
    ) -> Iterator[Code]: ...
    @overload
    def write_code(
        self, request: list[str] | tuple[str, ...], **options: Unpack[CodeKeywords]
    ) -> list[Code]: ...
    def write_code(
        self, request: str | Iterable[str], **options: Unpack[CodeKeywords]
    ) -> Code | Iterator[Code] | list[Code]:
        """Write code from words, and see to it that it parses.

        The code in the reply is taken out of its fence and checked. What does not parse goes back
        to the model with its error, and the best version is kept; a reply that was cut goes on
        first. Several requests are served together. A sequence gives a list; an iterator, which is
        read as the results need it, gives an iterator; both in the requests' order. The first
        request in that order which fails raises its error. Nothing that was written is run.

        Args:
            request: what the code has to do, or several such texts.
            language: by name, alias or suffix ("python", "js", "rs"); None takes the template's.
            check: whether to look at the syntax.
            repair: how many rounds of repair there are at most, 0 for none.
            format: whether code that parses goes through the formatter of its language, where one
                is on PATH.
            run_tests: called with code that parses; what it returns decides whether it is good.
            input: code or data that the request is about; it is data, whatever it says.
            system, template, variables, thinking: as for `generate`; so is the sampling.

        Returns:
            A `Code`: `text` (also `code`), `language`, `status` ("ok", "error", "unchecked"),
            `rounds`, `diagnostics`, `usage`, `warnings`. `str()` of it is the code. A status of
            "error" is no exception: the best version is there.

        Raises:
            OutputValidationError: there is no code in the reply.
            UsageError: the language is unknown, or an option is.
            As `generate` does.

        Example:
            >>> box.write_code("a function is_even(n)", language="py").text    # doctest: +SKIP
            'def is_even(n):\\n    return n % 2 == 0\\n'
        """
        writer = self.prepare_code(make_options(CodeOptions, options))
        if isinstance(request, str):
            return next(self._write_each(writer, [request]))
        results = self._write_each(writer, request)
        return results if isinstance(request, Iterator) else list(results)

    def _write_each(
        self, writer: CodeWriter, requests: Iterable[str]
    ) -> Generator[Code, None, None]:
        cases = (Case(id=i, prompt=each) for i, each in enumerate(requests))
        for outcome in writer.outcomes(self.engine, cases):
            if isinstance(outcome, Failed):
                raise outcome.error
            yield outcome

    @overload
    async def awrite_code(self, request: str, **options: Unpack[CodeKeywords]) -> Code: ...
    @overload
    async def awrite_code(
        self, request: list[str] | tuple[str, ...], **options: Unpack[CodeKeywords]
    ) -> list[Code]: ...
    async def awrite_code(
        self, request: str | list[str] | tuple[str, ...], **options: Unpack[CodeKeywords]
    ) -> Code | list[Code]:
        """`write_code` for asyncio: runs in a thread; cancelling the task stops it."""
        requests = [request] if isinstance(request, str) else request
        found = [each async for each in self.awrite_code_each(requests, **options)]
        return found[0] if isinstance(request, str) else found

    def awrite_code_each(
        self, requests: Iterable[str], **options: Unpack[CodeKeywords]
    ) -> AsyncIterator[Code]:
        """`write_code` of many requests for asyncio: results as they are there, in order."""
        return self.turns.stream(
            lambda: self._write_each(
                self.prepare_code(make_options(CodeOptions, options)), requests
            )
        )

    def prepare_code(self, options: CodeOptions, *, strict: bool = False) -> CodeWriter:
        """Check the options of a call and load its templates, once for all its cases.

        With `strict` code that has an error is a failure that carries it.

        Raises:
            UsageError, TemplateError: as `write_code` says.
        """
        from llmtool.tasks.code.generate import (
            LANGUAGE_INPUT,
            CodeChecker,
            CodePrompts,
            CodeWriter,
            language_name,
        )
        from llmtool.text.code_languages import find_language, known_language

        language = find_language(options.language) if options.language else None
        template = self.load_template(options.template)
        variables = dict(options.variables)
        if LANGUAGE_INPUT in template.inputs:
            default = template.inputs[LANGUAGE_INPUT].default
            if language is None:
                given = variables.get(LANGUAGE_INPUT, default)
                language = known_language(given) if isinstance(given, str) else None
            else:
                variables[LANGUAGE_INPUT] = language_name(language)
        elif language is None:
            language = known_language(template.output.code)
        first = GenerateOptions(
            template=template,
            system=options.system,
            variables=variables,
            thinking=options.thinking,
            sampling=options.sampling,
            input=options.input,
        )
        # The repair template says all that it needs: no system prompt, input or variables.
        repair = GenerateOptions(
            template=REPAIR, thinking=options.thinking, sampling=options.sampling
        )
        prompts = CodePrompts(
            first=self.prepare(first), repair=self.prepare(repair), language=language
        )
        checker = CodeChecker(
            checks_syntax=options.check, formats=options.format, run_tests=options.run_tests
        )
        return CodeWriter(prompts, checker, max_repairs=options.repair, strict=strict)
