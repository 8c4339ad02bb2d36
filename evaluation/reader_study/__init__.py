"""A blind study: can people tell synthetic fundus images from real ones? (Figures 3 and 4 of the paper)."""
