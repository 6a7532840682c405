"""reStructuredText: the text in it, and its structure."""
