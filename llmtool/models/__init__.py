"""Model files: find, download, import, verify and remove them."""
