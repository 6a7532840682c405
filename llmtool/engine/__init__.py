"""From requests to tokens to events, on llama.cpp."""
