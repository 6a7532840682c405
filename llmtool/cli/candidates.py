"""Values for shell completion: `llmtool __complete KIND PREFIX [WORD...]`.

The completion scripts call it, so it runs before Typer and the commands are imported. Most kinds
do not import msgspec either, which takes as long as the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from llmtool.folders import Folders, find_folders

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LABEL_OPTIONS = ("-l", "--label")
_TEMPLATE_OPTIONS = ("-t", "--template")


class Candidate(NamedTuple):
    """A value that completes a word, and its description."""

    value: str
    description: str = ""


def main(arguments: Sequence[str]) -> None:
    """Write the candidates for a kind of `KINDS`, the beginning of the value, and the words typed.

    Each line has a value, and after a tab its description. Errors, such as invalid settings, give
    no candidates: a message would break the line that the user is typing.
    """
    kind, prefix, *words = arguments
    with contextlib.suppress(Exception):
        lines = "".join(
            f"{value}\t{description}\n" if description else f"{value}\n"
            for value, description in find(kind, prefix, words)
        )
        os.write(1, lines.encode("utf-8", "surrogateescape"))


def find(kind: str, prefix: str, words: Sequence[str]) -> list[Candidate]:
    """Return the candidates of a kind that begin with `prefix` in any case.

    `words` are those of the command line; the last one is being completed.
    """
    found = KINDS[kind](find_folders(os.environ), words)
    return [
        each
        for each in dict.fromkeys(found)
        if each.value.lower().startswith(prefix.lower()) and not _CONTROL.search("".join(each))
    ]


def _models(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Yield aliases, installed models and servers."""
    from llmtool import config
    from llmtool.models import installed, registry
    from llmtool.models.layout import Layout
    from llmtool.sizes import format_bytes

    layout = Layout(data=folders.data, hub_cache=folders.hub_cache)
    known = registry.load(layout.registry_file)
    settings = config.load_settings(os.environ, folders.config_file)
    aliases = {**known.aliases, **settings.aliases}
    for name, model in sorted(aliases.items()):
        yield Candidate(name, model)
    for each in installed.list_models(layout, known):
        yield Candidate(each.name, format_bytes(each.size_bytes))
    for name, endpoint in sorted(settings.endpoints.items()):
        yield Candidate(f"{name}:", endpoint.base_url)
    typed = words[-1].partition("=")[2] or words[-1] if words else ""
    name, colon, _ = typed.partition(":")
    if colon and name in settings.endpoints:
        from llmtool.engine.openai.known_models import load_names

        for model in load_names(folders.cache, name):
            yield Candidate(f"{name}:{model}")


def _endpoints(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Yield OpenAI and the servers of the settings."""
    from llmtool import config

    yield Candidate("openai:")
    settings = config.load_settings(os.environ, folders.config_file)
    for name, endpoint in sorted(settings.endpoints.items()):
        yield Candidate(f"{name}:", endpoint.base_url)


def _endpoint_names(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    return (each._replace(value=each.value[:-1]) for each in _endpoints(folders, words))


def _recommended(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    from llmtool.models import catalogue

    for entry in catalogue.load():
        yield Candidate(entry.name, entry.good_at)


def _templates(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    from llmtool.prompts.library import Library

    return map(Candidate, Library(folders.prompt_folders).names())


def _label_templates(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Yield the templates that have labels."""
    from llmtool.prompts.library import Library, read_text

    library = Library(folders.prompt_folders)
    for name in library.names():
        with contextlib.suppress(Exception):  # an invalid template
            if re.search("labels|extends", read_text(library.find(name))):  # others are not parsed
                output: Any = library.read(name).value["output"]
                if output["labels"]:
                    yield Candidate(name)


def _sessions(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    from llmtool.sessions.names import list_names

    return map(Candidate, list_names(folders.data / "sessions"))


def _settings(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    from llmtool import config

    return map(Candidate, config.setting_names())


def _setting_or_value(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Return the values of the setting in the words of `config set`, else the names of settings."""
    from llmtool import config

    arguments = [word for word in words[3:] if not word.startswith("-")]
    if len(arguments) < 2:
        return _settings(folders, words)
    if arguments[0] == "model" or arguments[0].startswith("aliases."):
        return [*_models(folders, words), *_recommended(folders, words)]
    return map(Candidate, config.setting_values(arguments[0]))


def _languages(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Yield the names and codes of natural languages."""
    from llmtool.text.languages import NAMES

    for code, name in NAMES.items():
        yield Candidate(name, code)
        yield Candidate(code, name)


def _programming_languages(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    from llmtool.text.code_languages import NAMES

    return map(Candidate, sorted(set(NAMES.values())))


def _labels(folders: Folders, words: Sequence[str]) -> Iterable[Candidate]:
    """Yield the labels of the command line: those of -l, else those of the template."""
    from llmtool.prompts.library import Library

    given = ",".join(_values(words, _LABEL_OPTIONS))
    if given:
        names = [name.partition("=")[0].strip() for name in re.split("[,，、]", given)]
        return map(Candidate, filter(None, names))
    library = Library(folders.prompt_folders)
    for template in _values(words, _TEMPLATE_OPTIONS)[-1:]:
        output: Any = library.read(template).value["output"]  # `load` would import Jinja
        labels = output["labels"]
        descriptions = labels if isinstance(labels, dict) else {}
        return [Candidate(name, descriptions.get(name) or "") for name in labels]
    return ()


def _values(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the values of an option in the words of a command line, without quotes around them."""
    found = [word for option, word in zip(words, words[1:], strict=False) if option in options]
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option in options:
            found.append(value)
    return [value.strip("\"'") for value in found]


KINDS: dict[str, Callable[[Folders, Sequence[str]], Iterable[Candidate]]] = {
    "models": _models,
    "endpoints": _endpoints,
    "endpoint-names": _endpoint_names,
    "recommended": _recommended,
    "templates": _templates,
    "label-templates": _label_templates,
    "sessions": _sessions,
    "settings": _settings,
    "settings-and-values": _setting_or_value,
    "languages": _languages,
    "programming-languages": _programming_languages,
    "labels": _labels,
}
