"""The store: a plain Zarr v3 group, its documents, shards and groups. The only package that imports zarr."""
