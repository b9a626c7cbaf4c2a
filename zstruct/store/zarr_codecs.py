"""The codecs of decimals, ``scale_offset`` and ``cast_value``, for a zarr that has none.

They are registered extensions of Zarr v3, which zarr-python has from 3.2 on. Only what decimals need of them
is here: double precision from and to whole numbers, one of which stands for NaN. Importing this module
registers them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayArrayCodec
from zarr.core.dtype import get_data_type_from_json
from zarr.registry import get_codec_class, register_codec

__all__ = ["CastValue", "ScaleOffset"]


class _Codec(ArrayArrayCodec):
    """What both codecs do in the same way."""

    is_fixed_size = True

    def encoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows as they are stored."""
        raise NotImplementedError

    def decoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows as they were."""
        raise NotImplementedError

    async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return self._encode_sync(chunk_array, chunk_spec)

    def _encode_sync(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return type(chunk_array).from_ndarray_like(self.encoded(np.asarray(chunk_array.as_ndarray_like())))

    async def _decode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return self._decode_sync(chunk_array, chunk_spec)

    def _decode_sync(self, chunk_array: Any, chunk_spec: Any) -> Any:
        return type(chunk_array).from_ndarray_like(self.decoded(np.asarray(chunk_array.as_ndarray_like())))

    def validate(self, **array: Any) -> None:
        """Raise unless the array is of double precision."""
        if array["dtype"].to_native_dtype() != np.float64:
            raise ValueError("zstruct decodes scale_offset and cast_value in arrays of float64 only")


@dataclass(frozen=True)
class ScaleOffset(_Codec):
    """Numbers are stored less `offset`, then times `scale`."""

    offset: float = 0
    scale: float = 1

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec that metadata asks for."""
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as metadata has it."""
        said = {"offset": self.offset, "scale": self.scale}
        kept = {name: value for name, value in said.items() if value != type(self)().__dict__[name]}
        return {"name": "scale_offset"} | ({"configuration": kept} if kept else {})

    def encoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows times the scale."""
        return (rows - float(self.offset)) * float(self.scale)

    def decoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows divided by the scale."""
        # What the cast has just made is nobody else's.
        divided: NDArray[Any] = np.divide(rows, float(self.scale), out=rows if rows.base is None else None)
        return divided + float(self.offset) if self.offset else divided

    def resolve_metadata(self, chunk_spec: Any) -> Any:
        """Return what a chunk is once it is encoded."""
        fill = self.encoded(np.asarray(chunk_spec.fill_value, np.float64))
        return replace(chunk_spec, fill_value=np.float64(fill))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the bytes of a chunk once it is encoded."""
        return input_byte_length


@dataclass(frozen=True)
class CastValue(_Codec):
    """Whole numbers in double precision are stored as integers; `scalar_map` says which stands for NaN."""

    data_type: str
    rounding: str = "nearest-even"
    out_of_range: str | None = None
    scalar_map: Any = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the codec that metadata asks for."""
        return cls(**data["configuration"])

    def __post_init__(self) -> None:
        maps = self.scalar_map or {}
        there, back = (dict(map(tuple, maps.get(way, ()))) for way in ("encode", "decode"))
        known = set(there) <= {"NaN"} and back == {stored: given for given, stored in there.items()}
        if self.data_type not in ("int32", "int64") or self.rounding != "nearest-even" or not known:
            raise ValueError(
                "zstruct decodes cast_value to int32 and int64, with a number for NaN, and not "
                f"{self.to_dict()}; on Python 3.12 or newer zarr does, with cast-value-rs"
            )

    @property
    def missing(self) -> int | None:
        """The integer that stands for NaN."""
        return None if self.scalar_map is None else dict(map(tuple, self.scalar_map["encode"])).get("NaN")

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as metadata has it."""
        said: dict[str, Any] = {"data_type": self.data_type}
        if self.rounding != "nearest-even":
            said["rounding"] = self.rounding
        if self.out_of_range is not None:
            said["out_of_range"] = self.out_of_range
        if self.scalar_map is not None:
            said["scalar_map"] = self.scalar_map
        return {"name": "cast_value", "configuration": said}

    def encoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows as integers.

        Raises
        ------
        ValueError
            If one has no place among them.
        """
        limits, absent = np.iinfo(self.data_type), np.isnan(rows)
        whole = np.rint(rows)
        outside = ~absent & ~((whole >= limits.min) & (whole < float(limits.max) + 1))
        if outside.any() or (absent.any() and self.missing is None):
            raise ValueError(f"cast_value: there are numbers that {self.data_type} can't hold")
        return np.where(absent, 0 if self.missing is None else self.missing, whole).astype(self.data_type)

    def decoded(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return integers in double precision."""
        numbers = rows.astype(np.float64)
        if self.missing is not None and (absent := rows == self.missing).any():
            numbers[absent] = np.nan
        return numbers

    def resolve_metadata(self, chunk_spec: Any) -> Any:
        """Return what a chunk is once it is encoded."""
        fill = self.encoded(np.asarray(chunk_spec.fill_value, np.float64))[()]
        dtype = get_data_type_from_json(self.data_type, zarr_format=3)
        return replace(chunk_spec, dtype=dtype, fill_value=fill)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the bytes of a chunk once it is encoded."""
        return input_byte_length // 8 * np.dtype(self.data_type).itemsize


def _register_where_missing() -> None:
    """Register these codecs with zarr, where it knows none of their names."""
    for name, codec in (("scale_offset", ScaleOffset), ("cast_value", CastValue)):
        try:
            get_codec_class(name)
        except KeyError:  # what newer ones raise is one, too
            register_codec(name, codec)


_register_where_missing()
