"""`generate`, which replies to prompts, and `run`, which runs any template."""
