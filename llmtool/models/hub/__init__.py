"""The Hugging Face Hub: listings, downloads and the cache."""
