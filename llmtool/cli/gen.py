"""`llmtool gen`: text from a prompt."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from llmtool.cli import options as o
from llmtool.tasks.options import GenerateOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(
    "gen",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Examples:

\b
  llmtool gen "Write a haiku about rain"
  git log --oneline | head -20 | llmtool gen "Write one sentence about what changed"
  llmtool gen -f notes.txt "List the open questions" --json | jq -r .text
  llmtool gen --schema "name, year int, city" "Extract the person" < bio.txt | jq .year""",
)
def gen(
    prompt: o.PromptArgument = None,
    model: o.ModelOption = None,
    system: o.SystemOption = None,
    template: o.TemplateOption = "gen",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="KEY=VALUE", help="A value for the template."),
    ] = None,
    file: o.FileOption = None,
    output: o.OutputOption = None,
    samples: Annotated[
        int, typer.Option("--samples", "-n", min=1, metavar="N", help="How many replies to write.")
    ] = 1,
    schema: o.SchemaOption = None,
    grammar: o.GrammarOption = None,
    regex: o.RegexOption = None,
    logprobs: o.LogprobsOption = 0,
    prefill: Annotated[
        str, typer.Option(metavar="TEXT", help="How the reply begins; not printed.")
    ] = "",
    max_tokens: o.MaxTokensOption = None,
    temperature: o.TemperatureOption = None,
    top_p: o.TopPOption = None,
    top_k: o.TopKOption = None,
    min_p: o.MinPOption = None,
    repeat_penalty: o.RepeatPenaltyOption = None,
    seed: o.SeedOption = None,
    stop: o.StopOption = None,
    think: o.ThinkOption = None,
    ctx_size: o.CtxSizeOption = None,
    threads: o.ThreadsOption = None,
    n_gpu_layers: o.GpuLayersOption = None,
    parallel: o.ParallelOption = None,
    kv_type: o.KVTypeOption = o.KVCacheType.f16,
    no_cache: o.NoCacheOption = False,
    json: o.JsonOption = False,
    no_stream: o.NoStreamOption = False,
    stats: o.StatsOption = False,
    dry_run: o.DryRunOption = False,
    no_stdin: o.NoStdinOption = False,
    errors: o.ErrorsOption = o.ErrorsMode.strict,
    offline: o.OfflineOption = False,
    color: o.ColorOption = o.ColorMode.auto,
    quiet: o.QuietOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Generate text from a prompt, with standard input or files as material.

    An argument is the instruction; what comes on standard input or from -f is the material it is
    about. Without an argument the material is the prompt itself.
    """
    from llmtool.cli import contracts, inputs, session, show
    from llmtool.tasks.prepare import Case

    started = time.perf_counter()
    folders, settings = session.start(color=color.value, quiet=quiet, offline=offline)
    contract = contracts.read(schema, grammar, regex)
    instruction, material = inputs.gather(
        prompt,
        file or [],
        no_stdin=no_stdin,
        errors=errors.value,
        required=template == "gen" and not param,
    )
    box = session.open_toolbox(
        folders,
        settings,
        model,
        n_ctx=ctx_size,
        n_threads=threads,
        n_gpu_layers=n_gpu_layers,
        n_parallel=parallel,
        kv_type=kv_type.value,
        prefix_cache=not no_cache,
    )
    options: GenerateOptions = {
        **contract,
        "input": material,
        "system": system if system is None else inputs.read_argument(system, name="--system"),
        "n": samples,
        "logprobs": logprobs,
        "prefill": inputs.read_argument(prefill, name="--prefill"),
        "thinking": think,
        "template": template,
        "variables": session.parse_params(param or []),
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repeat_penalty": repeat_penalty,
        "seed": seed,
        "stop": tuple(inputs.read_argument(text, name="--stop") for text in stop or ()) or None,
    }
    prepared = box.prepare(options)
    if dry_run:
        show.prompt(box, prepared.request(Case(prompt=instruction)), as_json=json)
        return
    show.generation(
        box.stream_prepared(prepared, Case(prompt=instruction), started=started),
        to_file=output,
        as_json=json,
        stream=not no_stream,
        think=bool(think),
        logprobs=logprobs > 0,
        has_contract=prepared.contract is not None,
        stats=stats,
        started=started,
    )
