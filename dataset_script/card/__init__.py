"""Dataset cards: README.md with its metadata, tables and pictures."""
