// What the page of `zstruct report --live` takes of zarrita.
export { Array, get, registry, slice } from "zarrita";
