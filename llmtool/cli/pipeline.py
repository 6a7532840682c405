"""Run a template from the options of `gen` or `run`: one reply, or a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from llmtool.cli import batch as batches
from llmtool.cli import bootstrap
from llmtool.cli.options import groups as g
from llmtool.cli.options import structured
from llmtool.cli.render import result
from llmtool.cli.terminal import inputs
from llmtool.cli.terminal.console import Console
from llmtool.cli.terminal.output_file import check
from llmtool.config import Folders
from llmtool.engine.types import Token
from llmtool.errors import Cancelled, LlmtoolError, UsageError
from llmtool.tasks.options import GenerateOptions, make_options
from llmtool.tasks.pipeline.prepare import PreparedTask
from llmtool.tasks.pipeline.records import Binding, fill
from llmtool.tasks.results import Generation

if TYPE_CHECKING:
    from llmtool.tasks.generate.reply_log import ReplyLog


def read_options(
    console: Console,
    *,
    system: str | None,
    param: list[str] | None,
    reply: g.ReplyGroup,
    sampling: g.SamplingGroup,
) -> GenerateOptions:
    """Return the options of `generate`; what is broken among them is found before a model is.

    Raises:
        UsageError: a schema, grammar or expression is broken, or `-p` is no KEY=VALUE.
        InputError: an argument is not UTF-8, or a file cannot be read.
    """
    given = {
        **structured.read(console, reply.schema, reply.grammar, reply.regex),
        **sampling.options(),
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "n": reply.samples,
        "logprobs": reply.logprobs,
        "prefill": inputs.read_argument(reply.prefill, name="--prefill"),
        "thinking": reply.think,
        "variables": bootstrap.parse_params(param or []),
    }
    return make_options(GenerateOptions, given)


def command(
    console: Console,
    text: str | None,
    options: GenerateOptions,
    *,
    template: str,
    started: float,
    source: g.SourceGroup,
    view: g.ShowGroup,
    batch: g.BatchGroup,
    reply: g.ReplyGroup,
    engine: g.EngineGroup,
    common: g.CommonGroup,
) -> None:
    """Print what a template gives: a reply or label, the rows of a batch, or the prompt alone.

    `text` is the command's argument, `template` a name or path.
    """
    if reply.extract and (batch.each is not None or view.json or reply.logprobs):
        raise UsageError("-x prints code alone: it goes without --each, --json and --logprobs")
    if reply.log and batch.each is not None:
        raise UsageError("--log keeps single replies: it goes without --each (-o keeps a batch)")
    folders, settings = bootstrap.start(
        console, color=common.color.value, quiet=common.quiet, offline=engine.offline
    )
    given = frozenset(options.variables)
    loaded = bootstrap.open_library(folders).load(template)
    options = msgspec.structs.replace(options, template=loaded)
    reads = bootstrap.input_files(loaded, *reply.reads, *(source.file or []))
    if batch.each is not None:
        reader = batches.open_reader(console, batch, source, view, reads=reads, n=reply.samples)
        prompt = None if text is None else inputs.read_argument(text, errors=source.errors.value)
        binding, fixed = Binding.make(loaded, prompt=prompt, field=batch.field, given=given)
        options = msgspec.structs.replace(options, variables={**options.variables, **fixed})
    else:
        batches.refuse(batch)
        check(view.output, reads=reads)
        prompt, material = inputs.gather(
            console,
            text,
            source.file or [],
            no_stdin=source.no_stdin,
            errors=source.errors.value,
            required=loaded.needs_text(given),
        )
    box = bootstrap.open_toolbox(console, folders, settings, engine, view.output)
    prepared = box.prepare_run(options)
    if batch.each is not None:
        if view.dry_run:
            batches.preview(console, box, prepared, binding, reader, view=view)
            return
        seed = options.sampling.seed
        batches.run(console, box, prepared, binding, reader, batch=batch, view=view, seed=seed)
        return
    case = fill(prepared.template, prompt=prompt, input=material, given=given)
    if view.dry_run:
        result.prompt(console, box, prepared.request(case), as_json=view.json)
        return
    with contextlib.ExitStack() as stack:
        log = None
        if settings.log if reply.log is None else reply.log:
            from llmtool.tasks.generate import reply_log

            sent = reply_log.last_message(prepared.request(case)) if template != "gen" else ""
            turn = reply_log.make_turn(prompt, material, sources=source.file or [], sent=sent)
            log = reply_log.ReplyLog(turn, model=box.model_name)
            stack.callback(_save, console, folders, log)
        if not isinstance(prepared, PreparedTask):
            from llmtool.cli.render.classification import classification

            label = prepared.classify_one(box.engine, case)
            classification(console, label, view=view)
            if log is not None:
                log.add(label)
            return
        events: Iterator[Token | Generation] = box.stream_prepared(prepared, case, started=started)
        if log is not None:
            events = log.watch(events)
        if reply.extract:
            from llmtool.tasks.code.extract import only_code

            opening = prepared.template.prefill + options.prefill
            events = only_code(events, opening=opening)
        result.generation(
            console,
            events,
            to_file=view.output,
            as_json=view.json,
            stream=not view.no_stream and not reply.extract,
            think=bool(reply.think),
            logprobs=reply.logprobs > 0,
            has_contract=prepared.contract is not None,
            stats=view.stats,
            started=started,
        )


def _save(console: Console, folders: Folders, log: ReplyLog) -> None:
    """Save the replies of a prompt, those that a signal interrupted as well.

    A log that cannot be written is an error on stderr and changes nothing else.
    """
    from llmtool.sessions.log import append
    from llmtool.sessions.store import Sessions

    turns = log.turns()
    if not turns:
        return
    received = console.interrupts.received
    try:
        append(
            Sessions(folders.data / "sessions"),
            turns,
            cancelled=lambda: console.interrupts.received != received,
        )
    except Cancelled:
        raise
    except LlmtoolError as exc:
        console.error(f"the reply is not in the log: {exc}")
