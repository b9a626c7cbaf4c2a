"""Arrays of NumPy whose headers say what they must not."""

import io
import struct

import numpy as np

__all__ = ["HEADERS"]


class _Explodes:
    def __reduce__(self):
        return exec, ("raise SystemExit('it was executed')",)


def _npy(header: str, data: bytes = bytes(64), version: int = 1) -> bytes:
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, len(header)) + header.encode() + data


def _saved(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array, allow_pickle=True)
    return made.getvalue()


def _shaped(shape: str, descr: str = "'<f8'") -> bytes:
    return _npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")


#: By what is wrong with them.
HEADERS = {
    "objects": _saved(np.array([_Explodes()] * 2, dtype=object)),
    "objects without any": _shaped("(2,)", "'|O'"),
    "a shape of terabytes": _shaped("(1099511627776, 3)"),
    "a shape beyond all integers": _shaped("(4611686018427387904, 4, 3)"),
    "a negative shape": _shaped("(-1, 3)"),
    "a shape without an end": _shaped("(" * 150 + "1" + ")" * 150),
    "rows of nothing": _shaped("(1000000000000, 0)"),
    "texts of nothing": _shaped("(1000000000000,)", "'<U0'"),
    "records": _shaped("(1,)", "[('a', '<f8', (1000000, 1000000))]"),
    "parentheses": _npy("(" * 9000 + "\n"),
    "code": _npy("__import__('os').abort()\n"),
    "a long header": _npy(" " * 200_000 + "\n", version=2),
    "a version of its own": _npy("", version=9),
    "no header": b"\x93NUMPY",
    "nothing": b"",
}
