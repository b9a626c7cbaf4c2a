"""What VASP writes: OUTCAR and vasprun.xml."""
