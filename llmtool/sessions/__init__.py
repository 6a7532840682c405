"""Conversations on disk: saved, searched and exported."""
