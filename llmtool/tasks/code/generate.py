"""Write code for any number of requests: generate, check, repair, format."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import MAX_SEED, Engine, Failed, FinishReason, Request
from llmtool.errors import (
    ContextOverflow,
    LlmtoolError,
    NoResult,
    OutputValidationError,
    UsageError,
)
from llmtool.option_names import option, show_value
from llmtool.sizes import format_count
from llmtool.tasks.code.candidates import Candidate, has_loop, number_lines
from llmtool.tasks.code.extract import NO_CODE, extract_code
from llmtool.tasks.code.format import format_code
from llmtool.tasks.code.results import Code
from llmtool.tasks.pipeline.collect import model_warnings, no_answer, reasoning_warnings
from llmtool.tasks.pipeline.duplicates import answer_once
from llmtool.tasks.pipeline.prepare import (
    Case,
    PreparedTask,
    case_key,
    each_or_failed,
    identify,
    with_sampling,
)
from llmtool.tasks.pipeline.workflow import Step, StepReply, Workflow, WorkflowRunner
from llmtool.tasks.results import TestRun
from llmtool.text import syntax

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MAX_CONTINUATIONS = 2  # of a truncated reply
MAX_RESUMPTIONS = 2  # of code whose repairs failed
LANGUAGE_INPUT = "language"  # the input of a template that names the language of the code
_LOOP_PENALTY = 1.15
_RESUMED_TEMPERATURE = 0.5
_OPEN_FENCE = "```\n"  # of a prefill
_SPELLINGS = {"cpp": "C++", "csharp": "C#"}


class CodePrompts(msgspec.Struct, frozen=True, kw_only=True):
    """The templates of one call, for the first request of a case and for repairs.

    If `language` is None, the fence of the reply sets it.
    """

    first: PreparedTask
    repair: PreparedTask
    language: str | None

    def first_request(self, case: Case) -> Request:
        return _with_language(self.first.request(case), self.language)

    def repair_request(self, case: Case, best: Candidate, language: str | None) -> Request:
        error = best.diagnostics[0] if best.diagnostics else None
        values = {
            "code": best.code.rstrip("\n"),
            "error": str(error) if error else "the code does not parse",
            "lines": number_lines(best.code, error.line) if error and error.line else "",
            "test_output": best.tests.output if best.tests else "",
            LANGUAGE_INPUT: language_name(language),
        }
        inputs = self.repair.template.inputs
        variables = {name: value for name, value in values.items() if name in inputs}
        repair_case = Case(id=case.id, variables=variables, seed=case.seed)
        return _with_language(self.repair.request(repair_case), language)


class CodeChecker(msgspec.Struct, frozen=True, kw_only=True):
    """Checks the syntax of code, formats it and runs the user's tests."""

    checks_syntax: bool = True
    formats: bool = True
    run_tests: Callable[[str], TestRun] | None = None

    def check(self, code: str, language: str | None, *, is_truncated: bool) -> Candidate:
        result, formatter = syntax.Check(status="unchecked"), None
        if self.checks_syntax:
            result = syntax.check(language, code)
            if self.formats and language is not None and result.status != "error":
                formatted = format_code(language, code)
                if formatted and syntax.check(language, formatted[0]).status == result.status:
                    code, formatter = formatted
        tests = None
        if self.run_tests is not None and result.status != "error":
            tests = self.run_tests(code)
            if not isinstance(tests, TestRun):
                raise UsageError(
                    f"run_tests returned {show_value(tests)}: must return a TestRun, such as "
                    "llmtool.TestRun(exit_code=1, output='1 failed')"
                )
        return Candidate(
            code=code, check=result, formatter=formatter, tests=tests, is_truncated=is_truncated
        )


class CodeWriter(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one call, ready for any number of cases.

    The model may repair code with an error `max_repairs` times. With `strict`, code with an error
    is a failure, whose error has the code as its result.
    """

    prompts: CodePrompts
    checker: CodeChecker
    max_repairs: int
    strict: bool

    @property
    def template(self) -> Template:
        return self.prompts.first.template

    @property
    def language(self) -> str | None:
        return self.prompts.language

    @property
    def max_tokens(self) -> int | None:
        """The limit of the first reply."""
        return self.prompts.first.sampling.max_tokens

    @property
    def columns(self) -> list[str]:
        """The columns of `Code.row`."""
        return ["text", "language", "status", "rounds"]

    def with_max_tokens(self, max_tokens: int) -> CodeWriter:
        """Return a writer with another limit for each reply."""
        prompts = msgspec.structs.replace(
            self.prompts,
            first=with_sampling(self.prompts.first, max_tokens=max_tokens),
            repair=with_sampling(self.prompts.repair, max_tokens=max_tokens),
        )
        return msgspec.structs.replace(self, prompts=prompts)

    def identity(self) -> bytes:
        """Return a hash of everything that affects the results, except the cases."""
        first, repair = self.prompts.first, self.prompts.repair
        checker = self.checker
        options = [self.language, checker.checks_syntax, self.max_repairs, checker.formats]
        parts = [first.identity(), repair.identity(), options]
        return identify(self.template, first.model, *map(repr, parts))

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests; see `BatchTask`."""
        # A repair has no result, so the first code counts.

    def request(self, case: Case) -> Request:
        """Return the first request of a case."""
        return self.prompts.first_request(case)

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Code | Failed, None, None]:
        """Write the code of cases together; yield results in the order of the cases."""
        samplings = self.prompts.first.sampling, self.prompts.repair.sampling
        return answer_once(
            cases,
            lambda each: self._outcomes(engine, each),
            key=lambda case: case_key(case, *samplings),
            kind=Code,
        )

    def _outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Code | Failed, None, None]:
        workflows = each_or_failed(self._workflow, cases)
        with closing(WorkflowRunner[CodeWorkflow, Code](engine, workflows).run()) as events:
            for event in events:
                if isinstance(event, CodeWorkflow):
                    assert event.result is not None
                    result = event.result
                    options = self.prompts.first.options
                    think_tokens = options.sampling.think_tokens
                    switch = reasoning_warnings(engine, options.thinking, think_tokens)
                    of_model = model_warnings(engine.info, instructs=True)
                    warnings = (*of_model, *switch, *result.warnings)
                    result = msgspec.structs.replace(result, warnings=warnings)
                    is_failure = self.strict and result.status == "error"
                    yield Failed(event.id, syntax_error(result)) if is_failure else result
                else:
                    yield event

    def _workflow(self, case: Case) -> CodeWorkflow:
        return CodeWorkflow(case, self.prompts, self.checker, max_repairs=self.max_repairs)


def syntax_error(result: Code) -> OutputValidationError:
    """Return the error to raise if the caller requires code without errors."""
    first = str(result.diagnostics[0]) if result.diagnostics else "the code does not parse"
    return OutputValidationError(f"the generated code has an error: {first}", result=result)


class CodeWorkflow(Workflow[Code]):
    """The replies of one case, and the best candidate so far."""

    def __init__(
        self, case: Case, prompts: CodePrompts, checker: CodeChecker, *, max_repairs: int
    ) -> None:
        super().__init__(case.id)
        self.result: Code | None = None
        self._case, self._prompts, self._checker = case, prompts, checker
        self._max_repairs = max_repairs
        self._started = time.perf_counter()
        self._language = prompts.language
        self._reply = ""  # of this round, with its continuations
        self._n_continuations = self._n_repairs = self._n_resumptions = 0
        self._best: Candidate | None = None
        self._seed: int | None = None
        self._warnings: list[str] = []

    @property
    def is_complete(self) -> bool:
        return self.result is not None

    def start(self) -> Iterator[Step]:
        yield self._round(self._prompts.first_request(self._case))

    def on_reply(self, step: Step, reply: StepReply) -> Iterator[Step]:
        if self._seed is None:
            self._seed = reply.seed
        if reply.has_reasoning and not reply.text:
            self._warnings.append(no_answer())
        self._reply += reply.text
        is_truncated = reply.finish_reason == "length"
        if is_truncated and self._may_continue():
            self._n_continuations += 1
            yield self._continuation()
            return
        is_better = self._evaluate(is_truncated=is_truncated)
        request = self._next_request(is_better=is_better, is_truncated=is_truncated)
        if request is None:
            self._finish()
        else:
            yield self._round(request)

    def _next_request(self, *, is_better: bool, is_truncated: bool) -> Request | None:
        """Return the request for another version of the code, None if there are enough."""
        best = self._best
        if best is None or best.is_good:
            return None
        if is_better and self._n_repairs < self._max_repairs:
            self._n_repairs += 1
            if is_truncated and has_loop(self._reply):
                return self._penalized_request()
            return self._prompts.repair_request(self._case, best, self._language)
        # The text of a completion cannot end with code, so only a chat is resumed.
        can_resume = best.check.status == "error" and self._request.prompt.text is None
        if can_resume and self._max_repairs and self._n_resumptions < MAX_RESUMPTIONS:
            self._n_resumptions += 1
            return self._resumed_request(best)
        return None

    def on_error(self, step: Step, error: LlmtoolError) -> Iterator[Step]:
        """Fail, but keep the best code if a later round does not fit, or a batch file lacks it."""
        has_code = bool(self._reply) or self._best is not None
        if not has_code or not isinstance(error, (ContextOverflow, NoResult)):
            raise error
        if self._reply:
            self._evaluate(is_truncated=True)
        self._finish()
        return iter(())

    def _round(self, request: Request) -> Step:
        self._request = request
        self._reply, self._n_continuations = "", 0
        return Step(request=request)

    def _may_continue(self) -> bool:
        may_continue = self._max_repairs > 0 and self._n_continuations < MAX_CONTINUATIONS
        return may_continue and not has_loop(self._reply)

    def _continuation(self) -> Step:
        prompt = self._request.prompt
        longer = msgspec.structs.replace(prompt, prefill=prompt.prefill + self._reply)
        return Step(request=msgspec.structs.replace(self._request, prompt=longer))

    def _penalized_request(self) -> Request:
        """Return the first request with a repetition penalty, because a loop cannot be repaired."""
        penalty = max(self._request.sampling.repeat_penalty, _LOOP_PENALTY)
        return with_sampling(
            self._prompts.first_request(self._case), repeat_penalty=penalty, repeat_last_n=256
        )

    def _resumed_request(self, best: Candidate) -> Request:
        """Return the first request, whose reply begins with the code up to the first error.

        The rest is sampled at a temperature, each time with another seed.
        """
        request = self._prompts.first_request(self._case)
        opening = request.prompt.prefill or f"```{self._language or ''}\n"
        prefill = opening + parsing_lines(best.code, self._language)
        sampling = request.sampling
        return msgspec.structs.replace(
            with_sampling(
                request,
                temperature=max(sampling.temperature, _RESUMED_TEMPERATURE),
                seed=((self._seed or 0) + self._n_resumptions) % MAX_SEED,
            ),
            prompt=msgspec.structs.replace(request.prompt, prefill=prefill),
        )

    def _evaluate(self, *, is_truncated: bool) -> bool:
        """Check the code of this round; return whether it is the best so far."""
        opening = self._request.prompt.prefill or self._opening_of_text()
        extracted = extract_code(opening + self._reply, self._language)
        if extracted is None:
            return False
        code, self._language = extracted
        candidate = self._checker.check(code, self._language, is_truncated=is_truncated)
        if self._best is not None and candidate.rank <= self._best.rank:
            return False
        self._best = candidate
        return True

    def _opening_of_text(self) -> str:
        """Return the template's prefill if a completion's text ends with it."""
        text, prefill = self._request.prompt.text, self._prompts.first.template.prefill
        return prefill if text is not None and prefill and text.endswith(prefill) else ""

    def _finish(self) -> None:
        best = self._best
        if best is None:
            raise OutputValidationError(NO_CODE)
        if best.is_truncated and not best.is_good:
            best = drop_unfinished_end(best, self._language)
        warnings = [*self._warnings]
        if best.is_truncated:
            limit = option("max_tokens")
            warnings.append(f"the reply was truncated at the token limit; raise {limit}")
        if best.n_dropped:
            warnings.append(
                f"{format_count(best.n_dropped, 'unfinished line')} dropped from the end"
            )
        if best.check.status == "error":
            warnings.append(f"the code does not parse: {best.diagnostics[0]}")
        if best.check.note:
            warnings.append(f"not checked: {best.check.note}")
        has_failed_tests = best.tests is not None and not best.tests.passed
        finish_reason: FinishReason = "length" if best.is_truncated else "stop"
        self.result = Code(
            text=best.code,
            language=self._language,
            status="error" if has_failed_tests else best.check.status,
            rounds=self._n_repairs + self._n_resumptions,
            diagnostics=best.diagnostics,
            formatter=best.formatter,
            tests=best.tests,
            model=self._prompts.first.model,
            usage=self.usage,
            seconds=time.perf_counter() - self._started,
            finish_reason=finish_reason,
            seed=self._seed or 0,
            warnings=tuple(dict.fromkeys(warnings)),
        )


def parsing_lines(code: str, language: str | None) -> str:
    """Return the first lines of code that parse, as many as possible.

    Example:
        >>> parsing_lines("x = 1\\ny = (\\nz = 3\\n", "python")
        'x = 1\\n'
    """
    lines = code.splitlines(keepends=True)
    for n in range(len(lines) - 1, 0, -1):
        part = "".join(lines[:n])
        if part.strip() and syntax.check(language, part).status == "ok":
            return part
    return ""


def drop_unfinished_end(candidate: Candidate, language: str | None) -> Candidate:
    """Drop the last lines of truncated code so that it parses, at most half of them.

    Example:
        >>> from llmtool.tasks.code.candidates import Candidate
        >>> from llmtool.text import syntax
        >>> cut = Candidate(code="x = 1\\ny = (\\n", check=syntax.Check(status="error"))
        >>> drop_unfinished_end(cut, "python").code
        'x = 1\\n'
    """
    lines = candidate.code.splitlines(keepends=True)
    for n_kept in range(len(lines) - 1, max(len(lines) // 2, 1) - 1, -1):
        code = "".join(lines[:n_kept]).rstrip("\n") + "\n"
        check = syntax.check(language, code)
        if check.status == "ok":
            return msgspec.structs.replace(
                candidate, code=code, check=check, n_dropped=len(lines) - n_kept
            )
    return candidate


def language_name(language: str | None) -> str:
    """Return the name of a language in prompts, "" for None."""
    return _SPELLINGS.get(language, language) if language else ""


def _with_language(request: Request, language: str | None) -> Request:
    """Add the language to the fence that a template's prefill opens."""
    prompt = request.prompt
    if language is None or not prompt.prefill.endswith(_OPEN_FENCE):
        return request
    prefill = f"{prompt.prefill[:-1]}{language}\n"
    return msgspec.structs.replace(request, prompt=msgspec.structs.replace(prompt, prefill=prefill))
