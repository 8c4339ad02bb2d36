"""Errors of the evaluation: bad input, and numbers that the data does not support."""


class EvaluationError(ValueError):
    """Input that cannot be used; the message names the field, what was given and what is allowed."""


class NotMeasurable(Exception):
    """A number that this data does not support; the report prints the reason in its place."""
