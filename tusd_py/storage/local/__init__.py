"""Uploads on a local file system."""
