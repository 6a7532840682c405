"""--chat-template, --template-arg and the settings of a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import error_line

import llmtool
from llmtool.errors import TemplateError, UsageError

Run = Callable[..., Any]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{{ city }}{% if thinking %}<think>{% endif %}"
)


def out(result: Any) -> str:
    assert result.returncode == 0, result.stderr.decode()
    text: str = result.stdout.decode()
    return text


@pytest.fixture
def show(run_llmtool: Run, tiny: Path) -> Callable[..., str]:
    """Return `show(*args)`: the rendered prompt."""

    def run(*args: object) -> str:
        return out(run_llmtool("gen", "-m", tiny, "--dry-run", *args, "hi")).rstrip("\n")

    return run


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "chat.jinja"
    path.write_text(TEMPLATE)
    return path


@pytest.mark.parametrize(
    ("args", "prompt"),
    [
        ((), "<user>hi"),
        (("--template-arg", "city=Rome, Italy"), "<user>hiRome, Italy"),
        (("--template-arg", "city=[1, null]"), "<user>hi[1, None]"),
        (("--template-arg", "city="), "<user>hi"),
        (("--template-arg", "city=NaN"), "<user>hiNaN"),
        (("--template-arg", "city=a=b", "--template-arg", "city=c"), "<user>hic"),
        (("--template-arg", "thinking=true"), "<user>hi<think>"),
        (("--template-arg", "thinking=true", "--no-think"), "<user>hi<think>\n</think>"),
        (("--think", "--template-arg", "city=x"), "<user>hix<think>"),
    ],
    ids=str,
)
def test_template_and_arguments_replace_those_of_the_model(
    show: Callable[..., str], template: Path, args: tuple[str, ...], prompt: str
) -> None:
    assert show("--chat-template", template, *args) == prompt


def test_arguments_set_variables_of_the_models_own_template(
    run_llmtool: Run, tiny_model: Callable[..., Path]
) -> None:
    model = tiny_model("plain", chat_template=TEMPLATE)
    shown = run_llmtool("gen", "-m", model, "--dry-run", "--template-arg", "city=Rome", "hi")
    assert out(shown).rstrip("\n") == "<user>hiRome"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--template-arg", "x"), 2, "--template-arg x: must have the form KEY=VALUE"),
        (("--template-arg", "=x"), 2, "--template-arg =x: must have the form KEY=VALUE"),
        (
            ("--template-arg", "a-b=1"),
            2,
            "--template-arg a-b=1: 'a-b' is not a valid variable name",
        ),
        (
            ("--template-arg", "messages=[]"),
            2,
            "--template-arg messages=[]: llmtool sets 'messages'; choose another name",
        ),
        (("--chat-template", "no.jinja"), 12, "cannot read chat template 'no.jinja': "),
        (("--chat-template", "."), 12, "cannot read chat template '.': is a directory"),
        (("--chat-template", "\0"), 12, "cannot read chat template "),
        (("--chat-template", "/dev/zero"), 12, "chat template /dev/zero: larger than 1 MiB"),
        (("--template-arg", "x=" + "[" * 200 + "]" * 200), 2, "template arguments: "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_invalid_template_options_are_errors(
    run_llmtool: Run, tiny: Path, args: tuple[str, ...], code: int, message: str
) -> None:
    line = error_line(run_llmtool("gen", "-m", tiny, "--dry-run", *args, "hi"), code)
    assert line.startswith(f"llmtool: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n{% if %}", ":2: Expected an expression"),
        (b"caf\xe9", ": not UTF-8 at byte 3"),
        (b"no messages", " drops the user message; use another model, or another template"),
        (b"{% for m in messages %}", ":1: Unexpected end of template"),
        (b"", " drops the user message"),
    ],
    ids=["syntax", "encoding", "lost prompt", "open loop", "empty"],
)
def test_invalid_template_file_is_an_error(
    run_llmtool: Run, tiny: Path, template: Path, content: bytes, message: str
) -> None:
    template.write_bytes(content)
    args = ("-m", tiny, "--chat-template", template, "hi")
    line = error_line(run_llmtool("gen", "--dry-run", *args), 12)
    assert f"{template}{message}" in line


def test_settings_of_a_model_apply_to_all_its_names(
    run_llmtool: Run, show: Callable[..., str], tiny: Path, template: Path
) -> None:
    out(run_llmtool("config", "set", "aliases.small", str(tiny)))
    for name in ("small", str(tiny)):
        out(run_llmtool("config", "set", f"models.{name}.chat_template", str(template)))
        out(run_llmtool("config", "set", f"models.{name}.template_args.city", '"Rome"'))
    for name in ("small", tiny):
        assert show("-m", name) == "<user>hiRome"
    assert show("--template-arg", "city=Oslo") == "<user>hiOslo"
    settings = json.loads(out(run_llmtool("config", "show", "--json")))
    assert settings["models"]["small"]["template_args"] == {"city": "Rome"}
    assert "models.small.template_args.city" in out(run_llmtool("config", "show"))
    out(run_llmtool("config", "unset", f"models.{tiny}.chat_template"))
    assert "<user>" not in show()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("models", "x", "unknown key 'models'; valid keys: "),
        ("models.x", "y", "unknown key 'models.x'; valid keys: "),
        ("models.x.template", "y", "unknown key 'models.x.template'; valid keys: "),
        ("models.x.chat_template", "none.jinja", "cannot read chat template 'none.jinja': "),
        ("models.x.template_args.a b", "1", "--template-arg a b=1: 'a b' is not a valid "),
    ],
)
def test_invalid_setting_of_a_model_is_an_error(
    run_llmtool: Run, key: str, value: str, message: str
) -> None:
    result = run_llmtool("config", "set", key, value)
    assert result.stderr.decode().startswith(f"llmtool: {message}")
    assert result.returncode in (2, 12)


def test_template_options_in_python(tiny: Path, template: Path) -> None:
    arguments = {"city": "Rome"}
    with llmtool.Toolbox(tiny, chat_template=template, template_args=arguments) as box:
        reply = box.generate("hi", max_tokens=1)
        assert reply.usage.prompt_tokens < 20
    with llmtool.Toolbox(tiny, template_args={"messages": []}) as box:
        with pytest.raises(UsageError, match="llmtool sets 'messages'"):
            box.generate("hi")
    with llmtool.Toolbox(tiny, template_args={"x": {1, 2}}) as box:
        with pytest.raises(UsageError, match="plain data, not set"):
            box.generate("hi")
    with llmtool.Toolbox(tiny, chat_template="no.jinja") as box:
        with pytest.raises(TemplateError, match="cannot read chat template"):
            box.generate("hi")


DEFAULTS = """{%- set thinking = thinking if thinking is defined else true -%}
{%- if not date is defined %}{% set date = "today" %}{% endif -%}
{%- macro show(text) %}{{ text }}{{ suffix }}{% endmacro -%}
{{ bos_token }}{% for message in messages %}{{ message.content }}{{ show(date) }}{% endfor %}
{%- if add_generation_prompt and thinking %}<think>{% endif %}"""


def test_unread_template_argument_is_reported(
    run_llmtool: Run, tiny: Path, template: Path, tmp_path: Path
) -> None:
    def note(*args: object) -> str:
        result = run_llmtool("gen", "-m", tiny, "--dry-run", *args, "hi")
        assert result.returncode == 0
        *notes, _ = result.stderr.decode().splitlines() or [""]
        return "\n".join(notes)

    use = "--chat-template", template
    read = f"no effect: {template} reads city, thinking"
    assert note(*use, "--template-arg", "cty=1") == f"llmtool: template argument 'cty' has {read}"
    unread = "--template-arg", "cty=1", "--template-arg", "city=1", "--template-arg", "message=1"
    assert f"arguments 'cty', 'message' have {read}" in note(*use, *unread)
    assert note("-q", *use, *unread) == ""
    defaults = tmp_path / "defaults.jinja"
    defaults.write_text(DEFAULTS)
    for name in ("thinking", "date", "suffix", "bos_token_id"):
        found = note("--chat-template", defaults, "--template-arg", f"{name}=1")
        assert found == "" or (name == "bos_token_id" and "reads date, suffix, thinking" in found)
    defaults.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    assert "has no variables to set" in note("--chat-template", defaults, "--template-arg", "x=1")


def test_unread_template_argument_is_a_warning_in_python(tiny: Path, template: Path) -> None:
    arguments = {"city": "Rome", "cty": 1}
    with llmtool.Toolbox(tiny, chat_template=template, template_args=arguments) as box:
        with pytest.warns(UserWarning, match="'cty' has no effect: .* reads city, "):
            box.generate("hi", max_tokens=1)


def test_other_template_resumes_no_batch(run_llmtool: Run, tiny: Path, template: Path) -> None:
    args = ("gen", "-m", tiny, "--each", "line", "--max-tokens", "1", "-o", "out.csv")
    out(run_llmtool(*args, input=b"a\nb\n"))
    changed = run_llmtool(*args, "--resume", "--chat-template", template, input=b"a\nb\n")
    assert changed.returncode != 0


@pytest.mark.parametrize(
    ("args", "effort"),
    [((), "high"), (("--no-think",), "low"), (("--think",), "medium")],
    ids=["template", "off", "on"],
)
def test_effort_of_a_prompt_template_is_the_default(
    run_llmtool: Run, tiny_model: Callable[..., Path], cwd: Path, args: tuple[str], effort: str
) -> None:
    prompt = "llmtool: 1\nname: t\nprompt: hi\nmodel: {params: {thinking: high}}\n"
    (cwd / "t.yaml").write_text(prompt)
    model = tiny_model("plain", chat_template="{{ messages[0].content }}({{ reasoning_effort }})")
    shown = out(run_llmtool("run", "./t.yaml", "-m", model, "--dry-run", *args))
    assert shown == f"hi({effort})\n"


@pytest.mark.parametrize(
    "command", [("sum",), ("translate", "--to", "fr"), ("code",), ("chat",)], ids=str
)
def test_commands_report_a_reasoning_option_without_effect(
    run_llmtool: Run, tiny_model: Callable[..., Path], command: tuple[str, ...]
) -> None:
    model = tiny_model("plain", chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")
    args = ("-m", model, "--max-tokens", "3")
    text = b"The river rose during the night."
    note = " has no effect: this model's chat template has no reasoning variable"
    for option in ("--no-think", "--think"):
        stderr = run_llmtool(*command, *args, option, input=text).stderr.decode()
        assert f"{option}{note}" in stderr
