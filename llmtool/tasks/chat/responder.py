"""A session's last turn to a reply: what is asked of the model, and what it is asked with."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import msgspec

from llmtool.engine.types import Message, Prompt, Token, common_prefix_length
from llmtool.errors import ContextOverflow, EngineError, OutputValidationError, UsageError
from llmtool.sessions.store import timestamp
from llmtool.sessions.types import Attachment, Session, Turn
from llmtool.tasks.chat import token_usage, truncation
from llmtool.tasks.chat.messages import see
from llmtool.tasks.options import GenerateOptions, SamplingOptions, make_options
from llmtool.tasks.pipeline.collect import stream_generations
from llmtool.tasks.pipeline.prepare import Case
from llmtool.tasks.pipeline.records import fill
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from llmtool.tasks.chat.truncation import Overflow
    from llmtool.tasks.summarize.task import SummarizeTask

TEMPLATE = "chat"
SUMMARY_TEMPLATE = "chat-summary"
_EMPTY = Message("user", "x")  # stands for any message


class ChatNote(msgspec.Struct, frozen=True):
    """What was done to the conversation so that it can go on; it is said, never done silently."""

    text: str


class Answering:
    """A model with the options of a session, ready for its turns.

    Raises:
        UsageError: an option is unknown or out of its range, or the template completes text.
        TemplateError: there is no such template, or it is broken.
    """

    def __init__(self, tools: SummarizeTask, session: Session) -> None:
        self.tools = tools
        self._is_cold = True  # nothing of this conversation was computed here
        fixed = {"template": session.template or TEMPLATE, "system": session.system}
        options = make_options(GenerateOptions, {**session.options, **fixed})
        self._prepared = tools.prepare(options)
        if self._prepared.template.form == "completion":
            name = self._prepared.template.name
            raise UsageError(f"template {name!r} completes text and does not converse")
        # What stands before the conversation: the system prompt, examples.
        self.head = self._render("x").messages[:-1]

    def _render(self, text: str) -> Prompt:
        prepared = self._prepared
        given = frozenset(prepared.options.variables)
        case = fill(prepared.template, prompt=text, input=None, given=given)
        return prepared.request(case).prompt

    def turn(self, text: str, files: tuple[Attachment, ...]) -> Turn:
        """Return a turn that is still to be answered."""
        sent = self._render(text).messages[-1].content if text.strip() else ""
        return Turn(text=text, sent="" if sent == text else sent, files=files)

    @property
    def reply_tokens(self) -> int:
        """How many tokens are set aside for a reply."""
        n_ctx = self.tools.engine.info.n_ctx
        return token_usage.reply_tokens(n_ctx, self._prepared.sampling.max_tokens)

    def make_room(
        self, session: Session, *, policy: Overflow
    ) -> Generator[ChatNote, None, Session]:
        """Return the session as it fits, its last turn included; notes say what had to go.

        Raises:
            ContextOverflow: the last turn alone is too long.
            Cancelled: a stop was asked for.
        """
        engine = self.tools.engine
        room = engine.info.n_ctx - self.reply_tokens
        n_tokens = token_usage.count(engine, see(session, self.head))
        if n_tokens <= room:
            return session
        alone = msgspec.structs.replace(session, turns=session.turns[-1:], n_left_out=0, summary="")
        n_alone = token_usage.count(engine, see(alone, self.head))
        if n_alone > room:
            engine.check_length(n_alone, self.reply_tokens)  # says what is needed, and what helps
            raise ContextOverflow(
                f"the message needs {n_alone} tokens, {room} are available",
                needed=n_alone,
                available=room,
            )
        yield ChatNote(
            f"the conversation has come to {n_tokens} tokens, and {room} fit beside a reply"
        )
        n_left_out = truncation.choose_left_out(
            engine, session, self.head, room=room, policy=policy
        )
        session, said = truncation.leave_out(
            session, n_left_out, policy=policy, summarize=self._summarize
        )
        if session.summary and token_usage.count(engine, see(session, self.head)) > room:
            session = msgspec.structs.replace(session, summary="")
            said += "; the summary did not fit either"
        yield ChatNote(said)
        return session

    def _summarize(self, text: str) -> str:
        """Return what turns have said; those that are longer than the context are read in parts."""
        tools = self.tools
        max_tokens = min(truncation.SUMMARY_TOKENS, max(64, tools.engine.info.n_ctx // 8))
        prepared = tools.prepare(
            GenerateOptions(
                template=SUMMARY_TEMPLATE, sampling=SamplingOptions(max_tokens=max_tokens)
            )
        )
        request = prepared.request(Case(variables={"conversation": text}))
        n_tokens = len(tools.engine.tokenize(request.prompt).token_ids)
        if n_tokens + max_tokens > tools.engine.info.n_ctx:
            return tools.summarize(text, length="long").text
        for event in stream_generations(tools.engine, [request], model=prepared.model):
            if isinstance(event, Generation) and event.text.strip():
                return event.text.strip()
        raise EngineError("the model said nothing")

    def stream(
        self, session: Session, *, seed: int | None = None
    ) -> Generator[Token | Generation, None, None]:
        """Answer the last turn of a session that fits.

        Raises:
            LlmtoolError: the engine's; `Cancelled` where a stop was asked for.
        """
        messages = see(session, self.head)
        request = self._prepared.request(Case(prompt="x", seed=seed))
        n_fixed = self._count_fixed(messages[:-1]) if self._is_cold else None
        prompt = msgspec.structs.replace(
            request.prompt, messages=messages, probe=(), n_fixed=n_fixed
        )
        engine = self.tools.engine
        n_free = engine.info.n_ctx - len(engine.tokenize(prompt).token_ids)
        max_tokens = request.sampling.max_tokens or max(1, min(token_usage.DEFAULT_REPLY, n_free))
        sampling = msgspec.structs.replace(request.sampling, max_tokens=max_tokens)
        request = msgspec.structs.replace(request, prompt=prompt, sampling=sampling, n=1, keep=True)
        try:
            yield from stream_generations(
                engine, [request], model=self._prepared.model, contract=self._prepared.contract
            )
        except OutputValidationError as exc:  # a reply is a reply, whatever a template makes of it
            if not isinstance(exc.result, Generation):
                raise
            yield exc.result
        self._is_cold = False

    def _count_fixed(self, before: Sequence[Message]) -> int:
        """Return how many tokens a prompt begins with, whatever is asked behind these messages."""
        engine = self.tools.engine
        others = ("x", ":")
        prompts = [Prompt(messages=(*before, Message("user", other))) for other in others]
        return common_prefix_length([engine.tokenize(prompt).token_ids for prompt in prompts])

    def remember(self, session: Session) -> None:
        """Put what the model has computed of a session on disk, if it was in use here.

        Raises:
            Cancelled: a stop was asked for.
        """
        if self._is_cold or not session.turns:
            return
        messages = see(session, self.head)
        before = messages[:-1] if messages[-1].role == "user" else messages
        prompt = Prompt(messages=(*before, _EMPTY), n_fixed=self._count_fixed(before))
        self.tools.engine.save_state(prompt)

    def share_out(self, session: Session) -> token_usage.Budget:
        """Return what a session takes of the context, turn by turn."""
        engine = self.tools.engine
        messages = see(session, self.head)
        if len(messages) == len(self.head):  # nothing was asked yet
            messages = (*messages, _EMPTY)
        shares = token_usage.count_shares(engine, messages, n_head=len(self.head), session=session)
        return token_usage.Budget(
            n_ctx=engine.info.n_ctx,
            reply=self.reply_tokens,
            shares=tuple(shares),
            n_left_out=session.n_left_out,
        )


def answered(turn: Turn, result: Generation) -> Turn:
    """Return a turn with its reply."""
    choice = result.choices[0]
    return msgspec.structs.replace(
        turn,
        reply=choice.text,
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


class Pieces:
    """What has come of a reply, should it be stopped."""

    def __init__(self, turn: Turn, *, model: str) -> None:
        self._turn, self._model, self._began = turn, model, time.perf_counter()
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def take(self, token: Token) -> None:
        (self._reasoning if token.reasoning else self._text).append(token.text)

    def interrupted(self) -> Turn:
        return msgspec.structs.replace(
            self._turn,
            reply="".join(self._text).rstrip(),
            reasoning="".join(self._reasoning),
            finish_reason="interrupted",
            model=self._model,
            completion_tokens=len(self._text) + len(self._reasoning),
            seconds=round(time.perf_counter() - self._began, 3),
            created_at=timestamp(),
        )
