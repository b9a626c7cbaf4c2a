"""The tests: a package, lest one of this name that some dependency installs be taken for it."""
