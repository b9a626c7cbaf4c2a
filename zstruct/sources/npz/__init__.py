"""What reads NumPy's archives of arrays."""
