"""The layouts of batches under their public name; `zstruct.loading.collate` has them, and their list."""

from zstruct.loading.collate import *  # noqa: F403
from zstruct.loading.collate import __all__ as __all__
