"""The text before and after a segment as context in its prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtool import Toolbox
from llmtool.engine.scripted import ScriptedEngine
from llmtool.tasks.options import TranslateOptions
from llmtool.tasks.pipeline.disk_cache import DiskCache
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.translate.task import prepare_translator

BILLION = 1_000_000_000
CUES = ["I have a table", "for two, in the name of Miller.", "It is near the window."]
SUBTITLES = "\n".join(
    f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{cue}\n" for i, cue in enumerate(CUES, 1)
)
PROMPT = re.compile(
    r"(?:Context, which is not to be translated: (?P<context>.*?)\n)?"
    r"Translate(?: from \w+)? to \w+: (?P<text>.*)",
    re.DOTALL,
)


def accents(text: str) -> str:
    return text.replace("a", "á").replace("e", "é")


def make_toolbox(
    reply: Callable[[str, str], str] = lambda text, context: accents(text),
    *,
    n_params: int = BILLION,
    cache: Path | None = None,
) -> Toolbox:
    """Return a toolbox that answers with a function of the text and its context."""

    def answer(prompt: str) -> str:
        found = PROMPT.search(prompt)
        assert found is not None
        return reply(found["text"], found["context"] or "")

    toolbox = Toolbox(engine=ScriptedEngine(answer, n_params=n_params), model="scripted")
    if cache is not None:
        toolbox.context.translations = DiskCache(cache)
    return toolbox


def contexts(toolbox: Toolbox) -> dict[str, str]:
    """Return the context of each requested text."""
    engine = toolbox.context.engine
    assert isinstance(engine, ScriptedEngine)
    found = [match for prompt in engine.prompts if (match := PROMPT.search(prompt))]
    return {match["text"]: match["context"] or "" for match in found}


@pytest.mark.parametrize("n_params", [BILLION, BILLION // 10])
def test_request_of_a_dry_run_is_the_first_of_the_translation(n_params: int) -> None:
    toolbox = make_toolbox(n_params=n_params)
    options = TranslateOptions(source="en", format="srt")
    translator = prepare_translator(toolbox.context, "en", options)
    request = translator.request(Case(variables={translator.prompts.text_input: SUBTITLES}))
    contents = [message.content for message in request.prompt.messages or ()]
    assert (f'next text "{CUES[1]}"' in contents[-1]) == (n_params == BILLION)


def test_prompt_has_the_text_before_and_after() -> None:
    toolbox = make_toolbox()
    result = toolbox.translate(SUBTITLES, "en", source="en", format="srt")
    assert result.untranslated == () and accents(CUES[1]) in result.text
    assert contexts(toolbox) == {
        CUES[0]: f'next text "{CUES[1]}"',
        CUES[1]: f'previous text "{CUES[0]}"; next text "{CUES[2]}"',
        CUES[2]: f'previous text "{CUES[1]}"',
    }


@pytest.mark.parametrize(
    ("n_params", "context", "is_shown"),
    [
        (BILLION, None, True),
        (BILLION - 1, None, False),
        (0, None, False),
        (0, True, True),
        (BILLION, False, False),
    ],
)
def test_size_of_the_model_decides_unless_the_option_is_set(
    n_params: int, context: bool | None, is_shown: bool
) -> None:
    toolbox = make_toolbox(n_params=n_params)
    toolbox.translate(SUBTITLES, "en", source="en", format="srt", context=context)
    assert any(contexts(toolbox).values()) == is_shown


def test_context_is_shortened_and_quoted_on_one_line() -> None:
    long = "word " * 100 + 'end "quoted"\tline'
    toolbox = make_toolbox()
    toolbox.translate(f"{long}\n\nIt is open.\n\n{long}", "en", source="en", format="txt")
    context = contexts(toolbox)["It is open."]
    previous, following = context.split("; next text ")
    assert previous.endswith('word end \\"quoted\\" line"') and "\n" not in context
    assert following.startswith('"word word ')
    assert len(previous) < 200 and len(following) < 200


def test_pieces_of_a_long_paragraph_are_each_other_s_context() -> None:
    sentences = [f"This is the sentence number {i} of a long story." for i in range(60)]
    toolbox = make_toolbox(lambda text, context: text.replace("long", "short"))
    toolbox.translate(" ".join(sentences), "en", source="en", format="txt")
    found = contexts(toolbox)
    assert len(found) > 1
    assert all("previous text" in each or "next text" in each for each in found.values())


def test_rejected_reply_is_requested_again_without_context(tmp_path: Path) -> None:
    def with_neighbours(text: str, context: str) -> str:
        return accents(f"{context} {text} {context}" if context else text)

    toolbox = make_toolbox(with_neighbours, cache=tmp_path)
    result = toolbox.translate(SUBTITLES, "en", source="en", format="srt")
    assert [line for line in result.text.split("\n") if "á" in line] == [*map(accents, CUES)]
    assert result.untranslated == () and result.n_retried == len(CUES)
    again = make_toolbox(cache=tmp_path)
    assert again.translate(SUBTITLES, "en", source="en", format="srt").n_cached == len(CUES)
    assert contexts(again) == {}


def test_other_context_is_requested_again(tmp_path: Path) -> None:
    make_toolbox(cache=tmp_path).translate(SUBTITLES, "en", source="en", format="srt")
    changed = SUBTITLES.replace(CUES[2], "The window is open.")
    again = make_toolbox(cache=tmp_path)
    assert again.translate(changed, "en", source="en", format="srt").n_cached == 1
    assert set(contexts(again)) == {CUES[1], "The window is open."}


def test_catalogs_have_only_their_own_notes() -> None:
    toolbox = make_toolbox()
    catalog = 'msgid "Open it"\nmsgstr ""\n\nmsgid "Close it"\nmsgstr ""\n'
    toolbox.translate(catalog, "en", source="en", format="po")
    assert all("previous text" not in each for each in contexts(toolbox).values())
