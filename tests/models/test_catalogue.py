import pytest

from llmtool.models import catalogue
from llmtool.models.reference import parse

GB = 10**9


def test_entries_are_valid_and_permissively_licensed():
    for entry in catalogue.load():
        assert parse(entry.name, catalogue.names()).repo == entry.repo
        assert entry.licence == "Apache-2.0"
        assert entry.active <= entry.parameters
        # 4 to 6 bits per parameter, plus a few large tables
        assert 0.5 * entry.parameters <= entry.gb <= 0.75 * entry.parameters + 0.1


@pytest.mark.parametrize(
    ("memory", "gpu", "first", "runs_on"),
    [
        (2 * GB, 0, "qwen3.5-0.8b", "cpu"),
        (4 * GB, 0, "qwen3.5-2b", "cpu"),
        (8 * GB, 0, "qwen3.5-4b", "cpu"),
        (32 * GB, 0, "qwen3-30b-a3b", "cpu"),
        (16 * GB, 8 * GB, "qwen3.5-4b", "gpu"),
        (16 * GB, 24 * GB, "qwen3-30b-a3b", "gpu"),
    ],
)
def test_best_fitting_model_is_recommended_first(memory, gpu, first, runs_on):
    choice = catalogue.recommend(memory, gpu)[0]
    assert (choice.entry.name, choice.runs_on) == (first, runs_on)


def test_reason_includes_size_device_and_strengths():
    choice = next(c for c in catalogue.recommend(8 * GB) if c.entry.name == "qwen3.5-4b")
    assert choice.reason.startswith("2.7 GB, fits in memory (8.0 GB); ")
    about = next(c for c in catalogue.recommend(8 * GB) if c.entry.approximate)
    assert about.reason.startswith("about ")


def test_small_machine_gets_no_recommendation():
    assert catalogue.recommend(GB) == []
