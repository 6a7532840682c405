"""`llmtool models`."""
