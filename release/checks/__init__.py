"""Checks of a folder before it is published: its content, and whether its readers can use it."""
