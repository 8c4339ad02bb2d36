"""Publishes the model, the dataset and the Space as three Hub repositories: `python -m release.push`.

It knows folders, not code: a folder is checked as its readers will read it, and published as it stands, with a card
that names the other two.
"""
