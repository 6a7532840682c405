"""The options, each declared once, in groups."""
