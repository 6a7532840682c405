"""Our layer over Typer: groups, help, usage errors, completion."""
