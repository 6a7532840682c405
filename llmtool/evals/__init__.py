"""Tests of templates: what is asked of a model, what must hold, and what is told of it.

plan      the tests of a template, with the rows of their datasets
run       asks a model and yields an `Outcome` for each test
baseline  what failed before is known; what passed before must pass
junit     outcomes as a CI system reads them
"""

from llmtool.evals.plan import EvalPlan, make_plan
from llmtool.evals.results import Failure, Outcome
from llmtool.evals.runner import run_tests

__all__ = ["Failure", "Outcome", "EvalPlan", "make_plan", "run_tests"]
