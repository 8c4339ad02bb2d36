"""The two ways in which a measurement does not come about."""


class EvaluationError(ValueError):
    """Input that cannot be used; the message names the field, what was given and what is allowed."""


class NotMeasurable(Exception):
    """A number that this data does not support; the message is the reason, and stands in the report in its place."""
