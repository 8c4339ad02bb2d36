"""Measures a synthetic dataset against real photographs: authenticity, label fidelity, downstream value, privacy."""
