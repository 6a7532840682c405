"""Our layer over Typer: option groups, help, usage errors, completion."""
