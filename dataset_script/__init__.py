"""Builds, checks and converts SynFundus datasets. The commands are in front, their code in subfolders."""
