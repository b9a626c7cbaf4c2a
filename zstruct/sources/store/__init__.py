"""Stores as inputs."""
