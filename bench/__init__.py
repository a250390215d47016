"""Programs that measure: how fast, how much, and whether it holds."""
