"""Compare wordings of a template on the same cases.

    python benchmarks/prompts.py qa [WORDING.yaml ...] [--half test] [--model REF] [--show]

Each wording is a complete template file; the first line is the built-in template. The cases are in
`prompts.yaml`: choose on the half `tuning`, report the half `test`. Replies are greedy.

    form    share of replies with the right form: lines, words, items, syntax, language
    facts   share of expected facts in the reply, and of listed errors that it avoids

Both are approximate: a fact counts if its words appear, and invented facts are not counted.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from llmtool import Toolbox
from llmtool.errors import LlmtoolError
from llmtool.text import languages, syntax

CASES = Path(__file__).with_name("prompts.yaml")
SHORT = ("title", "sum-headline", "keywords")
SUMMARIES = ("sum", "sum-bullets", "sum-headline", "sum-tldr")
ONE_LINE = ("title", "sum-headline", "sum-tldr", "qa", "commit", "regex", "keywords")
MAX_WORDS = {"title": 12, "sum-headline": 12, "sum-tldr": 40, "qa": 40}
CHECKS = ("facts", "topic", "not", "matches", "rejects", "none", "language", "syntax", "shorter")


def read_cases(name: str, half: str) -> list[dict[str, Any]]:
    """Return the cases of a template; templates about texts share theirs."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    if name in cases:
        return cases[name][half]
    texts = cases["texts"][half]
    return [{**case, "facts": [case["topic"]]} for case in texts] if name in SHORT else texts


def has_form(name: str, case: dict[str, Any], reply: str) -> bool:
    """Whether a reply has the right form."""
    lines, words = reply.strip().splitlines(), reply.split()
    if not words or '"""' in reply or "```" in reply or len(words) > MAX_WORDS.get(name, 10_000):
        return False
    if name in ONE_LINE and len(lines) > 1:
        return False
    if (name in SUMMARIES or case.get("shorter")) and len(reply) >= len(case["text"]):
        return False
    if name in ("title", "sum-headline"):
        return not re.search(r'^title|["*#]|:$', reply, re.IGNORECASE)
    if name in ("sum-bullets", "review"):
        return all(line.startswith("- ") for line in lines) and len({*lines}) == len(lines)
    if name == "keywords":
        items = [item.strip().lower() for item in reply.split(",")]
        short = max(len(item.split()) for item in items) <= 4
        return short and 3 <= len({*items}) == len(items) <= 8
    if name == "email":
        return bool(re.match(r"Subject: .+\n\n", reply)) and "[" not in reply
    if name == "regex":
        return compiled(reply) is not None
    if case.get("syntax") == "python":
        return not reply.startswith("python") and syntax.find_error("python", reply) is None
    if name == "translate":
        return reply.strip() != case["text"] and languages.may_be_in(reply, case["language"])
    return True


def compiled(expression: str) -> re.Pattern[str] | None:
    try:
        return re.compile(expression.strip())
    except re.error:
        return None


def share_of_facts(case: dict[str, Any], reply: str) -> float:
    """Return the share of a case's checks that a reply passes."""
    flags = re.IGNORECASE | re.DOTALL
    checks = [bool(re.search(fact, reply, flags)) for fact in case.get("facts", ())]
    checks += [not re.search(blunder, reply, flags) for blunder in case.get("not", ())]
    if "matches" in case:
        found = compiled(reply)
        checks.append(
            found is not None
            and all(found.fullmatch(text) for text in case["matches"])
            and not any(found.fullmatch(text) for text in case["rejects"])
        )
    return mean(checks)


def measure(
    box: Toolbox, name: str, wording: str, cases: Sequence[dict[str, Any]], *, show: bool
) -> str:
    """Return the scores of one wording on the cases."""
    unsent = [key for key in CHECKS if name != "code" or key != "language"]
    inputs = [{key: case[key] for key in case if key not in unsent} for case in cases]
    forms, facts = [], []
    replies = box.run_each(wording, inputs, options={"temperature": 0})
    for case, reply in zip(cases, replies, strict=True):
        text = str(reply)
        whole = not isinstance(reply, LlmtoolError) and reply.to_dict()["finish_reason"] == "stop"
        forms.append(whole and has_form(name, case, text))
        facts.append(0.0 if isinstance(reply, LlmtoolError) else share_of_facts(case, text))
        if show:
            print(f"--- form {forms[-1]:d}, facts {facts[-1]:.2f}: {text}")
    line = f"{len(cases):>3} cases  form {mean(forms):.2f}  facts {mean(facts):.2f}"
    if name == "qa":
        for title, without in (("answered", False), ("unanswerable", True)):
            part = [f for f, c in zip(facts, cases, strict=True) if ("none" in c) == without]
            line += f"  {title} {mean(part):.2f}"
    return f"{line}  {wording}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Try wordings of a template.")
    parser.add_argument("template")
    parser.add_argument("wordings", nargs="*")
    parser.add_argument("--half", choices=["tuning", "test"], default="tuning")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print the replies")
    args = parser.parse_intermixed_args()
    cases = read_cases(args.template, args.half)
    with Toolbox(args.model, n_threads=args.threads) as box:
        for wording in (args.template, *args.wordings):
            line = measure(box, args.template, wording, cases, show=args.show)
            print(f"{args.half:<6} {line}", flush=True)


if __name__ == "__main__":
    main()
