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


def test_models_slower_than_reading_come_last_with_the_reason():
    choices = catalogue.recommend(64 * GB, n_threads=2)
    speeds = [choice.tokens_per_second for choice in choices]
    n_fast = sum(speed >= 8 for speed in speeds)
    assert 0 < n_fast < len(speeds)
    assert all(speed >= 8 for speed in speeds[:n_fast])
    assert speeds[n_fast:] == sorted(speeds[n_fast:], reverse=True)
    assert choices[0].entry.name == "gemma-4-e2b"
    slow = ["slow here (about" in choice.reason for choice in choices]
    assert slow == [False] * n_fast + [True] * (len(choices) - n_fast)


def test_speed_counts_the_active_parameters_of_a_mixture_of_experts():
    speeds = {c.entry.name: c.tokens_per_second for c in catalogue.recommend(64 * GB)}
    assert speeds["qwen3-30b-a3b"] > speeds["qwen3.5-4b"] > 60 / 5.4
    # 60 GB/s, 3.3 of 30.5 billion parameters in 18.6 GB, and an overhead of 30 %
    assert speeds["qwen3-30b-a3b"] == round(60 / (18.6 * 3.3 / 30.5 * 1.3))


def test_speed_depends_on_the_gpu():
    def speed(name):
        return catalogue.recommend(64 * GB, 64 * GB, gpu_name=name)[0].tokens_per_second

    names = ["Apple M2", "Apple M2 Pro", "Apple M2 Max", "NVIDIA GeForce RTX 4090", "NVIDIA H200"]
    speeds = [speed(name) for name in names]
    assert speeds == sorted(set(speeds))
    assert speed("NVIDIA A100-SXM4-80GB") > speed("NVIDIA A10") > 0


def test_reason_includes_size_device_and_strengths():
    choice = next(c for c in catalogue.recommend(8 * GB) if c.entry.name == "qwen3.5-4b")
    assert choice.reason.startswith("2.7 GB, fits in memory (8.0 GB); ")
    about = next(c for c in catalogue.recommend(8 * GB) if c.entry.approximate)
    assert about.reason.startswith("about ")


def test_small_machine_gets_no_recommendation():
    assert catalogue.recommend(GB) == []
