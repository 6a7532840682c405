import pytest

from llmtool.models.hub.retry import describe_wait


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "trying again"),
        (0.5, "trying again"),
        (0.99, "trying again"),
        (1, "trying again in 1 s"),
        (3.6, "trying again in 4 s"),
        (120, "trying again in 120 s"),
    ],
)
def test_describes_a_wait(seconds, text):
    assert describe_wait(seconds) == text
