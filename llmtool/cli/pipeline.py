"""Run a template with the options of `gen` or `run`: one reply or a batch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from llmtool.cli import bootstrap
from llmtool.cli.options import constraints
from llmtool.cli.options import groups as g
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.errors import ContextOverflow, UsageError
from llmtool.tasks.options import GenerateOptions

if TYPE_CHECKING:
    from llmtool.engine.types import Message
    from llmtool.sessions.types import Turn
    from llmtool.tasks.classify.classifier import Classifier

_MANY_REPLIES = 32  # with more, -n was possibly meant as in llama.cpp


def run(
    console: Console,
    text: str | None,
    paths: list[str],
    options: GenerateOptions,
    *,
    constraint: g.ConstraintOptions,
    input: g.InputOptions,
    output: g.ReplyOutputOptions,
    batch: g.BatchOptions,
    model: g.ModelOptions,
    general: g.GeneralOptions,
) -> None:
    """Print a reply or label, the rows of a batch, or only the prompt.

    `text` is the command's first argument, `paths` are the others, which name files.
    """
    started = time.perf_counter()
    if output.extract and (batch.each is not None or output.json or options.logprobs):
        raise UsageError(
            "-x cannot be combined with --each, --json or --logprobs; omit one of them"
        )
    if output.log and batch.each is not None:
        raise UsageError("--log cannot be combined with --each; save a batch with -o FILE")
    if output.continues:
        if batch.each is not None:
            raise UsageError("-c cannot be combined with --each; omit one of them")
        from llmtool.cli import reply_log

        missing = [path for path in paths if not os.path.lexists(path)]
        reply_log.check_arguments(text, options.template, *missing)
    inputs.check_files(paths)
    folders, settings = bootstrap.start(console, general, model)
    options = constraints.read(console, options, constraint)
    if options.n > _MANY_REPLIES:
        console.note(f"-n {options.n}: generating {options.n} replies; --max-tokens limits tokens")
    source = input.resolve(console, settings, paths)
    is_logged = (settings.log if output.log is None else output.log) and batch.each is None
    earlier: tuple[Turn, ...] = ()
    if output.continues:
        earlier = reply_log.read_conversation(console, folders, is_logged=is_logged)
        model = reply_log.last_model(earlier, model)
    loading = None
    if batch.each is None:
        batch.check_unused()
        if not inputs.has_to_wait(text, source.files, no_stdin=source.no_stdin):
            loading = bootstrap.start_loading(console, folders, settings, model)
    # Templates and tasks are imported while the model loads.
    from llmtool.cli.render import result
    from llmtool.tasks.generate.reply_log import ReplyLog, make_turn, to_history
    from llmtool.tasks.generate.template import prepare_run
    from llmtool.tasks.pipeline.prepare import Case, PreparedTask, bind_inputs

    given = frozenset(options.variables)
    loaded = bootstrap.open_library(folders).load(options.template)
    sends_prompt = options.template == "gen"
    options = msgspec.structs.replace(options, template=loaded)
    history: tuple[Message, ...] = ()
    if earlier:
        options = reply_log.last_system(earlier, options, loaded)
        history = to_history(earlier)
    reads = bootstrap.input_files(loaded, *constraint.files, *source.files)
    material = opened = None
    if batch.each is not None:
        from llmtool.cli import batch as batches
        from llmtool.tasks.pipeline.records import RecordMapping

        opened = batches.open_batch(console, batch, source, output, reads=reads, n=options.n)
        prompt = None
        if text is not None:
            prompt = inputs.read_argument(text, errors=source.errors)
            inputs.note_name(console, text)
        mapping, fixed = RecordMapping.make(loaded, prompt=prompt, field=batch.field, given=given)
        options = msgspec.structs.replace(options, variables={**options.variables, **fixed})
    else:
        output.check(console, reads=reads)
        prompt, material = inputs.gather(console, text, source, required=loaded.needs_text(given))

    def bind(task: PreparedTask | Classifier) -> Case:
        case = bind_inputs(task.template, prompt=prompt, input=material, given=given)
        return msgspec.structs.replace(case, history=history)

    def check_input(task: PreparedTask | Classifier) -> None:
        if opened is None:
            task.request(bind(task))
        else:
            batches.check_files(opened, mapping, task.request)

    context, prepared = bootstrap.open_task(
        console,
        folders,
        settings,
        model,
        lambda context: prepare_run(context, options),
        output.path,
        loading=loading,
        check=check_input,
        backend=None if opened is None else opened.backend,
    )
    if opened is not None:
        seed = options.sampling.seed
        batches.run(console, context, prepared, mapping, opened, seed=seed)
        return
    case = bind(prepared)
    if output.dry_run:
        result.prompt(console, context, prepared.request(case), as_json=output.json)
        return
    with contextlib.ExitStack() as stack:
        if sends_prompt and material is not None:
            stack.enter_context(_suggesting_sum())
        if earlier:
            stack.enter_context(reply_log.suggesting_a_new_conversation(earlier))
        log = ReplyLog()

        def save() -> None:
            if log.is_empty:
                return
            from llmtool.cli import reply_log  # after the reply, which it would delay

            turn = make_turn(
                prepared.request(case),
                text=prompt,
                input=material,
                sources=source.files,
                template=loaded.name,
                model=context.model.reference,
                previous=earlier[-1] if earlier else None,
            )
            turns = log.turns(turn, model=context.model.name)
            reply_log.save(
                console,
                folders,
                turns,
                limit_bytes=settings.log_mb * 10**6,
                is_requested=bool(output.log),
            )

        if is_logged:
            stack.callback(save)
        if not isinstance(prepared, PreparedTask):
            from llmtool.cli.render.classification import classification

            label = prepared.classify_one(context.engine, case)
            classification(console, label, output=output)
            log.add(label)
            return
        stream = log.watch(prepared.stream(context.engine, case, started=started))
        if output.extract:
            from llmtool.tasks.code.extract import only_code

            opening = prepared.template.prefill + options.prefill
            stream = only_code(stream, opening=opening)
        result.generation(
            console,
            stream,
            to_file=output.path,
            as_json=output.json,
            is_live=not output.no_stream and not output.extract,
            is_prose=prepared.sampling.constraint is None and not output.extract,
            think=options.requests_reasoning,
            logprobs=options.logprobs > 0,
            constraint=prepared.sampling.constraint,
            stats=output.stats,
            started=started,
        )


@contextlib.contextmanager
def _suggesting_sum() -> Iterator[None]:
    """Add the command for long texts to an error on a text that is longer than the context."""
    try:
        yield
    except ContextOverflow as exc:
        exc.args = (f"{exc} (or use `llmtool sum`)",)
        raise
