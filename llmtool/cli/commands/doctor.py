"""`llmtool doctor`: check the installation and the hardware."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.errors import UsageError
from llmtool.sizes import format_bytes

if TYPE_CHECKING:
    from llmtool.doctor import Report

app = App()


@app.add(
    "doctor",
    epilog="Example: llmtool doctor --json | jq .advice",
)
def doctor(
    console: Console,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Check the installation and hardware, and suggest changes."""
    from llmtool.cli import bootstrap
    from llmtool.cli.render import tables
    from llmtool.doctor import examine
    from llmtool.engine.openai.endpoint import check_endpoints
    from llmtool.models.hub import environment

    folders, settings, errors = bootstrap.start_lenient(console, general)
    for check in (environment.check, environment.check_for_import):
        try:
            check()
        except UsageError as exc:
            errors.append(str(exc))
    errors += check_endpoints(settings, os.environ, folders.config)
    report = examine(folders, settings, errors)
    if json:
        console.stdout.write_json(report.to_dict())
    else:
        tables.fields(console, describe(report))


def describe(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the report as (name, value) rows for a terminal."""

    def size(n: int | None) -> str:
        return "unknown" if n is None else format_bytes(n)

    yield "versions", ", ".join(f"{name} {v}" for name, v in report.versions.items())
    for backend, features in report.backends.items():
        yield backend, " ".join(features)
    for device in report.devices:
        memory = f"{size(device.free_bytes)} of {size(device.total_bytes)} free"
        if device.kind != "cpu":
            yield f"{device.kind} {device.name}", f"{device.description}, {memory}"
    if not any(device.kind in ("gpu", "igpu") for device in report.devices):
        yield "gpu", "no usable GPU"
    limit = f", cgroup quota {report.cgroup_cpus:.1f}" if report.cgroup_cpus else ""
    cores = f" ({report.physical_cores} cores)" if report.physical_cores else ""
    yield "processors", f"{report.cpus}{cores}{limit}; llmtool uses {report.threads} threads"
    if report.load_average is not None:
        yield "load", f"{report.load_average:.2f}"
    yield "memory", f"{size(report.available_bytes)} of {size(report.memory_bytes)} available"
    yield "disk", f"{size(report.free_disk_bytes)} free"
    yield from report.folders.items()
    yield "default model", report.default_model or "none"
    for model in report.models:
        yield "model", f"{model['name']} ({size(model['size_bytes'])}, {model['source']})"
    for server in report.servers:
        where = server["address"] or server["socket"]
        yield "server", f"{', '.join(server['models'])} at {where} (process {server['pid']})"
    for each in report.endpoints:
        yield "endpoint", f"{each['name']} at {each['base_url']}"
    for line in report.advice or ["no changes suggested"]:
        yield "advice", line
