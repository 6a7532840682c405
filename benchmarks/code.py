"""How much generated code parses: checked and repaired, from its fence, or by a regex.

    python benchmarks/code.py [--model REF] [--half test] [--language python] [--repair 2] [--show]

The tasks are in `data/code.yaml`: 60 in Python, 22 in JavaScript, Bash and SQL. Wordings and
settings were chosen on the half `tuning`; report figures of the half `test`. Greedy at first, on
the same tasks in one run:

    plain           a chat prompt asks for a code block; a regex takes the first block, or the whole
                    reply if there is none, as scripts around a model do
    fence           the template `code` and the fence scanner, without checks
    checked         `code` as shipped: checked, truncated replies continued, repaired up to twice,
                    then resumed up to twice before the first error

`parses` is the share of well-formed code, `named` the share that also contains the requested name,
`whole` the share of these whose reply was not truncated. The code is not run, so its correctness is
not measured.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from llmtool import Toolbox
from llmtool.engine.types import Failed
from llmtool.errors import LlmtoolError
from llmtool.tasks.code.task import prepare_code
from llmtool.tasks.options import CodeOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.text import syntax
from llmtool.text.code_languages import find_language

DATA = Path(__file__).parent / "data" / "code.yaml"
MAX_TOKENS = 300
FIRST_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


class Task(NamedTuple):
    """A request, its language, and an expression that what was asked for must match."""

    language: str
    request: str
    named: str


def read_tasks(half: str, language: str | None) -> list[Task]:
    """Return the tasks of a half, in all languages or one."""
    tasks = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return [
        Task(name, request, named)
        for name, halves in tasks.items()
        if language in (None, name)
        for request, named in halves[half].items()
    ]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one way on one task."""

    code: str
    parses: bool
    is_cut: bool
    rounds: int = 0


def judge(task: Task, code: str, *, is_cut: bool, rounds: int = 0) -> Outcome:
    check = syntax.check(find_language(task.language), code)
    return Outcome(code=code, parses=check.status == "ok", is_cut=is_cut, rounds=rounds)


def plain(box: Toolbox, tasks: list[Task]) -> list[Outcome]:
    prompts = [
        f"Write {t.language} code: {t.request}\n\nReply with one code block and nothing else."
        for t in tasks
    ]
    found = []
    replies = box.generate(prompts, temperature=0, max_tokens=MAX_TOKENS)
    for task, reply in zip(tasks, replies, strict=True):
        block = FIRST_FENCE.search(reply.text)
        code = block[1] if block else reply.text
        found.append(judge(task, code, is_cut=reply.finish_reason == "length"))
    return found


def written(box: Toolbox, tasks: list[Task], **options: object) -> list[Outcome]:
    found: dict[int, Outcome] = {}
    for language in dict.fromkeys(task.language for task in tasks):
        keywords = {"language": language, "format": False, "max_tokens": MAX_TOKENS, **options}
        writer = prepare_code(box.context, make_options(CodeOptions, keywords))
        cases = [
            Case(id=i, prompt=task.request)
            for i, task in enumerate(tasks)
            if task.language == language
        ]
        outcomes = writer.outcomes(box.engine, cases)
        for case, outcome in zip(cases, outcomes, strict=True):
            task = tasks[case.id]
            if isinstance(outcome, Failed):
                error: LlmtoolError = outcome.error
                found[case.id] = judge(task, f"({error}", is_cut=False)
                continue
            is_cut = outcome.finish_reason == "length"
            found[case.id] = judge(task, outcome.text, is_cut=is_cut, rounds=outcome.rounds)
    return [found[i] for i in range(len(tasks))]


def share(hits: list[bool]) -> str:
    return f"{sum(hits) / len(hits):.2f}" if hits else "-"


def row(name: str, tasks: list[Task], found: list[Outcome], seconds: float) -> str:
    named = [
        o.parses and re.search(t.named, o.code) is not None
        for t, o in zip(tasks, found, strict=True)
    ]
    whole = [n and not o.is_cut for n, o in zip(named, found, strict=True)]
    by_language: dict[str, list[bool]] = defaultdict(list)
    for task, outcome in zip(tasks, found, strict=True):
        by_language[task.language].append(outcome.parses)
    each = " | ".join(share(hits) for hits in by_language.values())
    parses = share([o.parses for o in found])
    return f"| {name} | {each} | {parses} | {share(named)} | {share(whole)} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="starter")
    parser.add_argument("--half", choices=("tuning", "test"), default="test")
    parser.add_argument("--language", help="only tasks in this language")
    parser.add_argument("--repair", type=int, default=2)
    parser.add_argument("--ways", default="plain,fence,checked")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--show", action="store_true", help="print code that does not parse")
    args = parser.parse_args()
    tasks = read_tasks(args.half, args.language)
    box = Toolbox(args.model, n_threads=args.threads)
    languages = " | ".join(dict.fromkeys(task.language for task in tasks))
    print(f"{len(tasks)} tasks, half {args.half}, model {box.model_name}\n")
    print(f"| way | {languages} | parses | named | whole | seconds |")
    print("|---" * (5 + languages.count("|") + 1) + "|")
    ways = {
        "plain": lambda: plain(box, tasks),
        "fence": lambda: written(box, tasks, check=False),
        "checked": lambda: written(box, tasks, repair=args.repair),
    }
    for name in args.ways.split(","):
        way = ways[name]
        started = time.perf_counter()
        found = way()
        print(row(name, tasks, found, time.perf_counter() - started), flush=True)
        if args.show:
            for task, outcome in zip(tasks, found, strict=True):
                if not outcome.parses or outcome.is_cut:
                    what = syntax.check(find_language(task.language), outcome.code).diagnostics
                    print(
                        f"\n## {task.language}: {task.request} (cut: {outcome.is_cut}, "
                        f"rounds {outcome.rounds}) {what[:2]}\n{outcome.code}"
                    )


if __name__ == "__main__":
    main()
