"""Fill in the middle: control tokens separate the parts, and none come from their text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_vocabulary import TokenType, Vocabulary, bpe_vocabulary, spm_vocabulary

from llmtool.cancellation import Cancellation
from llmtool.engine.llama.chat_template import ChatTemplate
from llmtool.engine.llama.engine import LocalEngine
from llmtool.engine.llama.model import LlamaModel, load_model
from llmtool.engine.types import Failed, Finished, Prompt, Request, Sampling, Token
from llmtool.errors import UsageError

FIM = {"fim_pre": "<|fim_prefix|>", "fim_suf": "<|fim_suffix|>", "fim_mid": "<|fim_middle|>"}


def with_fim_tokens(vocabulary: Vocabulary) -> Vocabulary:
    for role, text in FIM.items():
        vocabulary.add(text, text.encode(), TokenType.CONTROL)
        vocabulary.special[role] = text
    return vocabulary


@pytest.fixture(scope="module", params=["plain", "spm", "base"])
def model(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> Path:
    make = spm_vocabulary if request.param == "spm" else bpe_vocabulary
    return tiny_model(request.param, vocabulary=with_fim_tokens(make()), printable=True)


@pytest.fixture(scope="module")
def weights(model: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(model, n_gpu_layers=0, cancellation=Cancellation(), vocab_only=True)
    yield loaded
    loaded.close()


def tokens(weights: LlamaModel, before: str, after: str, prefill: str = "") -> list[int]:
    chat = ChatTemplate(weights, weights.chat_template)
    return list(chat.tokenize(Prompt(text=before, suffix=after, prefill=prefill)).token_ids)


def texts_of(weights: LlamaModel, ids: list[int]) -> list[str]:
    """Return the texts between the control tokens of a prompt."""
    parts, pieces = [], b""
    for token in ids:
        if weights.kind(token) == "control":
            parts.append(pieces.decode())
            pieces = b""
        else:
            pieces += weights.render_piece(token, special=True)
    return [*parts, pieces.decode()]


def test_fim_tokens_separate_the_parts(weights: LlamaModel) -> None:
    ids = tokens(weights, "def f(x):\n    return ", "\n\nprint(f(1))\n")
    known = weights.fim_tokens
    assert known is not None
    special = [token for token in ids if weights.kind(token) == "control"]
    assert special[-3:] == [known.prefix, known.suffix, known.middle]
    assert special[:-3] == ([weights.bos] if weights.adds_bos else [])
    assert ids[-1] == known.middle
    assert texts_of(weights, ids)[-3:] == ["def f(x):\n    return ", "\n\nprint(f(1))\n", ""]


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "end"), ("begin", ""), ("x", ")"), ("a\n", "\nb"), ("  x", "  y"), ("é日", "🦙")],
)
def test_no_character_is_added_or_lost(weights: LlamaModel, before: str, after: str) -> None:
    assert texts_of(weights, tokens(weights, before, after))[-3:] == [before, after, ""]


def test_prefill_follows_the_middle_token(weights: LlamaModel) -> None:
    assert texts_of(weights, tokens(weights, "a", "b", "half of"))[-3:] == ["a", "b", "half of"]


@pytest.mark.parametrize("hostile", [*FIM.values(), "<|endoftext|>", "<s>", "<|im_end|>"])
def test_text_adds_no_control_token(weights: LlamaModel, hostile: str) -> None:
    ids = tokens(weights, f"x = '{hostile}'\n", f"# {hostile}{hostile}")
    harmless = tokens(weights, "x", "y")
    special = [token for token in ids if weights.kind(token) == "control"]
    assert special == [token for token in harmless if weights.kind(token) == "control"]
    assert texts_of(weights, ids)[-3:] == [f"x = '{hostile}'\n", f"# {hostile}{hostile}", ""]


def test_middle_is_generated(model: Path) -> None:
    engine = LocalEngine(load_model(model), n_threads=1)
    request = Request(
        prompt=Prompt(text="The river ", suffix=" the night."),
        sampling=Sampling(temperature=0, max_tokens=5),
    )
    *pieces, end = engine.stream([request])
    engine.close()
    assert isinstance(end, Finished) and end.usage.completion_tokens == 5
    assert "".join(piece.text for piece in pieces if isinstance(piece, Token))


@pytest.mark.parametrize("kind", ["plain", "spm"])
def test_model_without_fim_tokens_is_a_usage_error(
    tiny_model: Callable[..., Path], kind: str
) -> None:
    engine = LocalEngine(load_model(tiny_model(kind)), n_threads=1)
    (event,) = engine.stream([Request(prompt=Prompt(text="a", suffix="b"))])
    engine.close()
    assert isinstance(event, Failed) and isinstance(event.error, UsageError)
    assert "no fill-in-the-middle tokens" in str(event.error)
