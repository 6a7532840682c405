"""Reply to the turns of a session."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmtool.engine.types import Message, Prompt, Token, common_prefix_length
from llmtool.errors import InputError, OutputValidationError, UsageError
from llmtool.sessions.store import timestamp
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.tasks.chat import token_usage
from llmtool.tasks.chat.messages import to_messages
from llmtool.tasks.options import GenerateOptions, SamplingOptions, make_options
from llmtool.tasks.pipeline.collect import raise_failures, stream_outcomes
from llmtool.tasks.pipeline.prepare import Case, bind_inputs, check_task, prepare
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from llmtool.tasks.pipeline.context import TaskContext

TEMPLATE = "chat"


class Responder:
    """Replies to the turns of a session with the session's template and options.

    `head` has the messages before the first turn: the system prompt and the template's examples.

    Raises:
        UsageError: an option is unknown or out of range, or the template is for completion.
        TemplateError: the template is not found, or invalid.
    """

    def __init__(self, context: TaskContext, session: Session) -> None:
        self.context = context
        self._has_replied = False
        fixed = {"template": session.template or TEMPLATE, "system": session.system}
        options = make_options(GenerateOptions, {**session.options, **fixed})
        self._prepared = prepare(context, options)
        check_task(self._prepared.template, "chat")
        if self._prepared.template.form == "completion":
            name = self._prepared.template.name
            raise UsageError(f"template {name!r} has form completion; a chat needs form chat")
        self.head = self._render("x")[:-1]

    def _render(self, text: str) -> tuple[Message, ...]:
        prepared = self._prepared
        given = frozenset(prepared.options.variables)
        case = bind_inputs(prepared.template, prompt=text, input=None, given=given)
        return prepared.request(case).prompt.messages

    def with_session(self, session: Session) -> Responder:
        """Return a responder with the template and options of another session."""
        made = Responder(self.context, session)
        made._has_replied = self._has_replied
        return made

    def new_turn(self, text: str, files: tuple[Attachment, ...]) -> Turn:
        """Return a turn without a reply, with its text rendered by the template.

        Raises:
            InputError: there is neither text nor a file.
        """
        if not text.strip() and not files:
            raise InputError("the message is empty")
        sent = self._render(text)[-1].content if text.strip() else ""
        return Turn(user=text, sent="" if sent == text else sent, files=files)

    @property
    def seed(self) -> int | None:
        """The fixed seed of the replies, None if each has another."""
        return self._prepared.sampling.seed

    @property
    def reply_tokens(self) -> int:
        """The number of tokens to reserve for a reply."""
        n_ctx = self.context.engine.info.n_ctx
        sampling = self._prepared.sampling
        n_think = sampling.think_tokens or 0
        return n_think + token_usage.reply_tokens(n_ctx, sampling.max_tokens)

    def effective_options(self, session: Session) -> dict[str, tuple[Any, str]]:
        """Return the value of each option, and its source: session, config, template or default."""
        settings = self.context.settings
        sources = {
            "session": session.options,
            "config": {
                name: value
                for name in ("max_tokens", "temperature")
                if (value := getattr(settings, name)) is not None
            },
            "template": self._prepared.template.params,
        }
        found = {}
        for name in (*SamplingOptions.__struct_fields__, "thinking"):
            source = next((key for key, values in sources.items() if name in values), "default")
            default = getattr(self._prepared.sampling, name, None)
            found[name] = (sources[source][name] if source != "default" else default, source)
        return found

    def stream(
        self, session: Session, *, seed: int | None = None
    ) -> Generator[Token | Turn, None, None]:
        """Reply to the last turn of a session; yield each token, then the turn.

        The session must fit the context.

        Raises:
            LlmtoolError: the engine failed; `Cancelled` if a stop was requested.
        """
        engine = self.context.engine
        messages = to_messages(session, self.head)
        request = self._prepared.request(Case(prompt="x", seed=seed))
        n_fixed = None if self._has_replied else self._count_fixed(messages[:-1])
        prompt = msgspec.structs.replace(
            request.prompt, messages=messages, probe=(), n_fixed=n_fixed
        )
        n_free = engine.info.n_ctx - len(engine.tokenize(prompt).token_ids)
        n_free -= request.sampling.think_tokens or 0
        max_tokens = request.sampling.max_tokens or max(1, min(token_usage.DEFAULT_REPLY, n_free))
        sampling = msgspec.structs.replace(request.sampling, max_tokens=max_tokens)
        request = msgspec.structs.replace(request, prompt=prompt, sampling=sampling, n=1, keep=True)
        turn = session.turns[-1]
        try:
            model, output_spec = self._prepared.model, self._prepared.output_spec
            outcomes = stream_outcomes(engine, [request], model=model, output_spec=output_spec)
            events: Generator[Token | Generation, None, None] = raise_failures(outcomes)
            for event in events:
                yield _with_reply(turn, event) if isinstance(event, Generation) else event
        except OutputValidationError as exc:  # a chat accepts invalid replies
            if not isinstance(exc.result, Generation):
                raise
            yield _with_reply(turn, exc.result)
        self._has_replied = True

    def save_state(self, session: Session) -> None:
        """Save the model's state after a session's last turn to disk, unless it has not replied.

        Raises:
            Cancelled: a stop was requested.
        """
        if not self._has_replied or not session.turns:
            return
        messages = to_messages(session, self.head)
        before = messages[:-1] if messages[-1].role == "user" else messages
        prompt = Prompt(
            messages=(*before, token_usage.PLACEHOLDER),
            n_fixed=self._count_fixed(before),
            adapters=self._prepared.template.lora or None,
        )
        self.context.engine.save_state(prompt)

    def _count_fixed(self, before: Sequence[Message]) -> int:
        """Return how many prompt tokens do not depend on the user message after `before`."""
        engine = self.context.engine
        prompts = [Prompt(messages=(*before, Message("user", text))) for text in ("x", ":")]
        return common_prefix_length([engine.tokenize(prompt).token_ids for prompt in prompts])


def _with_reply(turn: Turn, result: Generation) -> Turn:
    choice = result.choices[0]
    return msgspec.structs.replace(
        turn,
        text=choice.text,
        reasoning=choice.reasoning or "",
        finish_reason=choice.finish_reason,
        model=result.model,
        seed=choice.seed,
        prompt_tokens=result.usage.prompt_tokens,
        cached_tokens=result.usage.cached_tokens,
        completion_tokens=result.usage.completion_tokens,
        seconds=round(result.seconds, 3),
        decode_seconds=round(result.timing.decode, 3),
        created_at=timestamp(),
    )


def with_partial_reply(turn: Turn, tokens: Sequence[Token], *, model: str, started: float) -> Turn:
    """Return a turn with the tokens of its interrupted reply; `started` is a `perf_counter()`."""
    return msgspec.structs.replace(
        turn,
        text="".join(token.text for token in tokens).rstrip(),
        reasoning="".join(token.reasoning for token in tokens),
        finish_reason="interrupted",
        model=model,
        completion_tokens=len(tokens),
        seconds=round(time.perf_counter() - started, 3),
        created_at=timestamp(),
    )
