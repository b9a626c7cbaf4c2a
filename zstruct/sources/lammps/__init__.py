"""Dumps of LAMMPS, as text."""
