"""`llmtool prompts`."""
