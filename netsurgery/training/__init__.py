"""Nets trained over whole pictures: what they learn from, and the run itself."""
