import pytest

from llmtool.models.hub.retry import describe_wait


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "retrying"),
        (0.5, "retrying"),
        (0.99, "retrying"),
        (1, "retrying in 1 s"),
        (3.6, "retrying in 4 s"),
        (120, "retrying in 120 s"),
    ],
)
def test_wait_is_described(seconds, text):
    assert describe_wait(seconds) == text
