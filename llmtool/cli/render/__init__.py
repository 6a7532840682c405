"""Results as tables, Markdown, JSON and plots."""
