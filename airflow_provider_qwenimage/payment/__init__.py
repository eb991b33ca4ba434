"""What is on record as paid, and what an error means for it."""
