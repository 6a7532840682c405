"""The Hugging Face Hub: metadata, downloads and its cache layout."""
