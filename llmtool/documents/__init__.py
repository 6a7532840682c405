"""Document formats: find the segments to translate and insert their translations."""
