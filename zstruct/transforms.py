"""The transforms under their public name; `zstruct.loading.transforms` has them, and their list."""

from zstruct.loading.transforms import *  # noqa: F403
from zstruct.loading.transforms import __all__ as __all__
