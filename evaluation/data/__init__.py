"""Photographs of both sides, loaded and equalised, and the split of the patients."""
