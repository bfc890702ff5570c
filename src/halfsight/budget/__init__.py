"""The same score from a part of the photograph: choose regions cheaply, read those alone.

A selector looks at a thumbnail and ranks the regions, the backbone runs on the chosen blocks, TRIQ
reads their tokens at their true positions, and a head trained under random masks gives the score.
"""
