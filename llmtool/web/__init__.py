"""HTTP connections: proxies, certificates, errors, and web pages; the only importer of httpx2."""
