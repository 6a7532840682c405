"""GGUF files: headers, checks and memory estimates."""
