"""Clients that are installed for the test, against `llmtool serve` with the starter model.

Each holds a streamed conversation, asks for a schema, causes errors, and leaves before the end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from command import LLMTOOL

from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import load_model
from llmtool.engine.types import Prompt, ScoreRequest, Scores

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # they install packages
PROGRAMS = Path(__file__).parent / "programs"
NPM = ["openai", "@anthropic-ai/sdk", "ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "zod"]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with the starter model."""
    env = {**os.environ, "HOME": str(tmp_path_factory.mktemp("home"))}
    command = [*LLMTOOL, "serve", "-m", "starter", "--port", "0"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the server ended"
            found = re.search(r"http://\S+", line)
        yield found[0]
        process.terminate()


@pytest.fixture(scope="module")
def pip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that installs packages in an environment of their own."""

    def install(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("venv")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        command = [scripts / "python", "-m", "pip", "install", "-q", *packages]
        if subprocess.run(command).returncode:
            pytest.skip(f"cannot install {' '.join(packages)}")
        return scripts

    return install


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a program in Node.js with the packages of clients."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, *NPM]
    if subprocess.run(command).returncode:
        pytest.skip("cannot install the npm packages")

    def run(name: str, *arguments: str) -> str:
        program = shutil.copy(PROGRAMS / name, folder)
        return output("node", program, *arguments)

    return run


def output(*command: object, **env: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    return done.stdout


def check_conversation(report: dict[str, Any]) -> None:
    """Check the two replies, and that an interrupted request was reported."""
    assert len(report["texts"]) == 2 and all(text for text, *_ in report["texts"])
    assert report["aborted"] is True


def check_schema(value: dict[str, Any]) -> None:
    assert isinstance(value["river"], str) and isinstance(value["long"], bool)


def check_idle(url: str) -> None:
    """Check that the server has stopped what clients left."""
    end = monotonic() + 10
    while "llmtool_calls_running 0" not in read(f"{url}/metrics") and monotonic() < end:
        sleep(0.1)
    assert "llmtool_calls_running 0" in read(f"{url}/metrics")


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def test_openai_in_javascript(url: str, node: Run) -> None:
    report = json.loads(node("openai.mjs", url))
    check_conversation(report)
    check_schema(report["schema"])
    check_schema(report["response"])
    assert report["kinds"][-1] == "response.completed"
    assert report["error"] == [True, "model_not_found", "invalid_request_error"]
    assert report["long"] == [True, "context_length_exceeded"]
    check_idle(url)


def test_anthropic_in_javascript(url: str, node: Run) -> None:
    report = json.loads(node("anthropic.mjs", url))
    check_conversation(report)
    check_schema(report["schema"])
    assert report["error"] == [True, "not_found_error"]
    assert report["long"] == [True, "invalid_request_error"]
    check_idle(url)


def test_ai_sdk(url: str, node: Run) -> None:
    """Over `@ai-sdk/openai-compatible`, and `@ai-sdk/openai` with responses and with chat."""
    for report in json.loads(node("ai.mjs", url)).values():
        check_conversation(report)
        check_schema(report["schema"])
        assert report["warnings"] == []
        assert report["error"] == [True, 404, "model_not_found"]
    check_idle(url)


def test_litellm(url: str, pip: Callable[..., Path]) -> None:
    python = pip("litellm") / "python"
    program = PROGRAMS / "litellm_client.py"
    report = json.loads(output(python, program, url, LITELLM_LOCAL_MODEL_COST_MAP="True"))
    for each in report.values():
        check_conversation(each)
        assert each["error"] == ["NotFoundError", 404]
        assert each["long"][1] == 400
    check_schema(report["openai"]["schema"])
    check_idle(url)


def test_llm(url: str, pip: Callable[..., Path], tmp_path: Path) -> None:
    config = f"- {{model_id: local, model_name: starter, api_base: '{url}/v1', "
    config += "supports_schema: true}\n"
    wrong = config.replace("local", "wrong").replace("name: starter", "name: gpt-4")
    (tmp_path / "extra-openai-models.yaml").write_text(config + wrong)
    llm = pip("llm") / "llm"
    env = {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    limit = ("-o", "max_tokens", 60)
    assert output(llm, "-m", "local", "Name a river in Europe.", *limit, **env).strip()
    assert output(llm, "-c", "Where is it?", *limit, **env).strip()
    schema = ("--schema", "river, long bool")
    check_schema(json.loads(output(llm, "-m", "local", *schema, "Name one.", *limit, **env)))
    done = subprocess.run(
        [llm, "-m", "wrong", "Hi"], env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "this server has no model 'gpt-4'" in done.stderr
    command = [llm, "-m", "local", "Tell a long story.", "-o", "temperature", "1"]
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read(1)
        process.kill()
    check_idle(url)


ITEMS: list[tuple[str, list[str], int]] = [
    ("The capital of France is", [" Paris", " London", " cheese"], 0),
    ("Two plus two is", [" five", " four", " blue"], 1),
    ("The sky on a clear day is", [" green", " a spoon", " blue"], 2),
    ("Dogs like to chase", [" cats", " philosophy", " the number seven"], 0),
    ("Water freezes at zero degrees", [" Celsius", " metres", " o'clock"], 0),
    ("She opened the book and began to", [" read", " swim", " evaporate quickly"], 0),
]
TASK = """\
task: small
dataset_path: json
dataset_kwargs: {data_files: {test: ITEMS}}
test_split: test
output_type: multiple_choice
doc_to_text: context
doc_to_choice: choices
doc_to_target: label
target_delimiter: ""
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def test_lm_eval_scores_as_the_engine(
    url: str, pip: Callable[..., Path], starter: Path, tmp_path: Path
) -> None:
    """Its tokens come from the server, as token ids and as texts."""
    items = tmp_path / "items.jsonl"
    rows = [dict(zip(("context", "choices", "label"), item, strict=True)) for item in ITEMS]
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "small.yaml").write_text(TASK.replace("ITEMS", str(items)))
    engine = LocalEngine(load_model(starter), n_threads=1)
    expected = []
    for context, choices, _ in ITEMS:
        request = ScoreRequest(prompt=Prompt(text=context), candidates=tuple(choices))
        (scores,) = engine.score([request])
        assert isinstance(scores, Scores)
        expected.append(list(scores.totals))
    engine.close()
    best = [max(range(3), key=scores.__getitem__) for scores in expected]
    accuracy = sum(b == label for b, (_, _, label) in zip(best, ITEMS, strict=True)) / len(ITEMS)
    lm_eval = pip("lm_eval[api]") / "lm_eval"
    for tokenized in (True, False):
        out = tmp_path / str(tokenized)
        model = f"base_url={url}/v1/completions,model=starter,tokenizer_backend=remote"
        command = [
            *(lm_eval, "run", "--model", "local-completions", "--tasks", "small"),
            *("--model_args", f"{model},tokenized_requests={tokenized},num_concurrent=4"),
            *("--include_path", tmp_path, "--log_samples", "--output_path", out),
        ]
        subprocess.run(
            list(map(str, command)),
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")},
            check=True,
            timeout=300,
        )
        (samples,) = out.rglob("samples_small_*.jsonl")
        found = [json.loads(line) for line in samples.read_text().splitlines()]
        found.sort(key=lambda row: row["doc_id"])
        for row, totals in zip(found, expected, strict=True):
            scores = [float(score) for ((score, _),) in row["resps"]]
            assert scores == pytest.approx(totals, abs=1e-3)
        assert sum(row["acc"] for row in found) / len(found) == pytest.approx(accuracy)
