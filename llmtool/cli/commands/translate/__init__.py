"""`llmtool translate`."""
