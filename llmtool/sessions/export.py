"""Export a session as Markdown, JSON or HTML."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import msgspec

from llmtool.documents.markdown import rendering as markdown
from llmtool.errors import UsageError
from llmtool.sessions.types import Session, Turn

FORMATS = ("md", "json", "html")
_SUFFIXES = {"md": "md", "markdown": "md", "json": "json", "html": "html", "htm": "html"}
_NO_REPLY = "(no reply)"
INCOMPLETE = {
    "interrupted": "(interrupted)",
    "length": "(truncated at the token limit)",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #666; --line: #ddd; --paper: #fff;
  --asked: #f3f5f8; --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --faint: #999; --line: #3a3a3a;
  --paper: #1b1b1b; --asked: #26292e; --link: #8ab8f0; } }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } a { color: var(--link); }
dl { color: var(--faint); display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dd { margin: 0; } .words { white-space: pre-wrap; }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; }
.asked { background: var(--asked); border-radius: .5rem; padding: .6rem 1rem; margin: 1rem 0; }
.facts, summary { color: var(--faint); font-size: .85rem; }
pre { overflow-x: auto; padding: .6rem .8rem; border: 1px solid var(--line); border-radius: .4rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; } th, td { border: 1px solid var(--line); padding: .2rem .6rem; }
blockquote { margin-left: 0; padding-left: 1rem; border-left: 3px solid var(--line); }
"""


def export(session: Session, format: str) -> str:
    """Return a session in a format: md, json or html.

    Raises:
        UsageError: the format is unknown.

    Example:
        >>> from llmtool.sessions.types import Session
        >>> export(Session(name="work"), "md")
        '# work\\n'
    """
    writers = {"md": to_markdown, "json": to_json, "html": to_html}
    if format not in writers:
        raise UsageError(f"unknown format {format!r}; choose from {', '.join(FORMATS)}")
    return writers[format](session)


def find_format(file_name: str) -> str | None:
    """Return the format for the extension of a file name, or None.

    Example:
        >>> find_format("talk.HTM"), find_format("talk")
        ('html', None)
    """
    return _SUFFIXES.get(file_name.rpartition(".")[2].lower()) if "." in file_name else None


def to_json(session: Session) -> str:
    """Return all fields of a session as one JSON document."""
    return msgspec.json.format(msgspec.json.encode(to_dict(session)), indent=2).decode() + "\n"


def to_dict(session: Session) -> dict[str, Any]:
    """Return all fields of a session as built-in types."""
    turns = [turn.to_dict() for turn in session.turns]
    return {**msgspec.to_builtins(session), "turns": turns}


def to_markdown(session: Session) -> str:
    """Return a session as Markdown: messages as quotes, replies unchanged, files in code blocks.

    Code blocks that a reply leaves open are closed.
    """
    parts = [f"# {_plain(session.name)}"]
    facts = [f"- {name}: {_plain(value)}" for name, value in _facts(session)]
    parts += ["\n".join(facts)] if facts else []
    for name, text in (("System prompt", session.system), ("Summary", session.summary)):
        parts += [f"## {name}", _quote(text)] if text else []
    for number, turn in enumerate(session.turns, 1):
        parts += [f"## Turn {number}", _quote(turn.user)]
        parts += [
            f"File {_plain(each.name)}:\n\n{markdown.fence(each.text)}" for each in turn.files
        ]
        parts += ["Reasoning:", _quote(turn.reasoning)] if turn.reasoning.strip() else []
        parts += [markdown.close_blocks(turn.text)] if turn.text.strip() else [_NO_REPLY]
        parts += [f"*{each}*" for each in _end(turn)]
    return "\n\n".join(parts) + "\n"


def to_html(session: Session) -> str:
    """Return a session as one self-contained HTML page without scripts or external resources.

    Replies are rendered from Markdown; all other text is shown verbatim.
    """
    title = escape(session.name)
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(session)
    )
    parts = [f"<h1>{title}</h1>", f"<dl>{facts}</dl>" if facts else ""]
    for name, text in (("System prompt", session.system), ("Summary", session.summary)):
        parts += [f'<h2>{name}</h2><div class="words">{escape(text)}</div>'] if text else []
    for number, turn in enumerate(session.turns, 1):
        parts += [f'<section id="turn-{number}">', *_turn_as_html(turn), "</section>"]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def _turn_as_html(turn: Turn) -> list[str]:
    parts = [f'<div class="asked words">{escape(turn.user)}</div>']
    folded = [(each.name, each.text) for each in turn.files]
    folded += [("Reasoning", turn.reasoning)] if turn.reasoning.strip() else []
    parts += [
        f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        for name, text in folded
    ]
    shown = markdown.to_html(turn.text) if turn.text.strip() else f"<p>{_NO_REPLY}</p>"
    parts.append(f'<div class="reply">\n{shown}</div>')
    facts = [*_end(turn), *filter(None, (turn.model, turn.created_at))]
    return [*parts, f'<p class="facts">{escape(" · ".join(facts))}</p>' if facts else ""]


def _facts(session: Session) -> list[tuple[str, str]]:
    """Return the metadata of a session that is set."""
    facts = [
        ("started", session.created_at),
        ("model", session.model or ""),
        ("template", session.template or ""),
        ("folder", session.folder),
        ("options", ", ".join(f"{name} {value}" for name, value in session.options.items())),
    ]
    return [(name, value) for name, value in facts if value]


def _end(turn: Turn) -> list[str]:
    """Return a note if the reply is incomplete."""
    return [INCOMPLETE[turn.finish_reason]] if turn.finish_reason in INCOMPLETE else []


def _plain(text: str) -> str:
    """Return text on one line, with Markdown and HTML syntax escaped."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", " ".join(text.split()))


def _quote(text: str) -> str:
    """Return text as a block quote; nothing in the text can end it."""
    return "\n".join(f"> {line}".rstrip() for line in re.split(r"\r\n|\r|\n", text))
