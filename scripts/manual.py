#!/usr/bin/env python3
"""Generate files from the code: man pages, docs/commands.md, README blocks, completion scripts, and
the keyword arguments of the Python API.

    .venv/bin/python scripts/manual.py          # writes files that differ and prints their names

A test compares the files with the output of this script.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from llmtool._version import __version__
from llmtool.cli.app import COMMANDS, app, load_command, root_command
from llmtool.cli.framework.completion import script
from llmtool.cli.framework.default_group import DefaultGroup
from llmtool.cli.framework.help import SECTIONS, help_record, section_of
from llmtool.config import Settings
from llmtool.models import catalogue
from llmtool.tasks import options

ROOT = Path(__file__).resolve().parent.parent
# The words of each README's generated tables. Missing words stay in English.
READMES: dict[str, dict[str, str]] = {
    "README.md": {},
    "README.zh-CN.md": {
        "command": "命令",
        "what it does": "作用",
        "gen": "根据提示词生成文本；标准输入和文件可作为材料",
        "run": "运行提示词模板，得到回答、结构化的值或标签",
        "prompts": "列出、查看、新建、检查、导入和测试提示词模板",
        "classify": "给文本选标签，每个标签都有分数",
        "sum": "为文件或标准输入做摘要，长度不限",
        "translate": "翻译文本或文档，代码、链接和标记保持不变",
        "code": "编写能通过语法检查的代码，以及解释、审查、修复、补全",
        "chat": "在终端或管道里与模型对话",
        "sessions": "列出、查看、搜索、导出和删除保存的对话",
        "models": "列出、查看、下载和删除模型",
        "cache": "查看和清空提示词缓存",
        "config": "查看和修改设置",
        "bench": "测量模型在本机的加载、读取和生成速度",
        "doctor": "报告安装情况、本机配置和改进建议",
        "completions": "输出 shell 补全脚本",
        "memory": "内存",
        "model": "模型",
        "file": "文件",
        "good at": "擅长",
        "about {} GB": "约 {} GB",
        "qwen3.5-0.8b": "简单分类，非常快",
        "qwen3.5-2b": "低配机器上的分类和短摘要",
        "qwen3-4b-2507": "简短回答，不带思考过程",
        "qwen3.5-4b": "同等规模中最强；长文本、代码，可开启思考",
        "gemma-4-e2b": "多语言，速度与 2B 模型相当",
        "gemma-4-e4b": "多语言、翻译",
        "gpt-oss-20b": "推理和代码；混合专家模型，速度与 4B 模型相当",
        "qwen3-30b-a3b": "本表中最强；混合专家模型，速度与 3B 模型相当",
    },
}
SHELLS = ("bash", "zsh", "fish")
WIDTH = 100


class Command(NamedTuple):
    """A command with its full name; `of` is its typer object."""

    name: str
    of: Any
    children: tuple[Command, ...] = ()

    @property
    def paragraphs(self) -> list[str]:
        return [" ".join(part.split()) for part in (self.of.help or "").split("\n\n")]

    @property
    def context(self) -> Any:
        return typer.Context(self.of, info_name=self.name, **self.of.context_settings)

    @property
    def examples(self) -> list[str]:
        lines = (self.of.epilog or "").replace("\b", "").splitlines()
        lines[0] = lines[0].removeprefix("Examples:").removeprefix("Example:")
        return [line.strip() for line in lines if line.strip()]


def all_commands() -> tuple[Command, ...]:
    """Return the root command and all commands, with their subcommands."""
    root = Command("llmtool", typer.main.get_command(app))
    return (root, *(_with_children(f"llmtool {name}", load_command(name)) for name in COMMANDS))


def _with_children(name: str, found: Any) -> Command:
    if isinstance(found, DefaultGroup):  # documented as its default command
        others = found.list_commands(typer.Context(found))
        children = {each: found.commands[each] for each in others}
        found = found.default
    else:
        children = getattr(found, "commands", {})
    return Command(name, found, tuple(Command(f"{name} {c}", of) for c, of in children.items()))


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield the path and content of every generated file."""
    commands = all_commands()
    for shell in SHELLS:
        yield ROOT / "completions" / f"llmtool.{shell}", script(shell, root_command())
    yield ROOT / "llmtool" / "tasks" / "keywords.py", keywords_module()
    yield ROOT / "docs" / "commands.md", commands_page(commands)
    for command in commands:
        page = command.name.replace(" ", "-") + ".1"
        yield ROOT / "docs" / "man" / page, man_page(command, commands)
    for name, words in READMES.items():
        path = ROOT / name
        blocks = {"commands": commands_table(words), "models": models_table(words)}
        yield path, fill(path.read_text(encoding="utf-8"), blocks)


def fill(text: str, blocks: dict[str, str]) -> str:
    """Return text with each `<!-- NAME -->`…`<!-- end -->` replaced by the block NAME."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{blocks[found[1]]}<!-- end -->"

    names = "|".join(blocks)
    return re.sub(rf"<!-- ({names}) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def commands_page(commands: tuple[Command, ...]) -> str:
    """Return docs/commands.md: the help of every command."""
    parts = [
        "# Commands\n\nThe help of every command, generated by `scripts/manual.py`. "
        "The man pages in `docs/man` have the same content.\n\n"
    ]
    names = (name for each in commands for name in (each.name, *(c.name for c in each.children)))
    parts += [f"- [{name}](#{name.replace(' ', '-')})\n" for name in names]
    for command in commands:
        parts.append(
            f"\n## {command.name}\n\n" + _console(f"{command.name} --help", _help(command))
        )
        for child in command.children:
            parts.append(f"\n### {child.name}\n\n" + _console(f"{child.name} --help", _help(child)))
    return "".join(parts)


KEYWORDS = '''\
"""Keyword arguments of the task functions, for type checkers; None means the default.

Generated by `scripts/manual.py` from `llmtool/tasks/options.py`; change the options there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from llmtool.prompts.template import Template
from llmtool.tasks.options import Strategy, Style
from llmtool.tasks.results import TestRun
'''


def keywords_module() -> str:
    """Return llmtool/tasks/keywords.py: a TypedDict for the options of each task."""
    done: dict[str, set[str]] = {"TypedDict": set()}
    parts = [KEYWORDS]

    def add(name: str, base: str, types: dict[str, str]) -> None:
        parts.append(f"\n\nclass {name}({base}, total=False):\n")
        own = {option: text for option, text in types.items() if option not in done[base]}
        for option, text in own.items():
            optional = "" if text.endswith("| None") else " | None"
            parts.append(f"    {option}: {text}{optional}\n")
        parts.append("" if own else "    pass\n")
        done[name] = set(types) | done[base]

    for kind in (
        options.SamplingOptions,
        options.GenerateOptions,
        options.ExplainOptions,
        options.ReviewOptions,
        options.CommitOptions,
        options.ChatOptions,
        options.ClassifyOptions,
        options.TranslateOptions,
        options.SummarizeOptions,
        options.CodeOptions,
        options.FixOptions,
        options.WriteTestsOptions,
        options.CompleteOptions,
    ):
        annotations = {}
        for parent in reversed(kind.__mro__):
            annotations.update(inspect.get_annotations(parent))
        types = {
            option: annotations[option].replace("'", '"')
            for option in kind.__struct_fields__
            if option != "sampling"
        }
        base = "SamplingKeywords" if "sampling" in annotations else "TypedDict"
        parents = [parent.__name__.replace("Options", "Keywords") for parent in kind.__mro__[1:]]
        base = next((parent for parent in parents if parent in done), base)
        if kind is options.GenerateOptions:  # the overloads depend on template and schema
            types = {option: types[option] for option in types if option != "schema"}
            text = {option: types[option] for option in types if option != "template"}
            add("TextKeywords", "SamplingKeywords", text)
            add(base := "TemplateKeywords", "TextKeywords", types)
            types["schema"] = annotations["schema"]
        add(kind.__name__.replace("Options", "Keywords"), base, types)
    return "".join(parts)


def commands_table(words: dict[str, str]) -> str:
    """Return the commands as rows, in the words of a README."""
    heads = [words.get(head, head) for head in ("command", "what it does")]
    rows = [f"| {heads[0]} | {heads[1]} |\n|---|---|\n"]
    for name, summary in COMMANDS.items():
        rows.append(f"| `llmtool {name}` | {words.get(name, summary.rstrip('.'))} |\n")
    return "".join(rows)


def models_table(words: dict[str, str]) -> str:
    """Return the catalogue's models as table rows, smallest first, in the language of a README."""
    heads = [words.get(head, head) for head in ("memory", "model", "file", "good at")]
    rows = [f"| {' | '.join(heads)} |\n|---|---|---|---|\n"]
    for model in sorted(catalogue.load(), key=lambda model: model.gb):
        form = words.get("about {} GB", "about {} GB") if model.approximate else "{} GB"
        good_at = words.get(model.name, model.good_at)
        size = form.format(f"{model.gb:g}")
        rows.append(f"| {_memory(model)} GB | `{model.name}` | {size} | {good_at} |\n")
    return "".join(rows)


def _memory(model: catalogue.CatalogueEntry) -> int:
    """Return the smallest usual memory size at which a model fits with 2 GB to spare."""
    for gigabytes in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128):
        if model in (choice.entry for choice in catalogue.recommend((gigabytes - 2) * 10**9)):
            return gigabytes
    raise ValueError(f"{model.name} is recommended nowhere")


def _console(command: str, output: str) -> str:
    return f"```console\n$ {command}\n{output}```\n"


def _help(command: Command) -> str:
    """Return a help text for a terminal of 100 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "llmtool", *command.name.split()[1:], "--help"],
        capture_output=True, text=True, check=True, encoding="utf-8",
        env={"COLUMNS": str(WIDTH), "PATH": "", "HOME": "/nonexistent"},
    )  # fmt: skip
    return done.stdout


# Man pages


def man_page(command: Command, commands: tuple[Command, ...]) -> str:
    """Return a man page (troff, man macros)."""
    page = command.name.replace(" ", "-")
    lines = [
        f'.TH {page.upper()} 1 "" "llmtool {__version__}" "llmtool"',
        ".SH NAME",
        f"{_troff(page)} \\- {_troff(_lower(command.paragraphs[0].rstrip('.')))}",
        ".SH SYNOPSIS",
        *_synopsis(command),
        *(line for child in command.children for line in (".br", *_synopsis(child))),
        ".SH DESCRIPTION",
        *_paragraphs(command.paragraphs),
    ]
    if command.of.name is None or command is commands[0]:
        lines += [".SH COMMANDS", *_terms(COMMANDS.items())]
    lines += _parameters(command, ".SH")
    for child in command.children:
        lines += [f'.SH "{_troff(child.name.removeprefix("llmtool ").upper())}"']
        lines += [*_paragraphs(child.paragraphs), *_parameters(child, ".SS"), *_examples(child)]
    lines += _examples(command)
    if command is commands[0]:
        lines += _root_sections(commands)
    else:
        lines += [".SH SEE ALSO", r"\fBllmtool\fR(1), for exit codes and environment variables"]
    return "\n".join(lines) + "\n"


def _root_sections(commands: tuple[Command, ...]) -> list[str]:
    fields = [name for name in Settings.__struct_fields__ if name != "aliases"]
    variables = [
        (f"LLMTOOL_{name.upper()}", f"Overrides {name} in config.toml.") for name in fields
    ] + [
        ("LLMTOOL_PROMPTS", "Template folders, searched before the configuration folder."),
        ("LLMTOOL_CONFIG_DIR, LLMTOOL_DATA_DIR, LLMTOOL_CACHE_DIR", "The folders below."),
        ("HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE", "As in huggingface_hub."),
        ("NO_COLOR, FORCE_COLOR, CLICOLOR, TERM", "Use of colours, unless --color is set."),
        ("VISUAL, EDITOR", "The editor of chat."),
    ]
    pages = [f"\\fB{each.name.replace(' ', '-')}\\fR(1)" for each in commands[1:]]
    return [
        ".SH EXIT STATUS",
        *_terms(exit_codes()),
        ".SH ENVIRONMENT",
        *_terms(variables),
        ".SH FILES",
        "\\fBllmtool doctor\\fR prints the folders: configuration (config.toml, prompts/), data",
        "(sessions, imported models) and cache (cached prompts, summary notes, Hub models).",
        ".SH SEE ALSO",
        ",\n".join(pages),
    ]


def exit_codes() -> list[tuple[str, str]]:
    """Return the rows of the table in docs/exit-codes.md."""
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    table = page.partition("| code | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    return [(code, meaning.replace("`", "")) for code, meaning in rows]


def _synopsis(command: Command) -> list[str]:
    words = command.of.collect_usage_pieces(command.context)
    return [f"\\fB{_troff(command.name)}\\fR {_troff(' '.join(words))}"]


def _parameters(command: Command, macro: str) -> list[str]:
    context = command.context
    params = command.of.get_params(context)
    lines: list[str] = []
    for section in SECTIONS:
        records = [help_record(p, context) for p in params if section_of(p) == section]
        title = section if section in ("Arguments", "Options") else f"{section} options"
        if any(records):
            lines += [f"{macro} {title.upper()}", *_terms(filter(None, records))]
    return lines


def _examples(command: Command) -> list[str]:
    return [".SH EXAMPLES" if not command.name.count(" ") > 1 else ".SS EXAMPLES", ".EX",
            *(_troff(line) for line in command.examples), ".EE"]  # fmt: skip


def _terms(pairs: Any) -> list[str]:
    return [line for term, text in pairs
            for line in (".TP", f"\\fB{_troff(term)}\\fR", _troff(text) or "\\&")]  # fmt: skip


def _paragraphs(paragraphs: list[str]) -> list[str]:
    return [line for text in paragraphs for line in (".PP", _troff(text))]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _troff(text: str) -> str:
    """Return text escaped for troff."""
    text = " ".join(text.split()) if "\n" in text else text
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("`", "\\(ga").replace("…", "\\[u2026]")
    return "\\&" + text if text.startswith((".", "'")) else text


def main() -> None:
    for path, text in outputs():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
