"""`llmtool sessions`."""
