"""Tables of Parquet: a row for each structure, in which atoms are lists."""
