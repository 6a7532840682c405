"""Template tests: plan them, run them on a model, judge the replies, report the outcomes."""

from llmtool.evals.plan import EvalPlan, make_plan, untestable
from llmtool.evals.results import Failure, Outcome
from llmtool.evals.runner import run_tests

__all__ = ["Failure", "Outcome", "EvalPlan", "make_plan", "run_tests", "untestable"]
