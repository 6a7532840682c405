"""Sampling options have the same finite ranges in Python, in templates and in the command."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from llmtool.cli.options.tasks import OPTIONS
from llmtool.engine.scripted import ScriptedEngine
from llmtool.engine.types import Sampling, sampling_limits
from llmtool.errors import TemplateError, UsageError
from llmtool.prompts.template import parse_template
from llmtool.tasks.options import SamplingOptions
from llmtool.toolbox import Toolbox

TEMPLATE = "llmtool: 1\nname: x\nprompt: hi\nmodel: {params: {NAME: VALUE}}\n"
NAMES = sorted(sampling_limits().keys() - {"logprobs"})  # not an option of sampling
OUTSIDE = [
    (name, value)
    for name in NAMES
    for limits in [sampling_limits()[name]]
    for value in (limits.ge - 1, limits.le + 1)  # type: ignore[operator]
]


def test_each_number_has_a_finite_range() -> None:
    numbers = {
        name
        for name, kind in SamplingOptions.__annotations__.items()
        if "int |" in kind or "float |" in kind
    } - {"logit_bias"}
    assert numbers == set(NAMES)
    for name in NAMES:
        limits = sampling_limits()[name]
        assert limits.ge is not None and limits.le is not None
        assert math.isfinite(limits.ge) and math.isfinite(limits.le)
        default = getattr(Sampling(), name)
        assert default is None or limits.ge <= default <= limits.le


def test_number_of_replies_is_limited() -> None:
    box = Toolbox("m", engine=ScriptedEngine("Hi"))
    with pytest.raises(UsageError, match="^n=1001: must be between 1 and 1000$"):
        box.generate("hello", n=1001)


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_python_rejects_other_values(name: str, value: float) -> None:
    box = Toolbox("m", engine=ScriptedEngine("Hi"))
    limits = sampling_limits()[name]
    with pytest.raises(UsageError, match=f"must be between {limits.ge} and {limits.le}") as caught:
        box.generate("hello", **{name: value})
    assert caught.value.option == name
    for edge in (limits.ge, limits.le):
        if name not in ("max_tokens", "think_tokens"):
            assert box.generate("hello", **{name: edge}).text == "Hi"


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_a_template_rejects_them(name: str, value: float) -> None:
    with pytest.raises(TemplateError, match=f"model.params.{name}: must be"):
        parse_template(TEMPLATE.replace("NAME", name).replace("VALUE", str(value)), source="x.yaml")


@pytest.mark.parametrize(
    ("name", "value"), [each for each in OUTSIDE if each[0] in OPTIONS[SamplingOptions]]
)
def test_the_command_rejects_them(run_llmtool: Callable[..., Any], name: str, value: float) -> None:
    limits = sampling_limits()[name]
    flag = f"--{name.replace('_', '-')}"
    done = run_llmtool("gen", "hello", f"{flag}={value}")
    assert done.returncode == 2
    low, high = (
        f"{each:g}" if isinstance(each, float) else each for each in (limits.ge, limits.le)
    )
    assert f"must be between {low} and {high}".encode() in done.stderr


def test_a_bias_has_a_range_in_python_and_in_templates() -> None:
    with pytest.raises(UsageError, match="must be between -100 and 100") as caught:
        Toolbox("m", engine=ScriptedEngine("Hi")).generate("hello", logit_bias={"5": 101})
    assert caught.value.option == "logit_bias"
    with pytest.raises(TemplateError, match="logit_bias"):
        parse_template(
            TEMPLATE.replace("NAME", "logit_bias").replace("VALUE", "{'5': 101}"), source="x.yaml"
        )


def test_an_error_of_a_number_is_still_pickled_with_its_option() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(UsageError("n=0: too small", option="n")))
    assert (str(error), error.option) == ("n=0: too small", "n")
