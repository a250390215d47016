"""Hundreds of clients that are cut all the time."""
