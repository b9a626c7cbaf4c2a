"""The structure files of XCrySDen, in aenet's dialect and that of other programs."""
