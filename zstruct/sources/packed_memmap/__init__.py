"""What reads packed memmap directories, as mmml has them."""
