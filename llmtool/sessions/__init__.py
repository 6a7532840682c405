"""Conversations on disk: kept, found again, searched and exported."""
