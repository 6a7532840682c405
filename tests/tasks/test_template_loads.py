"""Each call loads each of its templates once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtool.config import Folders, Settings
from llmtool.engine.scripted import ScriptedEngine
from llmtool.prompts.library import Library
from llmtool.prompts.template import Template
from llmtool.toolbox import Toolbox

DIFF = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"
CODE = "```python\ndef f():\n    return 1\n```"


class CountingLibrary(Library):
    """Counts how often each template is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: Counter[str] = Counter()

    def load(self, template: str | Template) -> Template:
        if isinstance(template, str):
            self.loads[template] += 1
        return super().load(template)


class CountingToolbox(Toolbox):
    def __init__(self, reply: str, folder: Path) -> None:
        folders = Folders(config=folder, data=folder, cache=folder, hub_cache=folder)
        super().__init__(
            engine=ScriptedEngine(reply), folders=folders, settings=Settings(), environ={}
        )
        self.counting = self.context.library = CountingLibrary()


@pytest.mark.parametrize(
    ("call", "reply", "templates"),
    [
        pytest.param(lambda box: box.generate("Hi"), "Hello", ["gen"], id="generate"),
        pytest.param(lambda box: box.generate(["a", "b"]), "Hello", ["gen"], id="generate-list"),
        pytest.param(lambda box: box.run("title", text="Rain"), "A title", ["title"], id="run"),
        pytest.param(
            lambda box: box.run("sentiment", ["Good", "Bad"]), "", ["sentiment"], id="run-labels"
        ),
        pytest.param(lambda box: box.classify("Good", ["a", "b"]), "", ["classify"], id="classify"),
        pytest.param(
            lambda box: box.classify("Good", ["a", "b"], multi=True),
            "",
            ["classify-multi"],
            id="classify-multi",
        ),
        pytest.param(lambda box: box.summarize("Rain."), "Rain.", ["sum"], id="sum"),
        pytest.param(
            lambda box: box.translate("Rain.", "German"), "Regen.", ["translate"], id="translate"
        ),
        pytest.param(
            lambda box: box.write_code("f", language="py"), CODE, ["code", "code-repair"], id="code"
        ),
        pytest.param(
            lambda box: box.explain_code("x = 1"), "It sets x.", ["code-explain"], id="explain"
        ),
        pytest.param(
            lambda box: box.review_code(DIFF), '{"findings": []}', ["review-hunk"], id="review"
        ),
        pytest.param(
            lambda box: box.fix_code("def f(x) return x\n" * 300, language="py"),
            CODE,
            ["code-fix", "code-repair"],
            id="fix",
        ),
        pytest.param(
            lambda box: box.write_tests("x = 1", language="py"),
            CODE,
            ["code-tests", "code-repair"],
            id="tests",
        ),
        pytest.param(
            lambda box: box.commit_message(DIFF),
            "fix: set the variable a to two",
            ["commit"],
            id="commit",
        ),
    ],
)
def test_call_loads_each_template_once(
    call: Callable[[Toolbox], object], reply: str, templates: list[str], tmp_path: Path
) -> None:
    box = CountingToolbox(reply, tmp_path)
    call(box)
    assert box.counting.loads == dict.fromkeys(templates, 1)


def test_loaded_template_is_not_loaded_again(tmp_path: Path) -> None:
    box = CountingToolbox("A title", tmp_path)
    box.run(Library().load("title"), text="Rain")
    assert not box.counting.loads
