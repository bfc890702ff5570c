"""Trained weights with their cards, and loaders for the authors' files."""
