"""What else is done with code: explain, review, mend, complete and test it, and tell of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import TYPE_CHECKING, TypeVar

import msgspec

from llmtool.engine.types import Failed, Token
from llmtool.tasks.code.task import CodeTask
from llmtool.tasks.options import (
    CodeOptions,
    GenerateOptions,
    SamplingOptions,
    make_options,
)
from llmtool.tasks.pipeline.prepare import Case, PreparedTask
from llmtool.tasks.results import Generation

# What the verbs need is imported by them: every command makes a toolbox.
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.code.commit_message import Committing
    from llmtool.tasks.code.generate import CodeWriter
    from llmtool.tasks.code.results import Code, CommitMessage, Fix, Review
    from llmtool.tasks.keywords import CodeKeywords, GenerateKeywords, SamplingKeywords

R = TypeVar("R")
EXPLAIN, REVIEW, FIX, TESTS = "code-explain", "review-hunk", "code-fix", "code-tests"
COMMIT, COMMIT_MERGE, COMMIT_BODY = "commit", "commit-merge", "commit-body"

FRAMEWORKS = {
    "bash": "bats",
    "c": "assert.h",
    "cpp": "GoogleTest",
    "go": "the package testing",
    "java": "JUnit 5",
    "javascript": "node:test",
    "rust": "#[test]",
    "tsx": "vitest",
    "typescript": "vitest",
}  # those that differ from the template's


class CodeVerbs(CodeTask):
    """The verbs of `code`, each with a form for asyncio."""

    def explain_code(self, code: str, **options: Unpack[GenerateKeywords]) -> Generation:
        """Say in words what some code does; the options are those of `generate`.

        Raises:
            ContextOverflow: it is longer than the context.
            As `generate` does.

        Example:
            >>> print(box.explain_code("x = y or 0"))    # doctest: +SKIP
            Sets x to y, or to 0 where y is empty.
        """
        prepared = self.prepare(make_options(GenerateOptions, {"template": EXPLAIN, **options}))
        case = Case(variables={prepared.template.find_material() or "code": code})
        for outcome in prepared.outcomes(self.engine, [case]):
            if isinstance(outcome, Failed):
                raise outcome.error
            if not isinstance(outcome, Token):
                return outcome
        raise AssertionError("a stream ends with its result")

    def review_code(self, diff: str, **options: Unpack[GenerateKeywords]) -> Review:
        """Review a unified diff: files, and the hunks of long ones, are read in parallel.

        Lock files, generated files and binaries are left out, which the result tells.

        Returns:
            A `Review`: `findings` with `path`, `line`, `severity` and `message`. Each line is one
            of the new file that the diff shows.

        Raises:
            InputError: there is no change in it.
            As `generate` does.

        Example:
            >>> box.review_code(diff).findings[0].line    # doctest: +SKIP
            12
        """
        from llmtool.tasks.code.review import review

        prepared = self.prepare(make_options(GenerateOptions, {"template": REVIEW, **options}))
        return review(self.engine, prepared, diff)

    def fix_code(
        self,
        code: str,
        error: str | None = None,
        *,
        file: str = "code",
        **options: Unpack[CodeKeywords],
    ) -> Fix:
        """Mend code that fails; the options are those of `write_code`.

        Args:
            code: the whole file.
            error: how it fails; None takes the error of its syntax.
            file: its name in the patch.

        Returns:
            A `Fix`: `code`, and `diff`, which `patch -p1` applies. Nothing is written.

        Raises:
            OutputValidationError: the reply has no code in it, changes nothing, or was cut.
            ContextOverflow: the file and its mended form do not fit into the window.
            UsageError: there is no error to be seen, and none is told.

        Example:
            >>> print(box.fix_code("def f(x) return x", language="py"))    # doctest: +SKIP
            --- a/code
            +++ b/code
            @@ -1 +1,2 @@
            ...
        """
        from llmtool.tasks.code.fix import error_of, make_fix

        # Its layout is the author's: a formatter would hide the change among others.
        given = make_options(CodeOptions, {"template": FIX, "format": False, **options})
        writer = self.prepare_fix(code, given)
        told = error_of(code, error, writer.language)
        outcome = self.write_one(writer, Case(variables={"code": code, "error": told}))
        return make_fix(outcome, code, file=file)

    def prepare_fix(self, code: str, options: CodeOptions) -> CodeWriter:
        """Load the templates that mend a file, with room for all of it in the reply."""
        from llmtool.tasks.code.fix import tokens_for

        writer = self.prepare_code(options)
        if options.sampling.max_tokens is None and self.settings.max_tokens is None:
            needed = tokens_for(self.engine, code)
            if needed > (writer.max_tokens or needed):
                return writer.with_max_tokens(needed)
        return writer

    def write_tests(
        self, code: str, *, framework: str | None = None, **options: Unpack[CodeKeywords]
    ) -> Code:
        """Write tests for code; the options are those of `write_code`. Nothing is run.

        Args:
            code: what to test.
            framework: what runs the tests; None takes the usual one of the language.

        Example:
            >>> box.write_tests("def half(n): return n / 2", language="py")   # doctest: +SKIP
        """
        writer = self.prepare_code(make_options(CodeOptions, {"template": TESTS, **options}))
        return self.write_one(writer, self.tests_case(writer, code, framework=framework))

    def tests_case(self, writer: CodeWriter, code: str, *, framework: str | None) -> Case:
        """Return what a template that writes tests is given."""
        usual = FRAMEWORKS.get(writer.language.name) if writer.language else None
        told = {"framework": framework or usual} if framework or usual else {}
        return Case(variables={"code": code, **told})

    def write_one(self, writer: CodeWriter, case: Case) -> Code:
        """Write the code of one case, with options that `prepare_code` has checked."""
        (outcome,) = writer.outcomes(self.engine, [case])
        if isinstance(outcome, Failed):
            raise outcome.error
        return outcome

    def complete_code(
        self,
        before: str,
        after: str = "",
        *,
        language: str | None = None,
        **sampling: Unpack[SamplingKeywords],
    ) -> Code:
        """Fill the gap between two texts, with the model's own tokens for that.

        Where both do not fit into the window, the lines nearest to the gap are what the model
        sees. The sampling is greedy, with 128 tokens at most, unless it is told otherwise.

        Returns:
            A `Code` whose text goes between the two; its `status` is that of all three together.

        Raises:
            UsageError: the model has no such tokens.

        Example:
            >>> box.complete_code("def add(a, b):\\n    return ", "\\n").text   # doctest: +SKIP
            'a + b'
        """
        from llmtool.tasks.code import fill_in_middle
        from llmtool.text.code_languages import find_language

        known = find_language(language) if language else None
        options = make_options(SamplingOptions, sampling)
        prepared = fill_in_middle.prepare(self.engine, before, after, options)
        return fill_in_middle.complete(
            self.engine, prepared, before, after, language=known, model=self.model_name
        )

    def commit_message(
        self, diff: str, *, body: bool = False, **options: Unpack[GenerateKeywords]
    ) -> CommitMessage:
        """Write a commit message for a unified diff, of any size.

        Returns:
            A `CommitMessage`: `subject` is `type(scope): what`, of at most 72 characters; `body`
            has points where it was asked for.

        Raises:
            InputError: there is no change in it.
            As `generate` does.

        Example:
            >>> box.commit_message(diff).subject    # doctest: +SKIP
            'fix(mail): wait 30 seconds for the server'
        """
        given = make_options(GenerateOptions, {"template": COMMIT, **options})
        return self.prepare_commit(given, body=body).write(diff)

    def prepare_commit(self, options: GenerateOptions, *, body: bool) -> Committing:
        """Check the options of a call and load the templates that write a commit message."""
        from llmtool.tasks.code.commit_message import Committing

        def step(template: str) -> PreparedTask:
            return self.prepare(msgspec.structs.replace(options, template=template, variables={}))

        return Committing(
            self.engine,
            self.prepare(options),
            step(COMMIT_MERGE),
            step(COMMIT_BODY) if body else None,
        )

    async def aexplain_code(self, code: str, **options: Unpack[GenerateKeywords]) -> Generation:
        """`explain_code` for asyncio."""
        return await self._later(lambda: self.explain_code(code, **options))

    async def areview_code(self, diff: str, **options: Unpack[GenerateKeywords]) -> Review:
        """`review_code` for asyncio."""
        return await self._later(lambda: self.review_code(diff, **options))

    async def afix_code(
        self,
        code: str,
        error: str | None = None,
        *,
        file: str = "code",
        **options: Unpack[CodeKeywords],
    ) -> Fix:
        """`fix_code` for asyncio."""
        return await self._later(lambda: self.fix_code(code, error, file=file, **options))

    async def awrite_tests(
        self, code: str, *, framework: str | None = None, **options: Unpack[CodeKeywords]
    ) -> Code:
        """`write_tests` for asyncio."""
        return await self._later(lambda: self.write_tests(code, framework=framework, **options))

    async def acomplete_code(
        self,
        before: str,
        after: str = "",
        *,
        language: str | None = None,
        **sampling: Unpack[SamplingKeywords],
    ) -> Code:
        """`complete_code` for asyncio."""
        return await self._later(
            lambda: self.complete_code(before, after, language=language, **sampling)
        )

    async def acommit_message(
        self, diff: str, *, body: bool = False, **options: Unpack[GenerateKeywords]
    ) -> CommitMessage:
        """`commit_message` for asyncio."""
        return await self._later(lambda: self.commit_message(diff, body=body, **options))

    async def _later(self, make: Callable[[], R]) -> R:
        """Return what a call gives, made in a thread; cancelling the task stops it."""

        def once() -> Generator[R, None, None]:
            yield make()

        results: AsyncIterator[R] = self.turns.stream(once)
        (result,) = [each async for each in results]
        return result
