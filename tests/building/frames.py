"""Structures as text, whose numbers are decimals."""

import numpy as np

__all__ = ["some_frames"]


def some_frames(n):
    """Return structures of random numbers; some lack forces, zeros have signs."""
    frames = []
    draw = np.random.default_rng(0).normal(scale=3.0, size=(n, 3, 4))
    for k in range(n):
        forces = k % 3 != 0
        head = f"Properties=species:S:1:pos:R:3{':forces:R:3' if forces else ''} energy={-k - 0.123456:.6f}"
        rows = [
            f"H {a:.8f} -0.00000000 {b:.8f}" + (f" -0.000000 {c:.6f} {d:.6f}" if forces else "")
            for a, b, c, d in draw[k]
        ]
        frames.append("\n".join(["3", head, *rows, ""]))
    return "".join(frames)
