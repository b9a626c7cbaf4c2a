"""Archives, tar and zip, of files in any of the formats: their members are read where they are."""
