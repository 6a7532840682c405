"""`llmtool bench`."""
