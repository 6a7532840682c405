"""HTML: its tokens, its elements, and the text in it."""
