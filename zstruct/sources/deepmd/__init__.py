"""Systems of DeePMD-kit: a directory of arrays, or of numbers as text, for each list of atoms."""
