"""Adaptation of a trained generator to the photographs of one camera."""
