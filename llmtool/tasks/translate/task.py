"""Translate texts and documents; what is not language stays as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, overload

from llmtool.engine.types import Failed
from llmtool.errors import UsageError
from llmtool.tasks.options import TranslateOptions, generate_options, make_options
from llmtool.tasks.pipeline.context import Tools
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.results import Translation

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from llmtool.tasks.keywords import TranslateKeywords
    from llmtool.tasks.translate.document import TranslationText
    from llmtool.tasks.translate.translator import Translator


class TranslateTask(Tools):
    """`translate` and its forms."""

    @overload
    def translate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation: ...
    @overload
    def translate(
        self, text: Iterator[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Iterator[Translation]: ...
    @overload
    def translate(
        self, text: list[str] | tuple[str, ...], to: str, **options: Unpack[TranslateKeywords]
    ) -> list[Translation]: ...
    def translate(
        self, text: str | Iterable[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation | Iterator[Translation] | list[Translation]:
        """Translate a text or a document into another language, its structure kept.

        Passages are translated together. Code, links, tags, placeholders, timings and keys stay;
        a passage that comes back without them, in another language or with a change of the
        structure is asked for once more, then sentence by sentence, and at last kept as it was
        (`Translation.kept`). A sequence gives a list; an iterator, which is read as the results
        need it, gives an iterator; both in the texts' order.

        Args:
            text: what to translate, or several.
            to: a language by its English name or code ("German", "pt-BR").
            source: the language of the text; None finds it out.
            format: "auto", "txt", "md", "html", "srt", "vtt", "po" or "json".
            glossary: terms and their translations; those that a passage has are told to the model.
            bilingual: whether each passage stays above its translation (text and subtitles).
            strict: whether a passage that stays in its language is an error.
            template: a prompt template, by name or path.
            variables: values for the template's other inputs.

        Raises:
            UsageError: a language or format is unknown; an option is wrong.
            InputError: a text is empty, or broken in its format.
            OutputValidationError: the structure was lost, or `strict` is set and a passage stayed.

        Example:
            >>> box.translate("# Hello\\n\\nRun `ls`.", "French").text      # doctest: +SKIP
            '# Bonjour\\n\\nExécutez `ls`.'
        """
        translator = self.prepare_translate(to, make_options(TranslateOptions, options))
        if isinstance(text, str):
            return next(self._translate_each(translator, [text]))
        results = self._translate_each(translator, text)
        return results if isinstance(text, Iterator) else list(results)

    def stream_translate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Generator[TranslationText | Translation, None, None]:
        """Like `translate` for one text, but yield each `TranslationText`, then the `Translation`.

        The texts of the passages, joined, are the translation's; they come in its order.
        """
        translator = self.prepare_translate(to, make_options(TranslateOptions, options))
        case = Case(variables={translator.prompts.text_input: text})
        yield from self.stream_translation(translator, case)

    def stream_translation(
        self, translator: Translator, case: Case
    ) -> Generator[TranslationText | Translation, None, None]:
        """`stream_translate` of one case, with options that `prepare_translate` has checked."""
        for event in translator.stream(self.engine, [case]):
            if isinstance(event, Failed):
                raise event.error
            yield event

    @overload
    async def atranslate(
        self, text: str, to: str, **options: Unpack[TranslateKeywords]
    ) -> Translation: ...
    @overload
    async def atranslate(
        self, text: list[str] | tuple[str, ...], to: str, **options: Unpack[TranslateKeywords]
    ) -> list[Translation]: ...
    async def atranslate(
        self,
        text: str | list[str] | tuple[str, ...],
        to: str,
        **options: Unpack[TranslateKeywords],
    ) -> Translation | list[Translation]:
        """`translate` for asyncio: runs in a thread; cancelling the task stops it."""
        texts = [text] if isinstance(text, str) else text
        found = [each async for each in self.atranslate_each(texts, to, **options)]
        return found[0] if isinstance(text, str) else found

    def atranslate_each(
        self, texts: Iterable[str], to: str, **options: Unpack[TranslateKeywords]
    ) -> AsyncIterator[Translation]:
        """`translate` of many texts for asyncio: results as they are there, in their order."""
        return self.turns.stream(
            lambda: self._translate_each(
                self.prepare_translate(to, make_options(TranslateOptions, options)), texts
            )
        )

    def prepare_translate(self, to: str, options: TranslateOptions) -> Translator:
        """Check the options of a call and load its template, once for all its texts.

        Raises:
            UsageError, TemplateError: as `translate` says.
        """
        from llmtool.tasks.translate.translator import make_translator

        return make_translator(
            self.prepare(generate_options(options, template=options.template)), to, options
        )

    def _translate_each(
        self, translator: Translator, texts: Iterable[str]
    ) -> Generator[Translation, None, None]:
        if isinstance(texts, Mapping):
            raise UsageError("texts are a sequence or an iterator")
        name = translator.prompts.text_input
        cases = (Case(id=i, variables={name: text}) for i, text in enumerate(texts))
        for outcome in translator.outcomes(self.engine, cases):
            if isinstance(outcome, Failed):
                raise outcome.error
            yield outcome
