"""Packed structures, how samples are put together into them, and the tensors that they become."""
