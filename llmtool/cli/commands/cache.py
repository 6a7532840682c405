"""`llmtool cache`: list and clear cached prompts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llmtool.cli.framework.app_factory import App
from llmtool.cli.options import groups as g
from llmtool.cli.terminal.console import Console
from llmtool.sizes import format_bytes, format_count

if TYPE_CHECKING:
    from llmtool.engine.llama.prompt_cache.store import PrefixCache

app = App("List and clear cached prompts.", epilog="Example: llmtool cache ls")
_EMPTY = "the cache is empty"


def _open(console: Console, general: g.GeneralOptions) -> PrefixCache:
    from llmtool.cli import bootstrap
    from llmtool.engine.llama.prompt_cache.store import PrefixCache

    folders, settings = bootstrap.start(console, general)
    return PrefixCache(folders.cache / "prefix", limit_bytes=settings.prefix_cache_mb * 10**6)


@app.add("ls", epilog="Example: llmtool cache ls --json")
def ls(
    console: Console,
    *,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """List cached prompt prefixes, most recent first."""
    from llmtool.cli.render import tables

    cache = _open(console, general)
    entries = cache.entries()
    total = sum(entry.size_bytes for entry in entries)
    if json:
        console.stdout.write_json(
            {
                "path": str(cache.folder),
                "size_bytes": total,
                "limit_bytes": cache.limit_bytes,
                "entries": [
                    {
                        "key": entry.key,
                        "model": entry.note.get("model"),
                        "n_tokens": entry.note.get("n_tokens"),
                        "size_bytes": entry.size_bytes,
                        "last_used": time.strftime(
                            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.used_at)
                        ),
                    }
                    for entry in entries
                ],
            }
        )
        return
    tables.table(
        console,
        ["model", "tokens", "size", "last used"],
        [
            (
                str(entry.note.get("model", "-")),
                str(entry.note.get("n_tokens", "-")),
                format_bytes(entry.size_bytes),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at)),
            )
            for entry in entries
        ],
        right=["tokens", "size"],
    )
    if not cache.limit_bytes:
        console.note(f"{format_bytes(total)}; the cache is disabled (prefix_cache_mb = 0)")
    elif entries:
        console.note(f"{format_bytes(total)} of at most {format_bytes(cache.limit_bytes)}")
    else:
        console.note(_EMPTY)


@app.add("clear", epilog="Example: llmtool cache clear --dry-run")
def clear(
    console: Console,
    *,
    dry_run: g.DryRemoval = False,
    json: g.Json = False,
    general: g.GeneralOptions,
) -> None:
    """Clear all caches.

    Removes cached prompts, replies of template tests and summaries, translated segments,
    label scores, what servers support and the search index of sessions. They are recomputed when
    needed. Sessions and models are not removed.
    """
    from llmtool.engine.openai.known_models import saved_files
    from llmtool.evals.reply_cache import FOLDER
    from llmtool.sessions.store import INDEX_NAME
    from llmtool.tasks.pipeline.disk_cache import DiskCache

    cache = _open(console, general)
    folder = cache.folder.parent
    names = (FOLDER, "notes", "self-tests", "translations", "translated", "anchors")
    cleared = [cache.clear(dry_run=dry_run)]
    for name in names:
        n_values, n_bytes = DiskCache(folder / name).clear(dry_run=dry_run)
        cleared.append((min(n_values, 1), n_bytes))  # they are in one file
    for saved in saved_files(folder):
        cleared.append((1, saved.stat().st_size))
        if not dry_run:
            saved.unlink()
    index = folder / INDEX_NAME
    if index.exists():
        from llmtool.sessions.search import remove_index

        cleared.append((1, index.stat().st_size))
        if not dry_run:
            remove_index(index)
    n_files, size = (sum(each) for each in zip(*cleared, strict=True))
    if json:
        console.stdout.write_json({"files": n_files, "size_bytes": size})
    elif n_files:
        freed = "would free" if dry_run else "freed"
        console.note(f"{freed} {format_bytes(size)}: {format_count(n_files, 'file')}")
    else:
        console.note(_EMPTY)
