"""Engines build the same table from the same work units, on one machine or on a cluster."""
