"""Translating: a document's passages to requests, replies to passages, in the document's order."""
