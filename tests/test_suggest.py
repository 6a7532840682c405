import pytest

from llmtool.suggest import suggest


@pytest.mark.parametrize(
    ("name", "names", "n", "expected"),
    [
        ("ORG/NAME", ["org/name"], 1, "; did you mean 'org/name'?"),
        ("qwen3", ["qwen", "Qwen3.5"], 1, "; did you mean 'qwen'?"),
        ("qwen3", ["qwen", "Qwen3.5"], 3, "; did you mean 'qwen' or 'Qwen3.5'?"),
        ("ab", ["aba", "abb", "abc"], 3, "; did you mean 'abc', 'abb' or 'aba'?"),
        ("a", ["zzz"], 1, ""),
        ("a", [], 3, ""),
    ],
)
def test_suggest_returns_similar_names(name: str, names: list[str], n: int, expected: str) -> None:
    assert suggest(name, names, n=n) == expected
