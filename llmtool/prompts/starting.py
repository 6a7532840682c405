"""The text of a new template: a commented working example for each task."""

from __future__ import annotations

from llmtool.prompts.library import built_in_folder
from llmtool.prompts.template import Template
from llmtool.prompts.writing import to_yaml

_HEAD = """\
{modeline}llmtool: 1
name: {name}
description: {description}  # one sentence, for `llmtool prompts ls`
task: {task}
"""

_TEXT = """\
inputs:
  text: {type: text, required: true, description: Text to work on.}
"""

_BODIES = {
    "gen": """\
inputs:  # types: text, string, int, float, bool, enum, list, file, lang
  text: {type: text, required: true, description: Text to work on.}
  tone: {type: enum, enum: [friendly, formal], default: friendly}
# system: You are a careful editor.
prompt: |  # Jinja; values are never evaluated. Put the text to work on last.
  Answer this letter in two sentences. Be {{ tone }}.

  Letter:
  {{ text }}
# output: {json: {type: object, properties: {reply: {type: string}}, required: [reply]}}
model:
  params: {temperature: 0.7, max_tokens: 200}
# variants:
#   "qwen*": {system: "/no_think"}  # changes for models with matching names
tests:  # `llmtool prompts test` runs them
  - vars: {text: "When do you open on Sundays?"}
    assert: [{type: contains, value: Sunday}]
""",
    "sum": _TEXT
    + """\
  words: {type: int, default: 50, description: Approximate length in words.}
prompt: |  # Jinja; values are never evaluated. Put the text to work on last.
  Summarize the text below in about {{ words }} words.

  Text:
  {{ text }}
model:
  params: {temperature: 0, max_tokens: 300}
tests:  # `llmtool prompts test` runs them
  - vars: {text: "The bridge is closed from Monday to Friday. Buses take the old road."}
    assert: [{type: max-tokens, value: 100}]
""",
    "classify": _TEXT
    + """\
prompt: |  # Jinja; values are never evaluated
  Message: {{ text }}
prefill: "Topic:"  # start of every reply
form: completion  # plain text to continue; chat sends messages
output:
  labels: {billing: "invoices, refunds", bug: "something is broken", other: "anything else"}
examples:  # at least one for each label
  - {text: "I was charged twice.", output: billing}
  - {text: "The page stays white.", output: bug}
  - {text: "Thank you for your help!", output: other}
tests:  # `llmtool prompts test` runs them
  - vars: {text: "Please refund my last invoice."}
    assert: [{type: label, value: billing}]
""",
    "translate": _TEXT
    + """\
  to: {type: lang, default: English, description: The language to translate to.}
prompt: |  # Jinja; values are never evaluated. Put the text to work on last.
  Translate the text below to {{ to }}. Reply with the translation only.

  Text:
  {{ text }}
model:
  params: {temperature: 0, max_tokens: 400}
tests:  # `llmtool prompts test` runs them
  - vars: {text: "Guten Morgen!"}
    assert: [{type: contains, value: orning}]
""",
    "code": """\
inputs:
  text: {type: text, required: true, description: What the code should do.}
  language: {type: string, default: Python}
prompt: |  # Jinja; values are never evaluated. Put the text to work on last.
  Write {{ language }} for this task. Reply with the code only.

  Task:
  {{ text }}
output: code
model:
  params: {temperature: 0, max_tokens: 400}
tests:  # `llmtool prompts test` runs them
  - vars: {text: "Add two numbers."}
    assert: [{type: contains, value: "+"}]
""",
    "chat": """\
inputs:
  text: {type: text, required: true, description: The first message.}
system: You are a patient teacher. Answer in short sentences.
prompt: |  # Jinja; values are never evaluated
  {{ text }}
model:
  params: {temperature: 0.7, max_tokens: 300}
tests:  # `llmtool prompts test` runs them
  - vars: {text: "Why is the sky blue?"}
    assert: [{type: contains, value: light}]
""",
}

_CHILD = """\
# Mappings are merged with those of {parent}, strings and lists replace them, and examples+ and
# tests+ are appended to its lists. Its inputs: {inputs}.
#
# system: …
# prompt: |
{prompt}
"""


def starting_text(name: str, *, task: str = "gen", parent: Template | None = None) -> str:
    """Return the text of a new template that is valid and ready to run.

    With a `parent`, the new template extends it without changes.

    Example:
        >>> print(starting_text("letter").partition("task")[0].partition("llmtool")[2])
        : 1
        name: letter
        description: TODO  # one sentence, for `llmtool prompts ls`
        <BLANKLINE>
    """
    if parent is None:
        head = _HEAD.format(modeline=_modeline(), name=name, description="TODO", task=task)
        return head + _BODIES[task]
    about = {"llmtool": 1, "name": name, "description": parent.description, "extends": parent.name}
    inputs = ", ".join(f"{key} ({spec.type})" for key, spec in parent.inputs.items()) or "none"
    lines = (f"#   {line}".rstrip() for line in parent.prompt.text.splitlines())
    comment = _CHILD.format(parent=parent.name, inputs=inputs, prompt="\n".join(lines))
    return _modeline() + to_yaml(about) + comment


def _modeline() -> str:
    """Return the comment that points editors to the schema, empty if the schema is missing."""
    path = built_in_folder() / "schema.json"
    return f"# yaml-language-server: $schema={path.as_uri()}\n" if path.is_file() else ""
