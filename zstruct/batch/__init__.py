"""Packed structures, and how samples are put together into them."""
