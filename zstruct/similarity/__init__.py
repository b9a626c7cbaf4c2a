"""Which structures are alike: duplicates, whatever the order of atoms and wherever and however they lie.

`fingerprints` has numbers that like structures share, `search` finds pairs with like ones and compares them
atom by atom, and `duplicates` says what they make up.
"""
