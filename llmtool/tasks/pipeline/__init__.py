"""Shared by all tasks: preparing requests, collecting replies, workflows, batches."""
