"""Template tests: plan them, run them on a model, judge the replies, report the outcomes.

plan      the tests of a template, with the rows of their datasets
runner    runs the test cases and yields an `Outcome` per test
judge     checks the replies of a test
baseline  allows known failures, and detects regressions
junit     writes outcomes as JUnit XML for CI
lint      finds errors and weaknesses of a template without a model
"""

from llmtool.evals.plan import EvalPlan, make_plan
from llmtool.evals.results import Failure, Outcome
from llmtool.evals.runner import run_tests

__all__ = ["Failure", "Outcome", "EvalPlan", "make_plan", "run_tests"]
