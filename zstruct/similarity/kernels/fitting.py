"""Rotations that bring vectors upon others, and atoms as near to their partners as they get.

The largest displacement is made least by weights that grow where displacements are large (Lawson, 1961), and
as the mean of squares with any weights is a lower bound, what can't be within the tolerance is told soon.
"""

from __future__ import annotations

import numpy as np

from zstruct.jit.kernel import helper

__all__ = ["fit", "fit_lattice", "set_rotation"]

_SETTLED = 2  # steps after which turns are small, and weights begin to change


@helper
def set_rotation(a, b, c, d, rotation):  # type: ignore[no-untyped-def]
    """Set the rotation that turns vector a to b and, about it, c towards d as far as that goes."""
    one, other = np.empty((3, 3)), np.empty((3, 3))
    _set_axes(a, c, one)
    _set_axes(b, d, other)
    for i in range(3):
        for j in range(3):
            rotation[i, j] = other[0, i] * one[0, j] + other[1, i] * one[1, j] + other[2, i] * one[2, j]


@helper
def _set_axes(a, c, axes):  # type: ignore[no-untyped-def]
    """Set right-handed axes: along a, across in the plane of a and c, and normal to both."""
    length = np.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
    for d in range(3):
        axes[0, d] = a[d] / length
    along = c[0] * axes[0, 0] + c[1] * axes[0, 1] + c[2] * axes[0, 2]
    across = 0.0
    for d in range(3):
        axes[1, d] = c[d] - along * axes[0, d]
        across += axes[1, d] * axes[1, d]
    if not across > 1e-24 * length * length:
        thin = 0
        for d in range(1, 3):
            if abs(axes[0, d]) < abs(axes[0, thin]):
                thin = d
        across = 1.0 - axes[0, thin] * axes[0, thin]
        for d in range(3):
            axes[1, d] = (1.0 if d == thin else 0.0) - axes[0, thin] * axes[0, d]
    for d in range(3):
        axes[1, d] /= np.sqrt(across)
    for d in range(3):
        e, f = (d + 1) % 3, (d + 2) % 3
        axes[2, d] = axes[0, e] * axes[1, f] - axes[0, f] * axes[1, e]


@helper
def fit_lattice(m, lattice, image, tolerance, rotation):  # type: ignore[no-untyped-def]
    """Set the rotation that brings lattice vectors nearest to others; return whether near enough."""
    set_rotation(lattice[0], image[0], lattice[1], image[1], rotation)
    turned, inertia, torque = np.empty(3), np.empty((3, 3)), np.empty(3)
    turn = np.empty((3, 3))
    worst = 0.0
    for step in range(4):
        inertia[:], torque[:], worst = 0.0, 0.0, 0.0
        for k in range(m):
            square = 0.0
            for d in range(3):
                turned[d] = (
                    rotation[d, 0] * lattice[k, 0]
                    + rotation[d, 1] * lattice[k, 1]
                    + rotation[d, 2] * lattice[k, 2]
                )
                square += (image[k, d] - turned[d]) ** 2
            worst = max(worst, square)
            _add_moments(
                1.0,
                turned[0],
                turned[1],
                turned[2],
                image[k, 0] - turned[0],
                image[k, 1] - turned[1],
                image[k, 2] - turned[2],
                inertia,
                torque,
            )
        if step < 3 and _set_turn(inertia, torque, turn):
            _turn_rows(turn, rotation)
    return worst <= tolerance * tolerance * (1.0 + 1e-9) + 1e-18


@helper
def _turn_rows(turn, rotation):  # type: ignore[no-untyped-def]
    """Turn a rotation further."""
    for j in range(3):
        x, y, z = rotation[0, j], rotation[1, j], rotation[2, j]
        for i in range(3):
            rotation[i, j] = turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z


@helper
def _add_moments(weight, x, y, z, dx, dy, dz, inertia, torque):  # type: ignore[no-untyped-def]
    """Add a point, and how far it should go, to the moments of inertia and to the torque."""
    square = x * x + y * y + z * z
    inertia[0, 0] += weight * (square - x * x)
    inertia[1, 1] += weight * (square - y * y)
    inertia[2, 2] += weight * (square - z * z)
    inertia[0, 1] -= weight * x * y
    inertia[0, 2] -= weight * x * z
    inertia[1, 2] -= weight * y * z
    torque[0] += weight * (y * dz - z * dy)
    torque[1] += weight * (z * dx - x * dz)
    torque[2] += weight * (x * dy - y * dx)


@helper
def _keep_along(axis, inertia, torque):  # type: ignore[no-untyped-def]
    """Have a torque turn about an axis alone."""
    about, along = 0.0, 0.0
    for i in range(3):
        along += torque[i] * axis[i]
        for j in range(3):
            about += axis[i] * inertia[i, j] * axis[j]
    for i in range(3):
        torque[i] = along * axis[i]
        for j in range(3):
            inertia[i, j] = about if i == j else 0.0


@helper
def _set_turn(inertia, torque, turn):  # type: ignore[no-untyped-def]
    """Set the rotation that the torque asks for; return whether there is any."""
    trace = inertia[0, 0] + inertia[1, 1] + inertia[2, 2]
    if not trace > 0.0:
        return False
    soft = 1e-9 * trace  # about the axis of atoms in line nothing is to be turned
    a, b, c = inertia[0, 0] + soft, inertia[1, 1] + soft, inertia[2, 2] + soft
    d, e, f = inertia[0, 1], inertia[0, 2], inertia[1, 2]
    p, q, r = b * c - f * f, e * f - d * c, d * f - e * b
    determinant = a * p + d * q + e * r
    if not abs(determinant) > 0.0:
        return False
    x, y, z = torque[0], torque[1], torque[2]
    u = (p * x + q * y + r * z) / determinant
    v = (q * x + (a * c - e * e) * y + (d * e - a * f) * z) / determinant
    w = (r * x + (d * e - a * f) * y + (a * b - d * d) * z) / determinant
    angle = np.sqrt(u * u + v * v + w * w)
    if not angle > 0.0:
        return False
    u, v, w = u / angle, v / angle, w / angle
    s, t = np.sin(angle), 1.0 - np.cos(angle)
    turn[0, 0], turn[0, 1], turn[0, 2] = 1.0 - t * (v * v + w * w), t * u * v - s * w, t * u * w + s * v
    turn[1, 0], turn[1, 1], turn[1, 2] = t * u * v + s * w, 1.0 - t * (u * u + w * w), t * v * w - s * u
    turn[2, 0], turn[2, 1], turn[2, 2] = t * u * w - s * v, t * v * w + s * u, 1.0 - t * (u * u + v * v)
    return True


@helper
def fit(n, m, tolerance, steps, moved, off, weights, axis, rotation):  # type: ignore[no-untyped-def]
    """Bring atoms to their partners; return the largest displacement if it gets within the tolerance.

    Without a lattice they are turned as well, and with one period about the axis along it; what they were
    turned by is added to the rotation.

    Parameters
    ----------
    n, m
        Atoms, and periods of the lattice.
    tolerance
        The largest displacement.
    steps
        Of the weights.
    moved, off
        Where atoms are, and how far from their partners, each shape (3, n); both are changed.
    weights
        For its own use, shape (n,).
    axis
        The direction of the one period, shape (3,).
    rotation
        That of the atoms, shape (3, 3).
    """
    center, mean, inertia, torque, turn = (
        np.empty(3),
        np.empty(3),
        np.empty((3, 3)),
        np.empty(3),
        np.empty((3, 3)),
    )
    for i in range(n):
        weights[i] = 1.0 / n
    limit = tolerance * tolerance * (1.0 + 1e-9) + 1e-18
    for step in range(steps):
        for d in range(3):
            center[d], mean[d] = 0.0, 0.0
            for i in range(n):
                center[d] += weights[i] * moved[d, i]
                mean[d] += weights[i] * off[d, i]
        turned = False
        if m < 2:
            inertia[:], torque[:] = 0.0, 0.0
            for i in range(n):
                _add_moments(
                    weights[i],
                    moved[0, i] - center[0],
                    moved[1, i] - center[1],
                    moved[2, i] - center[2],
                    off[0, i] - mean[0],
                    off[1, i] - mean[1],
                    off[2, i] - mean[2],
                    inertia,
                    torque,
                )
            if m == 1:
                _keep_along(axis, inertia, torque)
            turned = _set_turn(inertia, torque, turn)
            if turned:
                _turn_rows(turn, rotation)
        largest, bound, total = 0.0, 0.0, 0.0
        for i in range(n):
            x, y, z = moved[0, i] - center[0], moved[1, i] - center[1], moved[2, i] - center[2]
            square = 0.0
            for d in range(3):
                target = moved[d, i] + off[d, i]
                if turned:
                    moved[d, i] = center[d] + turn[d, 0] * x + turn[d, 1] * y + turn[d, 2] * z
                moved[d, i] += mean[d]
                off[d, i] = target - moved[d, i]
                square += off[d, i] * off[d, i]
            largest = max(largest, square)
            bound += weights[i] * square
            if step >= _SETTLED:
                weights[i] = max(weights[i] * np.sqrt(square), 1e-12)
            total += weights[i]
        if largest <= limit:
            return np.sqrt(largest)
        if step > _SETTLED and bound > limit * (1.0 + 1e-3):
            return np.inf
        for i in range(n):
            weights[i] /= total
    return np.inf
