"""Hooks: what clients, and those who are asked, see of them."""
