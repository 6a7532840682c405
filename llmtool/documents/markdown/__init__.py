"""Markdown and its dialects: the text of blocks, of directives and of front matter."""
