"""The ``.cfg`` files of moment tensor potentials (MLIP)."""
