"""Servers that die, at any moment and between any two steps, and clocks that jump."""
