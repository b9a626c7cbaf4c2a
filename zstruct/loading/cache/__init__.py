"""Decoded blocks of a store: cut, decoded by threads, kept in private or shared memory."""
