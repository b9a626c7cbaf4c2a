"""Features from elsewhere: arrays and files that others made, kept in a store beside those of descriptors."""
