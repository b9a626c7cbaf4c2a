"""What ASE reads: files, databases, and Atoms in memory."""
