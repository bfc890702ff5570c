"""Readers of the authors' weight files, one a model.

Names and shapes of their layers are facts taken from their public repositories; no code of theirs
is used.
"""
