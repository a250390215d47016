"""Takes over the uploads of a tusd: `tusd-py import-tusd`."""
