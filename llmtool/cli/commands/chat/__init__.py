"""`llmtool chat`."""
