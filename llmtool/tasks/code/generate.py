"""A template that writes code, ready for any number of cases: reply, check, repair, format."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Engine, Failed, FinishReason, Request, Usage
from llmtool.errors import ContextOverflow, OutputValidationError, UsageError
from llmtool.sizes import format_count
from llmtool.tasks.code import repair as rounds
from llmtool.tasks.code.candidates import Candidate, loops, numbered, take_code
from llmtool.tasks.code.extract import NO_CODE
from llmtool.tasks.code.format import format_code
from llmtool.tasks.code.results import Code
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, identify, with_sampling
from llmtool.tasks.results import Generation, RanTests
from llmtool.text import syntax
from llmtool.text.code_languages import CodeLanguage

if TYPE_CHECKING:
    from llmtool.prompts.template import Template

MAX_CONTINUED = 2  # times that a reply which was cut goes on
LANGUAGE_INPUT = "language"  # a template with such an input is told which language is wanted
_AGAINST_LOOPS = 1.15  # repeat penalty
_OPEN = "```\n"  # of a prefill
_TOLD = {CodeLanguage.cpp: "C++", CodeLanguage.csharp: "C#"}


class Writing:
    """All that the cases of one call have in common.

    Args:
        prepared: the template that writes; `repairing` the one that mends.
        language: of the code; None takes what the fence of a reply says.
        check: whether the syntax is looked at.
        repair: how many rounds of repair there are at most.
        format: whether code that parses is laid out by what is installed for it.
        run_tests: runs the user's tests on code.
        strict: whether code with an error is a failure that carries it, as in a batch.

    Raises:
        UsageError: `repair` is out of its range.
    """

    def __init__(
        self,
        prepared: PreparedTask,
        repairing: PreparedTask,
        *,
        language: CodeLanguage | None,
        check: bool = True,
        repair: int = 2,
        format: bool = True,
        run_tests: Callable[[str], RanTests] | None = None,
        strict: bool = False,
    ) -> None:
        if not 0 <= repair <= 10:
            raise UsageError(f"repair is {repair}; it must be between 0 and 10 rounds")
        self._prepared, self.repairing = prepared, repairing
        self.language, self.checks, self.formats = language, check, format
        self.repair = repair if check else 0
        self.run_tests, self._strict = run_tests, strict

    @property
    def template(self) -> Template:
        return self._prepared.template

    @property
    def max_tokens(self) -> int | None:
        """How many tokens the first reply may take."""
        return self._prepared.sampling.max_tokens

    def with_max_tokens(self, max_tokens: int) -> Writing:
        """Return the same with another limit of each reply."""
        return Writing(
            with_sampling(self._prepared, max_tokens=max_tokens),
            with_sampling(self.repairing, max_tokens=max_tokens),
            language=self.language,
            check=self.checks,
            repair=self.repair,
            format=self.formats,
            run_tests=self.run_tests,
            strict=self._strict,
        )

    @property
    def columns(self) -> list[str]:
        """The names of what `Code.row` holds."""
        return ["code", "language", "status", "rounds"]

    def identity(self) -> bytes:
        """Return a hash of all that shapes the results, but for the cases."""
        told = [self.language, self.checks, self.repair, self.formats]
        parts = [self._prepared.identity(), self.repairing.identity(), told]
        return identify(self.template, self._prepared.model, *map(repr, parts))

    def request(self, case: Case) -> Request:
        """Render the template into the first request of a case."""
        return with_language(self._prepared.request(case), self.language)

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None]
    ) -> Generator[Code | Failed, None, None]:
        """Write the code of cases together; outcomes come in the order of the cases."""
        model = self._prepared.model
        with closing(rounds.work(engine, self._jobs(cases), model=model)) as results:
            yield from results

    def _jobs(self, cases: Iterable[Case | Failed | None]) -> Iterator[_Job | Failed | None]:
        for case in cases:
            yield _Job(self, case) if isinstance(case, Case) else case

    def assess(self, code: str, language: CodeLanguage | None, *, is_cut: bool) -> Candidate:
        """Check code, lay it out if it parses, and run the user's tests on it."""
        if not self.checks:
            check = syntax.Check(status="unchecked")
            return Candidate(code=code, check=check, is_cut=is_cut, tests=self._test(code))
        check = syntax.check(language, code)
        formatter = None
        if self.formats and language is not None and check.status != "error":
            formatted = format_code(language, code)
            if formatted and syntax.check(language, formatted[0]).status == check.status:
                code, formatter = formatted
        tests = self._test(code) if check.status != "error" else None
        return Candidate(code=code, check=check, formatter=formatter, tests=tests, is_cut=is_cut)

    def _test(self, code: str) -> RanTests | None:
        return self.run_tests(code) if self.run_tests else None

    def conclude(self, id: int, result: Code) -> Code | Failed:
        if self._strict and result.status == "error":
            return Failed(id, broken(result))
        return result


def broken(result: Code) -> OutputValidationError:
    """Return the error that code with an error is to somebody who needs it without."""
    first = str(result.diagnostics[0]) if result.diagnostics else "it does not parse"
    return OutputValidationError(f"the code has an error: {first}", result=result)


class _Job:
    """One case: its replies, and the best code so far."""

    def __init__(self, writing: Writing, case: Case) -> None:
        self._writing, self._case = writing, case
        self._started = time.perf_counter()
        self._reply = ""  # of this round, its continuations joined
        self._n_continued = self._rounds = 0
        self._best: Candidate | None = None
        self._language = writing.language
        self._usage = Usage(prompt_tokens=0, cached_tokens=0, completion_tokens=0)
        self._ends: list[tuple[FinishReason, int]] = []
        self._notes: list[str] = []
        self._model = ""

    @property
    def id(self) -> int:
        return self._case.id

    def begin(self) -> Request:
        self._request = self._writing.request(self._case)
        return self._request

    def take(self, outcome: Generation | Failed) -> Request | Code | Failed:
        if isinstance(outcome, Failed):
            # A first request that fails has no result. A later one only ends the rounds.
            if not self._reply and self._best is None:
                return Failed(self.id, outcome.error)
            if not isinstance(outcome.error, ContextOverflow):
                return Failed(self.id, outcome.error)
            if self._reply:
                self._judge(is_cut=True)
            return self._finish()
        self._count(outcome)
        self._reply += outcome.text
        is_cut = outcome.finish_reason == "length"
        if is_cut and self._may_continue():
            self._n_continued += 1
            return self._going_on()
        improved = self._judge(is_cut=is_cut)
        if self._best is None or self._best.is_good:
            return self._finish()
        if self._rounds >= self._writing.repair or not improved:
            return self._finish()
        self._rounds += 1
        went_in_circles = is_cut and loops(self._reply)
        self._reply, self._n_continued = "", 0
        self._request = self._again() if went_in_circles else self._mend(self._best)
        return self._request

    def _count(self, outcome: Generation) -> None:
        before, now = self._usage, outcome.usage
        self._usage = Usage(
            prompt_tokens=before.prompt_tokens + now.prompt_tokens,
            cached_tokens=before.cached_tokens + now.cached_tokens,
            completion_tokens=before.completion_tokens + now.completion_tokens,
        )
        self._model = outcome.model
        self._ends.append((outcome.finish_reason, outcome.seed))
        self._notes += [note for note in outcome.warnings if " cut at " not in note]

    def _may_continue(self) -> bool:
        room = self._writing.repair > 0 and self._n_continued < MAX_CONTINUED
        return room and not loops(self._reply)

    def _going_on(self) -> Request:
        prompt = self._request.prompt
        longer = msgspec.structs.replace(prompt, prefill=prompt.prefill + self._reply)
        return msgspec.structs.replace(self._request, prompt=longer)

    def _judge(self, *, is_cut: bool) -> bool:
        """Look at what this round brought; return whether it is the best so far."""
        opened = self._request.prompt.prefill or self._opened_in_text()
        taken = take_code(opened + self._reply, self._language)
        if taken is None:
            return False
        code, self._language = taken
        found = self._writing.assess(code, self._language, is_cut=is_cut)
        if self._best is not None and found.rank <= self._best.rank:
            return False
        self._best = found
        return True

    def _opened_in_text(self) -> str:
        # A completion's prefill is the end of its text.
        text, prefill = self._request.prompt.text, self._writing.template.prefill
        return prefill if text is not None and prefill and text.endswith(prefill) else ""

    def _again(self) -> Request:
        """Ask the same with repetition discouraged: there is nothing to mend in a circle."""
        sampling = self._request.sampling
        penalty = max(sampling.repeat_penalty, _AGAINST_LOOPS)
        sampling = msgspec.structs.replace(sampling, repeat_penalty=penalty, repeat_last_n=256)
        request = self._writing.request(self._case)
        return msgspec.structs.replace(request, sampling=sampling)

    def _mend(self, best: Candidate) -> Request:
        first = best.diagnostics[0] if best.diagnostics else None
        told: dict[str, Any] = {
            "code": best.code.rstrip("\n"),
            "error": str(first) if first else "it does not parse",
            "lines": numbered(best.code, first.line) if first and first.line else "",
            "said": best.tests.output if best.tests else "",
            LANGUAGE_INPUT: told_language(self._language),
        }
        known = self._writing.repairing.template.inputs
        variables = {name: value for name, value in told.items() if name in known}
        case = Case(id=self.id, variables=variables, seed=self._case.seed)
        return with_language(self._writing.repairing.request(case), self._language)

    def _finish(self) -> Code | Failed:
        best = self._best
        if best is None:
            return Failed(self.id, OutputValidationError(NO_CODE))
        if best.is_cut and not best.is_good:
            best = without_unfinished_end(best, self._language)
        warnings = dict.fromkeys(self._notes)
        if best.is_cut:
            warnings["the reply was cut before its end (raise --max-tokens)"] = None
        if best.n_dropped:
            n = best.n_dropped
            warnings[f"its last {format_count(n, 'line')}, unfinished, left out"] = None
        if best.check.note:
            warnings[f"not checked: {best.check.note}"] = None
        status = best.check.status
        if best.tests is not None and not best.tests.passed:
            status = "error"
        result = Code(
            text=best.code,
            language=self._language.value if self._language else None,
            status=status,
            rounds=self._rounds,
            diagnostics=best.diagnostics,
            formatter=best.formatter,
            tests=best.tests,
            model=self._model,
            usage=self._usage,
            seconds=time.perf_counter() - self._started,
            finish_reason="length" if best.is_cut else "stop",
            seed=self._ends[0][1],
            warnings=tuple(warnings),
        )
        return self._writing.conclude(self.id, result)


def without_unfinished_end(candidate: Candidate, language: CodeLanguage | None) -> Candidate:
    """Return code that was cut, without its last lines, if it then parses; at most half goes.

    Example:
        >>> cut = Candidate(code="x = 1\\ny = (\\n", check=syntax.Check(status="error"))
        >>> without_unfinished_end(cut, CodeLanguage.python).code
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


def with_language(request: Request, language: CodeLanguage | None) -> Request:
    """Name the language in the fence that a template opens for the reply."""
    prompt = request.prompt
    if language is None or not prompt.prefill.endswith(_OPEN):
        return request
    prefill = f"{prompt.prefill[:-1]}{language.value}\n"
    return msgspec.structs.replace(request, prompt=msgspec.structs.replace(prompt, prefill=prefill))


def told_language(language: CodeLanguage | None) -> str:
    """Return a language as a model is told it; "" for one that is not known."""
    return _TOLD.get(language, language.value) if language else ""
