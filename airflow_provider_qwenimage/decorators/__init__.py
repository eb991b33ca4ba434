"""Functions as image tasks."""
