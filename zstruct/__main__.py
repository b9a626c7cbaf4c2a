"""``python -m zstruct``: the command line, where the ``zstruct`` command is not on the path."""

import sys

from zstruct.cli import main

if __name__ == "__main__":
    sys.exit(main())
