"""`generate`: replies to prompts, and `run`: any template."""
