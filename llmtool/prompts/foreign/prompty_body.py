"""The body of a prompty file: its parts by role, with variables renamed to input names."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import msgspec

from llmtool.errors import TemplateError
from llmtool.prompts.foreign.common import Names, Variable, input_type, joined, to_jinja
from llmtool.templating import Template

_ROLE = re.compile(
    r"^[ \t]*#?[ \t]*(system|user|assistant)[ \t]*(?:\[[^\]\n]*\])?[ \t]*:[ \t]*$", re.I | re.M
)
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_STATEMENT = re.compile(
    r"\{%[-+]?\s*(?:for|if|elif|else|set|block|macro|include|import|from|extends|call|filter|raw|with"
    r"|end\w+)\b"
)
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_WORD = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?<![\w.])[A-Za-z_]\w*""")
_MUSTACHE = re.compile(r"\{\{\{\s*([\w.]+)\s*\}\}\}|\{\{&?\s*([\w.]+)\s*\}\}|\{\{[#^/!>].*?\}\}")
_IMAGE = re.compile(r"!\[[^\]\n]*\]\(")
_SIMPLE = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}\s*")


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A body as keys of our format."""

    prompt: str
    system: str = ""
    prefill: str = ""
    examples: tuple[dict[str, str], ...] = ()

    def values(self) -> dict[str, Any]:
        made: dict[str, Any] = {"system": self.system} if self.system else {}
        made["prompt"] = self.prompt
        if self.prefill:
            made["prefill"] = self.prefill
        if self.examples:
            made["examples"] = list(self.examples)
        return made

    def uses_parts_of(self, name: str) -> bool:
        """Return whether the body reads elements of an input, as in `name.key` or a loop."""
        uses = rf"\b{name}\s*[.\[]|\bin\s+{name}\b"
        tags = _TAG.findall(f"{self.system}\n{self.prompt}")
        return any(re.search(uses, tag) for tag in tags)

    def type_of(self, name: str) -> str:
        """Return `text` for an input that fills whole lines, else `string`."""
        text = self.system + "\n" + self.prompt
        pieces: list[Any] = _VARIABLE.split(text)
        pieces[1::2] = map(Variable, pieces[1::2])
        return input_type(pieces, name)


def read_body(
    text: str, declared: Container[str], names: Names, notes: list[str], *, source: str
) -> Parts:
    """Split a body into its parts; each variable becomes an input.

    Raises:
        TemplateError: a part is not valid Jinja, for example if a loop spans several roles.
    """
    turns = _turns(text)
    if not turns:
        raise TemplateError(f"{source}:1: the file has no prompt after the front matter")
    for role, part in turns:
        if _IMAGE.search(part):
            notes.append(f"images in the {role} part are not supported; left as text")
    prefill = turns.pop()[1] if turns[-1][0] == "assistant" else ""
    if _TAG.search(prefill):
        raise TemplateError(
            f"{source}:1: the last assistant: part contains variables, which is not supported"
        )
    made = [(role, _renamed(part, names, notes, source)) for role, part in turns]
    system = "\n\n".join(part for role, part in made if role == "system")
    rest = [(role, part) for role, part in made if role != "system"]
    if not rest:
        return Parts(prompt=system, prefill=prefill)
    *earlier, (_, prompt) = rest
    shown = _examples(earlier, prompt)
    if earlier and not shown:
        notes.append("earlier turns were converted to text in the prompt")
        prompt = "\n\n".join(f"{role.capitalize()}: {part}" for role, part in rest)
    return Parts(prompt=prompt, system=system, prefill=prefill, examples=shown)


def _turns(text: str) -> list[tuple[str, str]]:
    """Return (role, text) of each non-empty part; text before the first role is the system's."""
    first, *others = _ROLE.split(text)
    pairs = [("system", first), *zip(others[::2], others[1::2], strict=True)]
    return [(role.lower(), part.strip()) for role, part in pairs if part.strip()]


def _examples(earlier: list[tuple[str, str]], prompt: str) -> tuple[dict[str, str], ...]:
    """Return earlier turns as examples if they differ from the last in one value only."""
    simple = _SIMPLE.fullmatch(prompt)
    roles = [role for role, _ in earlier]
    texts = [part for _, part in earlier]
    in_turn = roles == ["user", "assistant"] * (len(roles) // 2)
    if not simple or not in_turn or any(_TAG.search(part) for part in texts):
        return ()
    return tuple(
        {simple[1]: question, "output": answer}
        for question, answer in zip(texts[::2], texts[1::2], strict=True)
    )


def _renamed(part: str, names: Names, notes: list[str], source: str) -> str:
    """Return a part with its variables renamed to input names.

    If the part has no statements and is not valid Jinja, its other braces are text.
    """
    try:
        read = Template(part, name=source, chat=False).names
    except TemplateError as exc:
        reason = re.sub(r"^.*?:\d+: ", "", str(exc).removeprefix(source))
        if _STATEMENT.search(part) or reason.startswith("unknown "):
            raise TemplateError(f"{source}:1: not valid Jinja: {reason}") from exc
        notes.append(f"not valid Jinja ({reason}); only {{{{name}}}} is a variable, the rest text")
        pieces: list[Any] = _VARIABLE.split(part)
        pieces[1::2] = map(Variable, pieces[1::2])
        return to_jinja(joined(pieces), names)

    def renamed(tag: re.Match[str]) -> str:
        return _WORD.sub(lambda word: names.of(word[0]) if word[0] in read else word[0], tag[0])

    return _TAG.sub(renamed, part)


def from_mustache(text: str, notes: list[str]) -> str:
    """Convert Mustache variables to Jinja; sections become text."""
    pieces: list[Any] = []
    end = 0
    for match in _MUSTACHE.finditer(text):
        name = match[1] or match[2]
        pieces.append(text[end : match.start()])
        pieces.append(Variable(name) if name and "." not in name else match[0])
        if not name or "." in name:
            notes.append(f"{match[0]}: not supported; left as text")
        end = match.end()
    return to_jinja(joined([*pieces, text[end:]]), _Unchanged(notes))


class _Unchanged(Names):
    def of(self, original: str) -> str:
        return original
