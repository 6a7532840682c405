"""Batches on Ray, and a class for the pipelines of Ray Data.

Only `Mapper` is public. Importing this package does not import `ray`.
"""

from llmtool.ray.mapper import Mapper

__all__ = ["Mapper"]
