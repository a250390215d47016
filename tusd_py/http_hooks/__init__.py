"""Hooks over HTTP, in the JSON of tusd v2."""
