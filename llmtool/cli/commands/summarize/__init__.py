"""`llmtool sum`."""
