"""States of computed prompt prefixes on disk."""
