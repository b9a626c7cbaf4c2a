"""What reads HDF5 files: flat ones, groups of structures, MACE's, and aenet's where that is allowed."""
