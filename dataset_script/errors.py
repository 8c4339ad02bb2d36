"""The error that every command of this package reports without a traceback."""


class BuildError(ValueError):
    """A dataset cannot be built, read or converted. The message says why and what to do."""
