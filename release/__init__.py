"""Publishes the model, the dataset and the Space as three Hub repositories: `python -m release.push`.

A folder is checked with the programs that will read it and published as it is, with a card that links the other two
repositories. `push.py` is the command; `cards/`, `checks/` and `hub/` are its parts.
"""
