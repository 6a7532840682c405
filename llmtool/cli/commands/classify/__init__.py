"""`llmtool classify`."""
