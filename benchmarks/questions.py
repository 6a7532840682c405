"""How well `qa` answers questions from a text, and recognizes those that it does not answer.

    python benchmarks/questions.py [--half test] [-m REF] [--template qa] [--threshold X]

The questions are in `data/questions.yaml`, ten for each passage: choose on the half `tuning`,
report `test` and `second`. `--passages 2` measures only the first two passages of a half.

    right         answerable questions with a correct reply
    answered      answerable questions whose reply was not replaced
    recognized    unanswerable questions whose reply was replaced
    AUC           the probability that the score of an answerable question is higher than that of
                  an unanswerable one; 0.5 is chance

`rules` also counts replies that are replaced for another reason than their score, such as a number
that the document lacks. The tuning half also shows the threshold with the highest mean of
`answered` and `recognized`.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from llmtool import Toolbox
from llmtool.tasks.results import Abstention, Generation

DATA = Path(__file__).parent / "data" / "questions.yaml"


class Question(NamedTuple):
    """A question about a document; `answer` is None if it has none."""

    document: str
    question: str
    answer: str | None


class Row(NamedTuple):
    question: Question
    abstention: Abstention

    @property
    def score(self) -> float:
        return float("-inf") if self.abstention.score is None else self.abstention.score

    @property
    def is_right(self) -> bool:
        pattern = self.question.answer
        return bool(pattern and re.search(pattern, self.abstention.text, re.IGNORECASE))


def read_questions(half: str, n_passages: int | None = None) -> list[Question]:
    passages = [p for p in yaml.safe_load(DATA.read_text(encoding="utf-8")) if p["half"] == half]
    found = []
    for each in passages[:n_passages]:
        found += [Question(each["text"], q, answer) for q, answer in each["answered"].items()]
        found += [Question(each["text"], question, None) for question in each["unanswered"]]
    return found


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def area(yes: list[float], no: list[float]) -> float:
    return sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / (len(yes) * len(no))


def print_summary(name: str, limit: float, shares: tuple[float, float, float]) -> None:
    right, answered, recognized = shares
    print(f"{name:>10} {limit:6.2f}  right {right:.2f}  answered {answered:.2f}  "
          f"recognized {recognized:.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=("tuning", "test", "second"), default="tuning")
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--template", default="qa", help="a name or path")
    parser.add_argument("--threshold", type=float, help="instead of the template's")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--passages", type=int, help="only the first passages")
    parser.add_argument("--show", action="store_true", help="print scores and replies")
    args = parser.parse_args()
    box = Toolbox(args.model, n_threads=args.threads)
    questions = read_questions(args.half, args.passages)
    cases = [{"document": each.document, "question": each.question} for each in questions]
    rows = []
    for question, result in zip(questions, box.run(args.template, cases), strict=True):
        assert isinstance(result, Generation)
        abstention = result.choices[0].abstention
        assert abstention is not None, "the template has no `abstain`"
        rows.append(Row(question, abstention))
        if args.show:
            print(f"{rows[-1].score:6.2f}  {question.answer or '-':20.20}  {question.question}  "
                  f"{abstention.text}")  # fmt: skip
    yes = [row for row in rows if row.question.answer is not None]
    no = [row for row in rows if row.question.answer is None]
    threshold = rows[0].abstention.threshold if args.threshold is None else args.threshold

    def summary(limit: float) -> tuple[float, float, float]:
        shown = [row for row in yes if row.score >= limit]
        right = sum(row.is_right for row in shown) / len(yes)
        return right, len(shown) / len(yes), share([row.score < limit for row in no])

    auc = area([row.score for row in yes], [row.score for row in no])
    limits = [("never", float("-inf")), ("threshold", threshold)]
    if args.half == "tuning":
        best = max((row.score for row in rows), key=lambda limit: sum(summary(limit)[1:]))
        limits.append(("best", best))
    print(
        f"{box.model_name}, half {args.half}: {len(yes)} answerable, {len(no)} not; AUC {auc:.2f}"
    )
    for name, limit in limits:
        print_summary(name, limit, summary(limit))
    shown = [row for row in yes if not row.abstention.abstained]
    right = sum(row.is_right for row in shown) / len(yes)
    recognized = share([row.abstention.abstained for row in no])
    print_summary("rules", rows[0].abstention.threshold, (right, len(shown) / len(yes), recognized))


if __name__ == "__main__":
    main()
