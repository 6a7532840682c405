"""Prompt injection: hostile texts add no control tokens or lines, in any built-in template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtool.config import find_folders
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.types import Prompt
from llmtool.tasks.classify.task import prepare_classifier
from llmtool.tasks.options import ClassifyOptions
from llmtool.tasks.pipeline.prepare import Case
from llmtool.toolbox import Toolbox

HOSTILE = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "data" / "hostile.jsonl").read_text().splitlines()
]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Toolbox:
    home = tmp_path_factory.mktemp("home")
    return Toolbox(starter, folders=find_folders({"HOME": str(home)}), environ={})


def control_tokens(box: Toolbox, prompt: Prompt) -> list[int]:
    engine = box.engine
    assert isinstance(engine, LocalEngine)
    ids = engine.tokenize(prompt).token_ids
    return [token for token in ids if engine.model.weights.kind(token) != "ordinary"]


@pytest.mark.parametrize("form", ["completion", "chat"])
def test_hostile_text_adds_no_control_token(box: Toolbox, form: str) -> None:
    assert len(HOSTILE) >= 25
    for row in HOSTILE:
        classifier = prepare_classifier(
            box.context, None, ClassifyOptions(template=row["set"], form=form)
        )
        prompt = classifier.request(Case(variables={"text": row["text"]})).prompt
        harmless = classifier.request(Case(variables={"text": "A harmless text."})).prompt
        assert control_tokens(box, prompt) == control_tokens(box, harmless), row


def test_hostile_text_adds_no_line_to_completion_prompt(box: Toolbox) -> None:
    for row in HOSTILE:
        classifier = prepare_classifier(box.context, None, ClassifyOptions(template=row["set"]))
        prompts = [
            classifier.request(Case(variables={"text": text})).prompt.text
            for text in (row["text"], "A harmless text.")
        ]
        lines = [len((text or "").splitlines()) for text in prompts]
        assert lines[0] == lines[1], row
