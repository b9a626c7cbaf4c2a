"""What reads arrays in memory: the atoms of all structures one after the other."""
