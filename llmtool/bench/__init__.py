"""Benchmark a model on this machine."""
