"""The index of a store, made: by builds and appends as they go, and of older stores on request.

`columns` works out what is in it and writes that, `index` puts it into a store that is there. What an index
is, and who may use it, is known by `zstruct.query.index`.
"""
