"""Translate texts and documents; code, links and other structure stay unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from llmtool.documents.formats import check_format
from llmtool.documents.user_patterns import check_patterns
from llmtool.errors import UsageError
from llmtool.option_names import option
from llmtool.tasks.options import TranslateOptions, generate_options
from llmtool.tasks.pipeline.collect import map_texts, raise_failures
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.prepare import Case, check_task, prepare
from llmtool.tasks.pipeline.reply_cache import ReplyCache
from llmtool.tasks.results import Translation
from llmtool.tasks.streams import Stream
from llmtool.tasks.translate.glossary import Glossary
from llmtool.tasks.translate.prompts import TranslationPrompts
from llmtool.tasks.translate.translator import Translator
from llmtool.text.languages import find_language

if TYPE_CHECKING:
    from llmtool.tasks.translate.document import TranslationText


def translate(
    context: TaskContext, text: str | Iterable[str], to: str, options: TranslateOptions
) -> Translation | Iterator[Translation] | list[Translation]:
    """Translate a text, or each of several; see `Toolbox.translate`."""

    if options.update is not None and not isinstance(text, str):
        raise UsageError(f"{option('update')} is for one document; call translate for each")

    def run(texts: Iterable[str]) -> Iterator[Translation]:
        translator = prepare_translator(context, to, options)
        name = translator.prompts.text_input
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        return raise_failures(translator.outcomes(context.engine, cases))

    return map_texts(text, run)


def stream_translate(
    context: TaskContext, text: str, to: str, options: TranslateOptions
) -> Stream[TranslationText, Translation]:
    """Translate a text as a stream of segments; see `Toolbox.stream_translate`."""
    translator = prepare_translator(context, to, options)
    case = Case(variables={translator.prompts.text_input: text})
    return Stream(raise_failures(translator.stream(context.engine, [case])), Translation)


def prepare_translator(context: TaskContext, to: str, options: TranslateOptions) -> Translator:
    """Check the options of a call and load its template, once for all its texts."""
    prepared = prepare(context, generate_options(options, template=options.template))
    check_task(prepared.template, "translate")
    terms = options.glossary
    glossary = Glossary(terms.items() if isinstance(terms, Mapping) else terms)
    return Translator(
        prompts=TranslationPrompts(prepared=prepared, to=find_language(to), glossary=glossary),
        source=None if options.source == "auto" else find_language(options.source, "source"),
        format=None if options.format == "auto" else check_format(options.format),
        dialect=options.dialect,
        bilingual=options.bilingual,
        protect=check_patterns(options.protect),
        mark=options.mark,
        update=options.update,
        strict=options.strict,
        context=options.context,
        cache=ReplyCache(context.translations, context.cache_identity),
        records=context.translated,
        load=lambda: context.engine,
        cancellation=context.cancellation,
    )
