"""What formats of named arrays share: which array is what, and blocks of rows as they are asked for."""
