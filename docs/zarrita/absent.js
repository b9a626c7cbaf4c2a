// In place of codecs that no zstruct store has outside of Blosc: they would double the bundle.
export default undefined;
