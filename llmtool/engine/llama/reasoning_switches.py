"""Find the variables with which a chat template turns reasoning on and off."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from llmtool.engine.types import EFFORTS, Effort
from llmtool.errors import TemplateError

Render = Callable[[Mapping[str, object]], str]

_WITH_LEVELS = re.compile("effort|level|strength")
_WITH_NUMBERS = re.compile("budget|limit|tokens")
_NEGATIVE = re.compile("(?:^|_)(?:no|disable|disabled|skip|without)(?:_|$)")
_OFF = (
    "none off no_think nothink no disabled disable false chat instruct non_thinking minimal".split()
)
_ON = "on think thinking enabled enable true yes reasoning reason auto adaptive max xhigh".split()


class Switches(NamedTuple):
    """The variables to set without reasoning, and with it; `has_effect` if the prompts differ."""

    off: dict[str, object]
    on: dict[str, object]
    has_effect: bool


def find_switches(
    variables: Mapping[str, list[object]], render: Render, effort: Effort
) -> Switches:
    """Set each variable for reasoning that changes the prompt.

    A value that the template rejects or ignores is replaced by one that it compares the variable
    with.

    Args:
        variables: those for reasoning, with the constants that they are compared with.
        render: renders a conversation with variables.
    """
    off: dict[str, object] = {}
    on: dict[str, object] = {}
    rendered: dict[str, str | None] = {}

    def prompt(*settings: Mapping[str, object]) -> str | None:
        """Return the prompt with all settings, or None if the template rejects them."""
        values = {name: value for each in settings for name, value in each.items()}
        key = repr(values)
        if key not in rendered:
            try:
                rendered[key] = render(values)
            except TemplateError:
                rendered[key] = None
        return rendered[key]

    for name in sorted(variables, key=lambda name: _WITH_LEVELS.search(name) is not None):
        values_off, values_on = _values(name, variables[name], effort)
        settings_off = [{name: v} for v in values_off if prompt(off, {name: v}) is not None]
        settings_on = [{name: v} for v in values_on if prompt(on, {name: v}) is not None]
        set_off = settings_off[0] if settings_off else {}
        set_on = settings_on[0] if settings_on else {}
        for setting in settings_on:
            if setting[name] == effort or prompt(on, setting) != prompt(on, set_off):
                set_on = setting
                break
        if prompt(on, set_on) == prompt(on, set_off) != prompt(on):
            set_off = {}
        off |= set_off
        on |= set_on
    for name in variables:  # some have an effect only in combination with others
        fewer_off, fewer_on = ({k: v for k, v in each.items() if k != name} for each in (off, on))
        if prompt(fewer_off) == prompt(off) and prompt(fewer_on) == prompt(on):
            off, on = fewer_off, fewer_on
    if prompt(off) is None:  # reasoning cannot be turned off
        off = on
    return Switches(off, on, prompt(off) != prompt(on))


def _values(
    name: str, constants: list[object], effort: Effort
) -> tuple[list[object], list[object]]:
    """Return the values of a variable without reasoning and with it, the most likely first."""
    own = {each.lower(): each for each in constants if isinstance(each, str)}
    has_numbers = any(type(each) in (int, float) for each in constants)
    if not own and (has_numbers or _WITH_NUMBERS.search(name)):
        return [0], []
    at = EFFORTS.index(effort)
    nearest = sorted(EFFORTS, key=lambda each: (abs(EFFORTS.index(each) - at), each != "high"))
    off: list[object] = [own[word] for word in _OFF if word in own]
    efforts = [own[word] for word in nearest if word in own]  # the template may ignore others
    on: list[object] = [own[word] for word in _ON if word in own]
    on += [text for word, text in own.items() if word not in [*_OFF, *_ON, *EFFORTS]]
    if _WITH_LEVELS.search(name):
        return [*off, "low"], [*efforts, effort, *on]
    on = [*efforts, *on]
    negative = _NEGATIVE.search(name) is not None
    return [*off, negative], [*on, not negative]
