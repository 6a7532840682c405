"""`llmtool batch`."""
