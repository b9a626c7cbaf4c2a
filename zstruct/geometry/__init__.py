"""Structures as packed arrays, their neighbours, and the distances between their atoms."""
