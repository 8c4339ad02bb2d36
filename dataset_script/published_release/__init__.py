"""Reads the published SynFundus-1M release as its users have it on disk."""
