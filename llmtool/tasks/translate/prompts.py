"""Build the requests of a translation, and check the replies to them."""

from __future__ import annotations

import msgspec

from llmtool.engine.types import Prompt, Request
from llmtool.structured.constraint import Constraint
from llmtool.tasks.pipeline.prepare import Case, PreparedTask, limit_answer, with_sampling
from llmtool.tasks.pipeline.workflow import StepReply
from llmtool.tasks.translate import checks
from llmtool.tasks.translate.glossary import Glossary
from llmtool.tasks.translate.segment import SegmentJob
from llmtool.text.languages import Language, detect_language

# Token limit of a reply: four to six times the usual size of English text, because some scripts
# take several tokens per letter.
_TOKENS_PER_BYTE, _EXTRA_TOKENS = 1.25, 48
_RETRY_TEMPERATURE = 0.3  # greedy sampling would repeat the reply
_FALLBACK_LANGUAGE = "en"  # for chat templates that need the name of the source language


class TranslationPrompts(msgspec.Struct, frozen=True, kw_only=True):
    """The template of one `translate` call, with its target language and glossary."""

    prepared: PreparedTask
    to: Language
    glossary: Glossary

    @property
    def text_input(self) -> str:
        """The name of the template input for the text."""
        return self.prepared.template.primary_input() or "text"

    def request(
        self,
        job: SegmentJob,
        *,
        source: Language | None,
        is_retry: bool = False,
        has_context: bool = True,
    ) -> Request:
        """Return the request for a segment; a retry is constrained to placeholders and lines."""
        text, inputs = job.placeholders.text, self.prepared.template.inputs
        known = {
            "to": self.to.name,
            "to_code": self.to.code,
            "source": source.name if source else "",
            "source_code": source.code if source else "",
            "placeholders": job.placeholders.all,
            "notes": [*job.notes, *(job.context if has_context else ())],
            "terms": [f"{term} = {word}" for term, word in self.glossary.terms_in(text)],
        }
        variables = {name: value for name, value in known.items() if name in inputs and value}
        request = self.prepared.request(Case(variables={self.text_input: text, **variables}))
        if request.sampling.max_tokens is None:
            max_tokens = int(len(text.encode()) * _TOKENS_PER_BYTE) + _EXTRA_TOKENS
            request = limit_answer(request, max_tokens)
        if is_retry:
            request = with_sampling(
                request,
                constraint=Constraint("regex", job.placeholders.expression()),
                temperature=request.sampling.temperature or _RETRY_TEMPERATURE,
                seed=request.sampling.seed or 0,
            )
        code = source.code if source else detect_language(text) or _FALLBACK_LANGUAGE
        prompt = msgspec.structs.replace(request.prompt, languages=(code, self.to.code))
        return msgspec.structs.replace(request, prompt=prompt)

    def check(
        self, job: SegmentJob, prompt: Prompt, reply: StepReply, *, has_context: bool
    ) -> tuple[str, str | None]:
        """Return the stripped text of a reply, and what is wrong with it, or None."""
        text = checks.tidy(job.placeholders.text, reply.text)
        fault = checks.find_fault(
            job.placeholders,
            text,
            finish_reason=reply.finish_reason,
            instruction=_instruction(prompt, job.placeholders.text),
            to=self.to,
            source_language=prompt.languages[0] if prompt.languages else None,
            has_context=has_context,
        )
        return text, fault


def _instruction(prompt: Prompt, text: str) -> str:
    """Return a prompt without the text to translate."""
    content = prompt.text or (prompt.messages[-1].content if prompt.messages else "")
    return content.replace(text, "\n")
