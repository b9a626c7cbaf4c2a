"""Kernels of exporters: numbers as text, and the lines that they are in."""
