"""Structures in JSON: of pymatgen, with labels of several projects beside them, and of FitSNAP."""
