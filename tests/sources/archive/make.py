"""Archives for tests: of names and bytes, in any dialect."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import zstandard

__all__ = ["COMPRESS", "PACKED", "files_of", "frame", "tar_of", "zip_of"]

#: What compresses files, by the ends of their names.
COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
#: The same for tar archives.
PACKED = {".tar": bytes} | {f".tar{suffix}": compress for suffix, compress in COMPRESS.items()}


def frame(k: float, n: int = 2) -> bytes:
    """Return a frame of extended XYZ whose energy is k."""
    rows = "".join(f"H 0 0 {i}.5 0 0 {k}\n" for i in range(n))
    return f"{n}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={k}\n{rows}".encode()


def tar_of(files, format=tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive of pairs of names and bytes, or of `tarfile.TarInfo` without any."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as archive:
        for item in files:
            if isinstance(item, tarfile.TarInfo):
                archive.addfile(item)
                continue
            info = tarfile.TarInfo(item[0])
            info.size = len(item[1])
            archive.addfile(info, io.BytesIO(item[1]))
    return made.getvalue()


def zip_of(files, method=zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of pairs of names and bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return made.getvalue()


def files_of(n: int):
    """Return names and bytes of files of one frame each."""
    return [(f"run/f{k}.xyz", frame(k)) for k in range(n)]
