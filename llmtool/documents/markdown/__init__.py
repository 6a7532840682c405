"""Markdown and its dialects: parsing, reading the text, writing and checking translations."""
