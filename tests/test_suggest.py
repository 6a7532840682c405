import pytest

from llmtool.suggest import suggest


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("qwen3", ["qwen", "Qwen3.5"], "the nearest are qwen, Qwen3.5"),
        ("ORG/NAME", ["org/name"], "the nearest is org/name"),
        ("a", ["zzz"], ""),
        ("a", [], ""),
    ],
)
def test_suggests_similar_names(name, names, expected):
    assert suggest(name, names) == expected
