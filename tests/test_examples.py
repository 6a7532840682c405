"""Run the examples in docstrings, in which only the names that their module defines are known."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import llmtool
from llmtool import toolbox
from llmtool.engine.scripted import ScriptedEngine
from llmtool.local_model import ReadyModel
from llmtool.toolbox import Toolbox

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "llmtool").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
REPLIES = {  # of the model in the examples, by a part of the prompt
    "Name a colour.": "Dark red",
    "Hi!": "Hello! How can I help?",
    "Name three rivers.": "The Nile, the Amazon and the Danube.",
    "Name a river of Austria.": "The Danube.",
    "Where does it end?": "In the Black Sea.",
    "Name a river.": "The Danube.",
    "Tell me a story.": "Once upon a time, a fox lived by a river.",
    "Rain is expected": "A Week of Rain",
    "A bridge reopened": "Bridge Reopens",
    "The library opens in May.": "In May.",
    "library of Marbury": "The library of Marbury closes for repairs from March to June.",
    "Run {1}": "Exécutez {1}.",
    "Hello": "Bonjour",
    "Dear Anna": "Chère Anna,",
    "it rains": "il pleut.",
    "is_even": "def is_even(n):\n    return n % 2 == 0\n```",
    "x = y or 0": "Sets x to y, or to 0 if y is empty.",
    "+connect(timeout=0)": (
        '{"findings": [{"line": 12, "severity": "error", "message": "No timeout"}]}'
    ),
    "+connect(timeout=30)": "fix(mail): wait 30 seconds for the server",
    "def f(x)": "def f(x): return x\n```",
    "def half": "def test_half():\n    assert half(4) == 2\n```",
    "def add": "a + b",
}
LABELS = {"Great!": "positive", "Awful.": "negative", "charged": "billing", "crashes": "bug"}
LABELS['When?\n\n"""\nThe library opens in May.'] = "In May."


def reply(prompt: str) -> str:
    return next(text for part, text in REPLIES.items() if part in prompt)


def score(prompt: str, label: str) -> float:
    is_right = any(part in prompt and label.strip() == right for part, right in LABELS.items())
    return -0.1 if is_right else -3.0


class Checker(doctest.OutputChecker):
    """Accepts output without a line break at its end, which a docstring cannot show."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if got and not got.endswith("\n"):
            got += "\n"
        return super().check_output(want, got, optionflags)


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    """Return the examples of a module; those of the asyncio variants of a method are its own."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    names = {"__name__"}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        names |= {str(getattr(each, "id", getattr(each, "name", ""))) for each in targets}
    known = {name: value for name, value in vars(module).items() if name in names}
    tests = doctest.DocTestFinder().find(module, globs=known)
    return list({str([each.source for each in test.examples]): test for test in tests}.values())


@pytest.mark.parametrize("file", FILES)
def test_examples_of_docstrings(
    file: str, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_model(reference: str | None, **_: Any) -> ReadyModel:
        return ReadyModel(engine=ScriptedEngine(reply, scores=score), name=reference or "starter")

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toolbox, "choose_model", make_model)
    monkeypatch.setattr(llmtool, "generate", Toolbox().generate, raising=False)
    module = importlib.import_module(
        ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
    )
    n_run, report = 0, ""
    for test in examples_of(module):
        runner = doctest.DocTestRunner(Checker(), optionflags=doctest.FAIL_FAST)
        lines: list[str] = []
        runner.run(test, out=lines.append)
        n_run += len(test.examples)
        report += "".join(lines)
        assert not any(doctest.SKIP in each.options for each in test.examples), test.name
    assert n_run
    if report:
        pytest.fail(report, pytrace=False)
