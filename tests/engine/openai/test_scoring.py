"""Scores of candidates on servers: exact, by the most likely tokens, or an error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fake_server import Exchange, FakeServer, fail, listed
from running_server import running

from llmtool.config import Folders
from llmtool.engine.types import Failed, Message, Prompt, ScoreRequest, Scores
from llmtool.errors import OutputValidationError, ServerError, UsageError
from llmtool.toolbox import Toolbox

QUESTION = Prompt(messages=(Message("user", "Which one? <|im_end|> It is great."),))
REQUESTS = [
    ScoreRequest(prompt=QUESTION, candidates=("positive", "negative", "no"), id=1),
    ScoreRequest(prompt=QUESTION, candidates=("sport", "sports"), end=True, id=2),
    ScoreRequest(
        prompt=Prompt(messages=QUESTION.messages, prefill="Answer:"), candidates=(" a", " b"), id=3
    ),
    ScoreRequest(prompt=Prompt(text="It is great.\nLabel:"), candidates=(" a\n", " bé\n"), id=4),
]


def scores_of(engine: Any, *requests: ScoreRequest) -> dict[int, Scores]:
    found = {}
    for each in engine.score(requests):
        if isinstance(each, Failed):
            raise each.error
        found[each.id] = each
    return found


@pytest.mark.parametrize("kind", ["plain", "spm", "base"])
def test_scores_of_a_server_are_those_of_its_engine(
    connect: Any, tiny_model: Any, kind: str
) -> None:
    path = tiny_model(kind)
    with Toolbox(path, concurrent=True, n_threads=1, prefix_cache=False) as box:
        expected = scores_of(box.engine, *REQUESTS)
        with running({"tiny": box}) as server:
            found = scores_of(connect(f"{server.url}/v1"), *REQUESTS)
    for request in REQUESTS:
        one, other = found[request.id], expected[request.id]
        for theirs, ours in zip(one.logprobs, other.logprobs, strict=True):
            assert theirs == pytest.approx(ours, abs=0.02)
        assert one.usage.prompt_tokens == other.usage.prompt_tokens
        assert one.method == "exact"


def test_classify_on_a_server_is_that_of_its_engine(tiny_model: Any, tmp_path: Path) -> None:
    folders = [tmp_path / "local", tmp_path / "remote"]
    boxes = [Folders(config=each, data=each, cache=each, hub_cache=each) for each in folders]
    path, text = tiny_model("plain", float32=True), "The striker scored twice."
    labels = {"sport": "games", "politics": "parliaments", "science": ""}
    with Toolbox(path, folders=boxes[0], concurrent=True, n_threads=1) as box:
        expected = box.classify(text, labels)
        with running({"tiny": box}) as server:
            remote = Toolbox("tiny", base_url=server.url, folders=boxes[1])
            found = remote.classify(text, labels)
            remote.close()
    assert found.scores == pytest.approx(expected.scores, abs=0.02)
    assert found.bias == pytest.approx(expected.bias, abs=0.1)
    assert (found.label, found.scoring) == (expected.label, "exact")


class FakeLlamaServer:
    """A vocabulary of characters, whose probabilities depend on those before them.

    Tokens are code points, and 3 ends a turn. The server reports the most likely tokens, as many
    as `n_probs`, and the sampled one, unless it is a part of a character.
    """

    def __init__(self, fake: FakeServer, *, partial: str = "") -> None:
        self.partial = partial
        fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="llamacpp"))
        fake.answer |= {
            "/apply-template": self.apply_template,
            "/tokenize": self.tokenize,
            "/completion": self.complete,
            "/props": lambda exchange: exchange.send(body={"eos_token": "\x03", "total_slots": 2}),
        }

    def apply_template(self, exchange: Exchange) -> None:
        parts = [each["content"] for each in exchange.request.body["messages"]]
        end = "" if exchange.request.body["messages"][-1]["role"] == "assistant" else "\x03"
        exchange.send(body={"prompt": "\x03".join(parts) + end})

    def tokenize(self, exchange: Exchange) -> None:
        exchange.send(body={"tokens": [ord(each) for each in exchange.request.body["content"]]})

    @staticmethod
    def logprob(before: list[int], token: int) -> float:
        weights = [1 + (7 * sum(before) + 13 * each) % 11 for each in range(128)]
        return math.log(weights[token] / sum(weights))

    def complete(self, exchange: Exchange) -> None:
        body = exchange.request.body
        assert body["n_predict"] == 1 and body["cache_prompt"]
        rows = [{"id": i, "logprob": self.logprob(body["prompt"], i)} for i in range(128)]
        rows.sort(key=lambda row: -row["logprob"])
        bias = body.get("logit_bias")
        sampled = next(row for row in rows if bias is None or row["id"] == bias[0][0])
        step = {**sampled, "top_logprobs": rows[: min(body["n_probs"], self.n_probs(body))]}
        is_partial = chr(sampled["id"]) in self.partial
        exchange.send(body={"completion_probabilities": [] if is_partial else [step]})

    def n_probs(self, body: Any) -> int:
        return 3 if body["n_probs"] < 1000 else 128  # a vocabulary that is larger than the answer


@pytest.mark.parametrize("partial", ["", "ap"])
def test_walk_over_tokens_is_exact(fake: FakeServer, connect: Any, partial: str) -> None:
    FakeLlamaServer(fake, partial=partial)
    prompt = Prompt(messages=(Message("user", "Hi"),))
    request = ScoreRequest(prompt=prompt, candidates=("ab", "abc", "p"), end=True)
    (scores,) = scores_of(connect(fake.url), request).values()
    expected = []
    for candidate in request.candidates:
        before, row = [ord("H"), ord("i"), 3], []
        for token in [*map(ord, candidate), 3]:
            row.append(FakeLlamaServer.logprob(before, token))
            before.append(token)
        expected.append(tuple(row))
    assert scores.logprobs == tuple(map(pytest.approx, expected))
    assert (scores.method, scores.usage.prompt_tokens) == ("exact", 3)


def test_walks_run_in_the_slots_of_the_server(fake: FakeServer, connect: Any) -> None:
    FakeLlamaServer(fake)
    prompts = [Prompt(messages=(Message("user", "Hi " + "x" * i),)) for i in range(6)]
    requests = [
        ScoreRequest(prompt=each, candidates=("ab", "pq"), id=i) for i, each in enumerate(prompts)
    ]
    scores_of(connect(fake.url), *requests)
    asked = [each.body["prompt"] for each in fake.received if each.path == "/completion"]
    order = [ids[: ids.index(3)].count(ord("x")) for ids in asked]
    at_once = [set(order[:at]) & set(order[at:]) for at in range(len(order))]
    assert max(map(len, at_once)) == 2


def test_server_behind_a_proxy_is_asked_for_the_most_likely_tokens(
    fake: FakeServer, connect: Any
) -> None:
    fake.models = lambda exchange: exchange.send(body=listed("tiny", owner="vllm"))
    fake.answer["/tokenize"] = fail(404, "Not Found")
    fake.script(top(("a", 0.8), ("b", 0.1)))
    engine = connect(fake.url)
    (scores,) = scores_of(engine, ask("a", "b")).values()
    assert scores.method == "top-k"
    assert len(engine.tokenize(Prompt(text="One two three")).token_ids) == 5  # an estimate


def top(*steps: Any, text: str | None = None, model: str = "tiny") -> Any:
    """Return a reply with the probabilities of the tokens at each step, or at the only one."""
    rows = [steps] if isinstance(steps[0][0], str) else list(steps)
    content = []
    for row in rows:
        entries = [{"token": name, "logprob": math.log(p), "bytes": None} for name, p in row]
        content.append({**entries[0], "top_logprobs": entries})
    said = "".join(row[0][0] for row in rows) if text is None else text
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": said},
        "logprobs": {"content": content},
        "finish_reason": "length",
    }
    return lambda exchange: exchange.send(body={"model": model, "choices": [choice]})


def ask(*names: str) -> ScoreRequest:
    return ScoreRequest(prompt=QUESTION, candidates=names)


@pytest.mark.parametrize(
    ("names", "steps", "expected"),
    [
        (("yes", "no"), [("yes", 0.6), (" no", 0.3), ("Y", 0.05), ("The", 0.05)], (0.65, 0.3)),
        (
            ("sport", "sports", "politics"),
            [
                [("sport", 0.6), ("pol", 0.3), ("The", 0.1)],
                [("s", 0.5), ("<|im_end|>", 0.25), (".", 0.25)],
            ],
            (0.3, 0.3, 0.3),
        ),
        (("a", "b", "c"), [("a", 0.9), ("b", 0.09), ("d", 0.01)], (0.9, 0.09, 0.01)),
        (("US", "us"), [("US", 0.9), ("us", 0.1)], (0.9, 0.1)),
    ],
    ids=["first token", "prefix", "not found", "case"],
)
def test_most_likely_tokens_are_those_of_labels(
    fake: FakeServer, connect: Any, names: Any, steps: Any, expected: Any
) -> None:
    fake.script(top(*steps))
    (scores,) = scores_of(connect(fake.url), ask(*names)).values()
    assert [math.exp(total) for total in scores.totals] == pytest.approx(expected)
    assert scores.method == "top-k"
    (body,) = fake.bodies
    assert (body["logprobs"], body["top_logprobs"], body["temperature"]) == (True, 20, 0)
    assert "stream" not in body


def test_text_to_continue_becomes_a_question_for_chat_models(
    fake: FakeServer, connect: Any
) -> None:
    fake.script(top(("a", 0.8), ("b", 0.1)))
    prompt = Prompt(text="Text: x", prefill="\nLabel:")
    scores_of(connect(fake.url), ScoreRequest(prompt=prompt, candidates=(" a\n", " b\n")))
    text = "Reply with one of these labels, and nothing else: a, b\n\nText: x\nLabel:"
    assert fake.bodies[0]["messages"] == [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("respond", "kind", "message"),
    [
        (top(("The", 0.9), ("a", 0.05)), OutputValidationError, "only 5% of the likely replies"),
        (
            top([("x", 0.5), ("b", 0.4)], [("y", 1.0)]),
            OutputValidationError,
            "the same in too many of the likely replies .40%.; choose labels that begin",
        ),
        (
            lambda exchange: exchange.send(
                body={"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "x"}]}
            ),
            UsageError,
            "reports no log-probabilities, by which labels are scored; use a local model",
        ),
        (
            top(("a", 0.9), ("bc", 0.1), model="other"),
            ServerError,
            "asked 'tiny', but 'other' answered",
        ),
        (
            lambda exchange: exchange.send(
                body={"choices": [{"index": 0, "message": {"content": "a"}}]}
            ),
            ServerError,
            "the server ended the reply after 1 token",
        ),
        (fail(400, "logprobs is not supported"), UsageError, "logprobs is not supported"),
    ],
    ids=["coverage", "ambiguous", "no log-probabilities", "another model", "no end", "rejected"],
)
def test_scores_that_cannot_be_had_are_an_error_with_the_reason(
    fake: FakeServer, connect: Any, respond: Any, kind: Any, message: str
) -> None:
    fake.script(respond)
    with pytest.raises(kind, match=message):
        scores_of(connect(fake.url), ask("a", "bc", "bd"))


def test_scoring_is_reported(fake: FakeServer, run_llmtool: Any) -> None:
    fake.script(top(("yes", 0.7), ("no", 0.2)))
    command = ("classify", "Is it?", "-l", "yes,no", "-m", "tiny", "--base-url", fake.url)
    result = run_llmtool(*command, "--json", "--stats", env={"LLMTOOL_OFFLINE": "0"})
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["label"], document["scoring"]) == ("yes", "top-k")
    assert document["coverage"] == pytest.approx(0.9)
    assert b"scoring: top-k, by the most likely tokens; labels cover 0.90" in result.stderr
