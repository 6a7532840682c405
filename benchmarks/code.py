"""How much generated code parses: checked and repaired, from its fence, or by a regex.

    python benchmarks/code.py [--model REF] [--split test] [--repair 2] [--show]

Thirty small tasks of our own in Python, JavaScript, Bash and SQL. Wordings and settings were chosen
on the half `tune`; report figures of the half `test`. All greedy, on the same tasks in one run:

    plain           a chat prompt asks for a code block; a regex takes the first block, or the whole
                    reply if there is none, as scripts around a model do
    fence           the template `code` and the fence scanner, without checks
    checked         `code` as shipped: checked, truncated replies continued, repaired up to twice

`parses` is the share of well-formed code, `named` the share that also contains the requested name,
`whole` the share of these whose reply was not truncated. The code is not run, so its correctness is
not measured.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict
from typing import NamedTuple

import msgspec

from llmtool import Toolbox
from llmtool.engine.types import Failed
from llmtool.errors import LlmtoolError
from llmtool.tasks.code.task import prepare_code
from llmtool.tasks.options import CodeOptions, make_options
from llmtool.tasks.pipeline.prepare import Case
from llmtool.text import syntax
from llmtool.text.code_languages import find_language

MAX_TOKENS = 300
FIRST_FENCE = re.compile(r"```[^\n]*\n(.*?)```", re.DOTALL)


class Task(NamedTuple):
    """A request, its language, and an expression that what was asked for must match."""

    language: str
    request: str
    named: str


TASKS = [
    Task("python", "a function is_palindrome(text) that ignores case", r"def is_palindrome\("),
    Task("python", "a class Counter with add(word) and most_common()", r"class Counter\b"),
    Task("python", "read numbers from a file, one a line, and print their mean", r"open\(|argv"),
    Task("python", "a generator fibonacci(n) of the first n numbers", r"def fibonacci\("),
    Task("python", "a function merge(a, b) that merges two sorted lists", r"def merge\("),
    Task("python", "a dataclass Point with x and y and a method distance(other)", r"class Point\b"),
    Task("python", "a decorator timed that prints how long a call took", r"def timed\("),
    Task("python", "parse command line options --name and --count with argparse", r"argparse"),
    Task("javascript", "a function debounce(fn, ms)", r"debounce"),
    Task("javascript", "a function groupBy(items, key) that returns an object", r"groupBy"),
    Task("javascript", "fetch /api/users as JSON and list the names in a ul", r"fetch\("),
    Task("javascript", "a class Stack with push, pop and isEmpty", r"class Stack\b"),
    Task("javascript", "an async function sleep(ms)", r"sleep"),
    Task("javascript", "a function titleCase(text)", r"titleCase"),
    Task("javascript", "count the words of a text and sort them by how often they come", r"sort\("),
    Task("javascript", "a button handler that toggles the class dark on the body", r"dark"),
    Task("bash", "rename all .jpeg files of a folder to .jpg", r"mv|rename"),
    Task("bash", "print the five largest files below the current folder", r"du|find|ls"),
    Task("bash", "back up a folder to a tar.gz whose name has today's date", r"tar"),
    Task("bash", "a function retry that runs a command up to three times", r"retry"),
    Task("bash", "count the lines of every .py file", r"wc"),
    Task("bash", "wait until a port of localhost is open", r"while|until|nc"),
    Task("bash", "read a CSV file and print its second column", r"cut|awk|read"),
    Task("sql", "a table users with id, email and created_at", r"(?i)create table"),
    Task("sql", "the ten customers with the highest total of orders", r"(?i)select"),
    Task("sql", "the number of orders for each month of 2024", r"(?i)group by"),
    Task("sql", "add a column phone to the table users", r"(?i)alter table"),
    Task("sql", "delete sessions that are older than 30 days", r"(?i)delete"),
    Task("sql", "products that were never ordered, with a left join", r"(?i)left join"),
    Task("sql", "set the price of all products of category 3 up by 10 percent", r"(?i)update"),
]


def split_of(split: str) -> list[Task]:
    """Return every second task of each language."""
    return TASKS[0::2] if split == "tune" else TASKS[1::2]


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
        o.parses and re.search(t.named, o.text) is not None
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
    parser.add_argument("--split", choices=("tune", "test"), default="test")
    parser.add_argument("--repair", type=int, default=2)
    parser.add_argument("--ways", default="plain,fence,checked")
    parser.add_argument("--show", action="store_true", help="print code that does not parse")
    args = parser.parse_args()
    tasks = split_of(args.split)
    box = Toolbox(args.model)
    languages = " | ".join(dict.fromkeys(task.language for task in tasks))
    print(f"{len(tasks)} tasks, half {args.split}, model {box.model_name}\n")
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
                    what = syntax.check(find_language(task.language), outcome.text).diagnostics
                    print(
                        f"\n## {task.language}: {task.request} (cut: {outcome.is_cut}, "
                        f"rounds {outcome.rounds}) {what[:2]}\n{outcome.text}"
                    )


if __name__ == "__main__":
    main()
