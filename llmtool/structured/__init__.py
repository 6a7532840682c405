"""Structured output: constraints on decoding and checks of replies."""
