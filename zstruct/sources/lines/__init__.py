"""What formats of lines of text share: bytes and numbers of a text for kernels."""
