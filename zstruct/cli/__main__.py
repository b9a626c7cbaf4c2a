"""``python -m zstruct.cli``, as ``python -m zstruct``."""

import sys

from zstruct.cli import main

if __name__ == "__main__":
    sys.exit(main())
