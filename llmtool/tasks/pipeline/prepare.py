"""Prepare requests for the engine from a template, options and cases."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llmtool import files
from llmtool.arguments import check_range
from llmtool.engine.types import (
    DEFAULT_MAX_TOKENS,
    MAX_LOGIT_BIAS,
    Adapter,
    Engine,
    Failed,
    Message,
    Prompt,
    Request,
    Sampling,
    Token,
    sampling_limits,
)
from llmtool.errors import (
    ContextOverflow,
    InputError,
    LlmtoolError,
    UsageError,
    invalid_unicode,
)
from llmtool.option_names import option
from llmtool.tasks.options import MAX_REPLIES, GenerateOptions, SamplingOptions, keywords_of
from llmtool.tasks.pipeline.context import TaskContext
from llmtool.tasks.pipeline.duplicates import digest, is_determined, is_greedy

if TYPE_CHECKING:
    from llmtool.prompts.schema import Abstain
    from llmtool.prompts.template import Template
    from llmtool.tasks.pipeline.output_spec import OutputSpec
    from llmtool.tasks.results import Generation
    from llmtool.tasks.streams import Stream

R = TypeVar("R")
_SAMPLE_CHARACTERS = 4096  # searched for the NUL of a binary file
MAX_RETRIES = 10
SCHEMA_INPUT = "schema"  # the template input for a description of the JSON


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The values of one request, as opposed to the options, which all requests of a call share.

    `prompt` and `input` are texts for the inputs of these names, `variables` has values for any
    input. `seed` overrides the seed of the options. `name` is the file that the text comes from.
    `history` is a conversation that precedes the last message of the prompt.
    """

    id: int = 0
    prompt: str | None = None
    input: str | None = None
    variables: Mapping[str, Any] = {}
    seed: int | None = None
    name: str | None = None
    history: tuple[Message, ...] = ()


def text_of(case: Case, name: str) -> str:
    """Return the text of a case, its variable `name`.

    Raises:
        InputError: the text is empty, binary or not valid Unicode.
    """
    text = case.variables.get(name)
    if not isinstance(text, str) or not text.strip():
        raise InputError("the text is empty")
    if "\0" in text[:_SAMPLE_CHARACTERS]:
        raise InputError("contains a NUL byte; the input must be text")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise invalid_unicode(exc) from exc
    return text


class PreparedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A template with checked options, shared by all requests of a call."""

    template: Template
    options: GenerateOptions
    sampling: Sampling
    output_spec: OutputSpec | None
    model: str
    adapters: tuple[Adapter, ...] | None = None  # of the call; None means those of the template

    def check_batch_file(self) -> None:
        """Check that a batch file can have the requests; see `BatchTask`."""
        if self.options.retries:
            raise UsageError(
                f"{option('retries')} repeats requests after invalid replies, which a batch file "
                "cannot; omit it"
            )
        if self.abstains:
            raise UsageError(
                f"template {self.template.name!r} compares the probabilities of replies (abstain), "
                "which a batch file cannot; use a copy of it without `abstain`"
            )

    def request(self, case: Case) -> Request:
        """Render the template into a request.

        Raises:
            InputError: the template has an input for a prompt or text, and there is none.
            UsageError: a variable is unknown or missing.
            TemplateError: the template cannot be rendered.
        """
        from llmtool.prompts.render import render

        options = self.options
        sampling = self.sampling
        if case.seed is not None:
            sampling = msgspec.structs.replace(sampling, seed=case.seed)
        if options.raw:
            text = self._raw_text(case)
            prompt = Prompt(text=text, prefill=options.prefill, adapters=self.adapters)
            return Request(
                id=case.id, prompt=prompt, sampling=sampling, n=options.n, echo=options.echo
            )
        rendered = render(self.template, self._values(case), system=options.system)
        thinking = options.thinking
        if thinking is None:
            default = True if self.sampling.think_tokens else None
            thinking = rendered.params.get("thinking", default)
        prompt = rendered.prompt(prefill=options.prefill, thinking=thinking)
        if self.adapters is not None:
            prompt = msgspec.structs.replace(prompt, adapters=self.adapters)
        if case.history:
            from llmtool.tasks.pipeline.conversation import insert_history

            messages = insert_history(prompt.messages, case.history, system=options.system)
            prompt = msgspec.structs.replace(prompt, messages=messages, probe=(), continues=False)
        request = Request(
            id=case.id, prompt=prompt, sampling=sampling, n=options.n, echo=options.echo
        )
        return request if self._abstain is None else self._grounded(request, case)

    def _raw_text(self, case: Case) -> str:
        values = self._values(case)
        texts = [text for name, text in values.items() if name != SCHEMA_INPUT]
        if len(texts) != 1 or case.history:
            raise UsageError(
                f"{option('raw')} needs one text, the prompt; omit the others, or join them"
            )
        return str(texts[0])

    @property
    def _abstain(self) -> Abstain | None:
        """The variant's rule; a schema, grammar or regular expression excludes its reply."""
        if self.output_spec is not None:
            return None
        return self.template.for_model(self.model).abstain

    def _grounded(self, request: Request, case: Case) -> Request:
        from llmtool.prompts.render import render
        from llmtool.tasks.pipeline.collect import GroundedRequest

        assert self._abstain is not None
        values, options = self._values(case), self.options
        baselines = tuple(
            render(
                self.template,
                {**values, name: other},
                model_name=self.model,
                system=options.system,
            ).prompt(prefill=options.prefill)
            for name, other in self._abstain.without.items()
            if values.get(name)
        )
        if not baselines:
            return request
        baselines = tuple(
            msgspec.structs.replace(each, adapters=request.prompt.adapters) for each in baselines
        )
        return GroundedRequest(
            **msgspec.structs.asdict(request), abstain=self._abstain, baselines=baselines
        )

    def outcomes(
        self, engine: Engine, cases: Iterable[Case | Failed | None], *, started: float | None = None
    ) -> Generator[Token | Generation | Failed, None, None]:
        """Run cases in one engine stream; yield tokens as they arrive, and outcomes in order.

        A case that cannot be rendered fails without affecting the others. `None` means that the
        next case is not available yet.
        """
        from llmtool.tasks.pipeline.collect import stream_outcomes

        requests = each_or_failed(self.request, cases)
        constraint = self.sampling.constraint
        return stream_outcomes(
            engine,
            requests,
            model=self.model,
            output_spec=self.output_spec,
            started=started,
            retries=self.options.retries,
            compact=constraint is not None and constraint.kind == "json_schema",
        )

    def stream(
        self, engine: Engine, case: Case, *, started: float | None = None
    ) -> Stream[Token, Generation]:
        """Run one case as a stream of tokens; see `outcomes`."""
        from llmtool.tasks.pipeline.collect import raise_failures
        from llmtool.tasks.results import Generation
        from llmtool.tasks.streams import Stream

        return Stream(raise_failures(self.outcomes(engine, [case], started=started)), Generation)

    def answer(
        self,
        engine: Engine,
        requests: Iterable[Request],
        *,
        on_done: Callable[[int], None] = lambda n_done: None,
    ) -> list[Generation | Failed]:
        """Return the outcome of each request, in request order; their ids must differ."""
        from llmtool.tasks.pipeline.collect import stream_outcomes

        events = stream_outcomes(engine, requests, model=self.model, output_spec=self.output_spec)
        found: list[Generation | Failed] = []
        for event in events:
            if not isinstance(event, Token):
                found.append(event)
                on_done(len(found))
        return found

    @property
    def abstains(self) -> bool:
        """Whether a reply may be replaced by that of the template's `abstain`."""
        return self._abstain is not None

    @property
    def columns(self) -> list[str]:
        several = self.options.n > 1
        has_value = self.output_spec is not None and bool(self.output_spec.description)
        columns = {
            "text": True,
            "texts": several,
            "value": has_value,
            "tries": self.options.retries,
            "abstained": self.abstains,
            "score": self.abstains,
            "logprobs": self.options.logprobs,
            "prompt_logprobs": self.options.echo,
            "finish_reason": True,
            "seed": True,
        }
        return [name for name, is_used in columns.items() if is_used]

    def identity(self) -> bytes:
        o = self.options
        options = [o.system, o.prefill, o.thinking, o.n, o.variables, o.input, o.retries]
        options += [o.raw] if o.raw else []
        adapters = [*identify_adapters(self.adapters or ())]
        return identify(self.template, self.model, options, self.sampling, *adapters)

    def _values(self, case: Case) -> dict[str, Any]:
        options, inputs = self.options, self.template.inputs
        values = {**options.variables, **case.variables}
        given = {
            "prompt": case.prompt,
            "input": options.input if case.input is None else case.input,
        }
        values |= {name: text for name, text in given.items() if text and text.strip()}
        if not values and given.keys() & inputs.keys():
            raise InputError("the prompt is empty; pass some text")
        if self.output_spec is not None and self.output_spec.description and SCHEMA_INPUT in inputs:
            values.setdefault(SCHEMA_INPUT, self.output_spec.description)
        return values


T = TypeVar("T", Request, PreparedTask)


def case_key(case: Case, *samplings: Sampling, name: str = "") -> bytes | None:
    """Return a hash of a case for `answer_once`, None if a reply with these options is random."""
    if not all(map(is_determined, samplings)):
        return None
    seed = None if all(map(is_greedy, samplings)) else case.seed
    return digest(case.prompt, case.input, case.variables, case.history, seed, name)


def with_sampling(item: T, **changes: Any) -> T:
    """Return a copy of a request or task with changed sampling options."""
    sampling = msgspec.structs.replace(item.sampling, **changes)
    return msgspec.structs.replace(item, sampling=sampling)


def limit_answer(request: Request, max_tokens: int) -> Request:
    """Return a request whose answer has at most `max_tokens`, in addition to its reasoning."""
    n_think = request.sampling.think_tokens
    if n_think is None and request.prompt.thinking:
        n_think = DEFAULT_MAX_TOKENS
    return with_sampling(request, max_tokens=max_tokens, think_tokens=n_think)


def identify(template: Template, *parts: object) -> bytes:
    """Return a hash of a template's content and of `parts`, which must be plain values.

    Raises:
        InputError: a text among them is not valid Unicode.
    """
    t = template
    sources = [None if source is None else source.text for source in (t.system, t.prompt)]
    content = [t.name, t.inputs, sources, t.prefill, t.form, t.examples, t.output, t.params]
    content += [t.abstain, *parts, *identify_adapters(t.lora)]
    try:
        data = msgspec.json.encode(content, enc_hook=repr, order="sorted")
    except UnicodeEncodeError as exc:
        raise invalid_unicode(exc) from exc
    return hashlib.sha256(data).digest()


def identify_adapters(adapters: Iterable[Adapter]) -> Iterator[tuple[object, float]]:
    """Yield the content of each adapter's file, as `files.identify` does, and its scale."""
    for adapter in adapters:
        with contextlib.suppress(OSError):  # the engine reports a missing file
            yield files.identify(Path(adapter.path)), adapter.scale


def each_or_failed(
    make: Callable[[Case], R], cases: Iterable[Case | Failed | None]
) -> Iterator[R | Failed | None]:
    """Yield the result of `make` for each case, or a `Failed` with the error that it raises."""
    for case in cases:
        if not isinstance(case, Case):
            yield case
            continue
        try:
            yield make(case)
        except LlmtoolError as exc:
            yield Failed(case.id, exc)


def fits_context(engine: Engine, request: Request, *, max_prompt_tokens: int | None = None) -> bool:
    """Return whether a prompt and its reply fit the context, and the prompt `max_prompt_tokens`."""
    try:  # `tokenize` rejects far too long prompts early
        n_prompt = len(engine.tokenize(request.prompt).token_ids)
        engine.check_length(n_prompt, request.sampling.max_tokens)
    except ContextOverflow:
        return False
    return max_prompt_tokens is None or n_prompt <= max_prompt_tokens


def token_counter(engine: Engine) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text."""

    def count(text: str) -> int:
        return len(engine.tokenize(Prompt(text=text)).token_ids) if text else 0

    return count


def bind_inputs(
    template: Template, *, prompt: str | None, input: str | None, given: Container[str] = ()
) -> Case:
    """Return the case that assigns a prompt and the text of files to a template's inputs.

    A template with the inputs `prompt` and `input` gets both. Otherwise `input`, or `prompt` if
    there is no `input`, is assigned to the primary input, and a `prompt` in addition to the next
    input, required ones first. `given` names inputs that have a value already.

    Raises:
        UsageError: the template has no input for a text.
    """
    inputs = template.inputs
    if "prompt" in inputs and "input" in inputs:
        return Case(prompt=prompt, input=input)
    texts = [text for text in (input, prompt) if text is not None]
    primary = template.primary_input(given)
    others = [
        name
        for name, spec in inputs.items()
        if spec.type not in ("file", "bool", "list") and name not in given and name != primary
    ]
    others.sort(key=lambda name: not inputs[name].required)
    targets = [*([primary] if primary else []), *others]
    if len(targets) < len(texts):
        if not targets and template.primary_input() is not None:
            raise no_text_input(template)
        if targets:
            problem = f"one input for a text, {targets[0]!r}; pass an argument or a file, not both"
        else:
            inputs_option = option("variables", {"NAME": "VALUE"})
            problem = f"no input for a text; set inputs with {inputs_option}"
        raise UsageError(f"template {template.name!r} has {problem}")
    return Case(variables=dict(zip(targets, texts, strict=False)))


def no_text_input(template: Template) -> UsageError:
    """Return the error for a text that has no input of a template left."""
    name = template.primary_input()
    if name is None:
        return UsageError(f"template {template.name!r} has no input for a text")
    return UsageError(
        f"input {name!r} of template {template.name!r} is given twice, as the text and by its "
        "name; pass it once"
    )


def prepare(context: TaskContext, options: GenerateOptions) -> PreparedTask:
    """Check the options of a call, and load its template.

    Sampling options come from `options`, then the user's settings, then the template. A schema,
    grammar or regular expression overrides the output of the template.

    Raises:
        UsageError: an option is out of range, or a schema is invalid.
        TemplateError: the template is not found, or invalid.
    """
    check_range("n", options.n, 1, MAX_REPLIES)
    check_range("retries", options.retries, 0, MAX_RETRIES)
    template = context.load_template(options.template)
    output_spec = _output_spec(options, template)
    if options.retries and output_spec is None:
        needed = f"{option('schema')}, {option('regex')} or {option('grammar')}"
        raise UsageError(f"{option('retries')} requires {needed}; add one")
    if options.echo and not options.logprobs:
        raise UsageError(f"{option('echo')} requires {option('logprobs', 'N')}; add it")
    if options.raw and (template.name != "gen" or options.system is not None):
        other = option("template" if template.name != "gen" else "system")
        raise UsageError(f"{option('raw')} cannot be combined with {other}; omit one of them")
    params = {name: value for name, value in template.params.items() if name != "thinking"}
    settings = SamplingOptions(
        max_tokens=context.settings.max_tokens, temperature=context.settings.temperature
    )
    given = keywords_of(options.sampling)
    params |= keywords_of(settings) | given
    if options.logprobs:
        params["logprobs"] = options.logprobs
    checked = make_sampling(params, echo=options.echo)
    if output_spec is not None:
        checked = msgspec.structs.replace(checked, constraint=output_spec.constraint)
    is_given = any(each is not None for each in (options.schema, options.grammar, options.regex))
    context.model.check_options(
        {**given, "prefill": options.prefill}, checked.constraint if is_given else None
    )
    return PreparedTask(
        template=template,
        options=options,
        sampling=checked,
        output_spec=output_spec,
        model=context.model.name,
        adapters=None if options.lora is None else Adapter.parse_all(options.lora),
    )


def check_task(template: Template, task: str) -> None:
    """Check that a template is made for a task; one of the task `gen` suits all that write text.

    Raises:
        UsageError: it is for another task, or its output is a label and `task` writes text.
    """
    made_for = "classify" if template.output.kind == "labels" else template.task
    if made_for not in (task, "gen"):
        raise UsageError(
            f"template {template.name!r} is for {made_for}, not for {task}; "
            f"use it with `{made_for}` or `run`"
        )


def make_sampling(params: Mapping[str, Any], *, echo: bool = False) -> Sampling:
    """Check sampling options. With `echo`, a reply may have no tokens.

    Raises:
        UsageError: an option is out of range.
    """
    values = dict(params)
    if isinstance(values.get("stop"), str):
        values["stop"] = (values["stop"],)
    for name, limits in sampling_limits().items():
        if values.get(name) is not None:
            check_range(name, values[name], limits.ge, limits.le)
    if values.get("max_tokens") == 0 and not echo:
        check_range("max_tokens", 0, 1)
    if values.get("logit_bias"):
        values["logit_bias"] = {
            str(token): _check_bias(token, bias) for token, bias in values["logit_bias"].items()
        }
    if "" in values.get("stop", ()):
        message = f"{option('stop', '')}: must not be empty; pass the text to stop before"
        raise UsageError(message, option="stop")
    return msgspec.convert(values, Sampling)


def _check_bias(token: int | str, bias: float) -> float:
    if not -MAX_LOGIT_BIAS <= bias <= MAX_LOGIT_BIAS:
        limits = f"must be between -{MAX_LOGIT_BIAS} and {MAX_LOGIT_BIAS}"
        raise UsageError(f"{option('logit_bias', {token: bias})}: {limits}", option="logit_bias")
    return bias


def _output_spec(options: GenerateOptions, template: Template) -> OutputSpec | None:
    """Return the output specification of the options, else of the template."""
    if options.schema is None and options.grammar is None and options.regex is None:
        if template.output.kind not in ("json", "grammar", "regex"):
            return None  # without importing the compiler
        from llmtool.tasks.pipeline.output_spec import output_spec_of

        return output_spec_of(template.output)
    from llmtool.tasks.pipeline.output_spec import make_output_spec

    return make_output_spec(schema=options.schema, grammar=options.grammar, regex=options.regex)
