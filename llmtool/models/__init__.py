"""Model files: named, found, fetched, checked, removed."""
