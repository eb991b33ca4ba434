"""Measures the provider against its alternatives; see README.md."""
