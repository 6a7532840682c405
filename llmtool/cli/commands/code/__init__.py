"""`llmtool code`."""
