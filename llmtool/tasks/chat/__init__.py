"""`chat`: conversations with a model, saved as sessions and truncated to fit the context."""
