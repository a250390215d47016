"""The document at /openapi.json, and what it says of the server."""
