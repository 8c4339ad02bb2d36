"""The cards as published: metadata, release tables, gate text and Croissant, and the checks of them."""
