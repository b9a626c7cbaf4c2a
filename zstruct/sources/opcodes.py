"""The opcodes of a pickle, looked through before anything is made of them.

Python's unpickler takes a pickle at its word: a few bytes make it fill a memory, or recurse until the stack
of the process is full. Where that would be is found here. Which names a pickle may call is decided elsewhere.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.jit.kernel import helper, kernel

__all__ = ["DAMAGED", "DEEP", "EXTENSION", "FAR", "LONG", "PLAIN", "SHARED", "look_through"]

#: What is found in a pickle: nothing odd; containers or long texts that are used more than once; that it is
#: not whole; a memo of more places than there are bytes; codes of extensions; integers of more than 64 bits;
#: tuples in tuples without an end.
PLAIN, SHARED, DAMAGED, FAR, EXTENSION, LONG, DEEP = range(7)

# Values on the stack: nothing else is in them; containers and long texts. A tuple is one more than what is in
# it: Python hashes tuples by recursion.
_LEAF, _HOLDS, _DEEPEST, _MARK = 0, 2, 100, 255
_MANY = 64  # bytes of a long text, values of a large tuple
_INTEGER_BYTES, _INTEGER_DIGITS = 9, 24

# What follows an opcode: so many bytes; so many behind their number, which has 1, 4 or 8 bytes; lines.
_COUNTED, _LINES = 16, 32
# What becomes of the stack.
_NOTHING, _PUSH, _PUSH_HOLDS, _POP, _POP_PAIR, _POP_MARK, _DUP, _MARKS, _TUPLES, _TUPLE = range(10)
_COLLECT, _CALL, _NEW, _BUILD, _NAME, _PUT, _GET, _MEMOIZE, _INTEGER, _REFUSED, _STOP = range(10, 21)

_ROWS = {
    "PROTO": (1, _NOTHING),
    "FRAME": (8, _NOTHING),
    "STOP": (0, _STOP),
    "MARK": (0, _MARKS),
    "POP": (0, _POP),
    "POP_MARK": (0, _POP_MARK),
    "DUP": (0, _DUP),
    "NONE": (0, _PUSH),
    "NEWTRUE": (0, _PUSH),
    "NEWFALSE": (0, _PUSH),
    "BINFLOAT": (8, _PUSH),
    "FLOAT": (_LINES + 1, _PUSH),
    "BININT": (4, _PUSH),
    "BININT1": (1, _PUSH),
    "BININT2": (2, _PUSH),
    "INT": (_LINES + 1, _INTEGER),
    "LONG": (_LINES + 1, _INTEGER),
    "LONG1": (_COUNTED + 1, _INTEGER),
    "LONG4": (_COUNTED + 4, _INTEGER),
    "STRING": (_LINES + 1, _PUSH),
    "BINSTRING": (_COUNTED + 4, _PUSH),
    "SHORT_BINSTRING": (_COUNTED + 1, _PUSH),
    "UNICODE": (_LINES + 1, _PUSH),
    "BINUNICODE": (_COUNTED + 4, _PUSH),
    "SHORT_BINUNICODE": (_COUNTED + 1, _PUSH),
    "BINUNICODE8": (_COUNTED + 8, _PUSH),
    "BINBYTES": (_COUNTED + 4, _PUSH),
    "SHORT_BINBYTES": (_COUNTED + 1, _PUSH),
    "BINBYTES8": (_COUNTED + 8, _PUSH),
    "BYTEARRAY8": (_COUNTED + 8, _PUSH),
    "GLOBAL": (_LINES + 2, _PUSH),
    "STACK_GLOBAL": (0, _NAME),
    "EMPTY_LIST": (0, _PUSH_HOLDS),
    "EMPTY_DICT": (0, _PUSH_HOLDS),
    "EMPTY_SET": (0, _PUSH_HOLDS),
    "EMPTY_TUPLE": (0, _PUSH),
    "TUPLE1": (0, _TUPLES),
    "TUPLE2": (0, _TUPLES),
    "TUPLE3": (0, _TUPLES),
    "TUPLE": (0, _TUPLE),
    "FROZENSET": (0, _TUPLE),
    "LIST": (0, _COLLECT),
    "DICT": (0, _COLLECT),
    "OBJ": (0, _COLLECT),
    "INST": (_LINES + 2, _COLLECT),
    "APPEND": (0, _POP),
    "APPENDS": (0, _POP_MARK),
    "ADDITEMS": (0, _POP_MARK),
    "SETITEM": (0, _POP_PAIR),
    "SETITEMS": (0, _POP_MARK),
    "REDUCE": (0, _CALL),
    "NEWOBJ": (0, _NEW),
    "NEWOBJ_EX": (0, _NEW),
    "BUILD": (0, _BUILD),
    "PUT": (_LINES + 1, _PUT),
    "BINPUT": (1, _PUT),
    "LONG_BINPUT": (4, _PUT),
    "MEMOIZE": (0, _MEMOIZE),
    "GET": (_LINES + 1, _GET),
    "BINGET": (1, _GET),
    "LONG_BINGET": (4, _GET),
    "EXT1": (1, _REFUSED),
    "EXT2": (2, _REFUSED),
    "EXT4": (4, _REFUSED),
}


def _table() -> NDArray[Any]:
    """Return by opcode what follows it and what becomes of the stack, shape (256, 2); -1 if it is none."""
    table = np.full((256, 2), -1, dtype=np.int64)
    for name, row in _ROWS.items():
        table[getattr(pickle, name)[0]] = row
    return table


_TABLE = _table()
_TUPLE1, _NEWOBJ_EX = pickle.TUPLE1[0], pickle.NEWOBJ_EX[0]


@helper
def _little(data, p, n):
    """Return the integer of `n` bytes at a place; very large ones are as good as endless."""
    value = np.int64(0)
    for k in range(n):
        byte = np.int64(data[p + k])
        if k > 5 and byte:
            return np.int64(1) << np.int64(60)
        value |= byte << np.int64(8 * k)
    return value


@helper
def _decimal(data, p, stop):
    """Return the integer that a line is, -1 if it is none."""
    if p == stop or stop - p > 18:
        return np.int64(-1)
    value = np.int64(0)
    for k in range(p, stop):
        digit = np.int64(data[k]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        value = 10 * value + digit
    return value


@helper
def _grown(values, n):
    """Return room for more than `n` values, the same at the beginning."""
    made = np.zeros(2 * n + 64, dtype=values.dtype)
    made[: len(values)] = values
    return made


@kernel(takes=2)
def look_through(data):
    """Return what there is in a pickle: `PLAIN` or `SHARED`, or what it must not have.

    Parameters
    ----------
    data
        The pickle, uint8.
    """
    end = len(data)
    p = np.int64(0)
    stack = np.zeros(64, dtype=np.uint8)
    places = np.zeros(64, dtype=np.int64)  # in the memo, and one more; 0 for values that are not there
    memo = np.zeros(64, dtype=np.uint8)  # values, and one more; 0 where there is none
    top = np.int64(0)  # values on the stack
    memoized = np.int64(0)
    found = PLAIN
    while p < end:
        code = np.int64(data[p])
        follows, effect = _TABLE[code, 0], _TABLE[code, 1]
        p += 1
        if follows < 0:
            return DAMAGED
        first, size = p, follows
        if follows >= _LINES:
            for _ in range(follows - _LINES):
                first = p
                while p < end and data[p] != 10:
                    p += 1
                size = p - first
                p += 1
        elif follows >= _COUNTED:
            first = p + follows - _COUNTED
            if first > end:
                return DAMAGED
            size = _little(data, p, follows - _COUNTED)
            p = first + size
        else:
            p += follows
        if p > end:
            return DAMAGED
        if top + 1 >= len(stack):
            stack, places = _grown(stack, top), _grown(places, top)
        if effect == _STOP:
            return found if top > 0 else DAMAGED
        if effect == _REFUSED:
            return EXTENSION
        if effect in (_PUSH, _PUSH_HOLDS, _INTEGER):
            if effect == _INTEGER and size > (_INTEGER_DIGITS if follows >= _LINES else _INTEGER_BYTES):
                return LONG
            stack[top] = _HOLDS if effect == _PUSH_HOLDS or size > _MANY else _LEAF
            places[top] = 0
            top += 1
        elif effect == _MARKS:
            stack[top] = _MARK
            top += 1
        elif effect in (_PUT, _GET, _MEMOIZE):
            number = memoized
            if effect != _MEMOIZE:
                lines = follows >= _LINES
                number = _decimal(data, first, first + size) if lines else _little(data, first, size)
            if number < 0:
                return DAMAGED
            if number > end:
                return FAR
            if number >= len(memo):
                memo = _grown(memo, number)
            if effect == _GET:
                if memo[number] == 0:
                    return DAMAGED
                stack[top], places[top] = memo[number] - 1, number + 1
                if stack[top] >= _HOLDS:
                    found = SHARED
                top += 1
            else:
                if top == 0 or stack[top - 1] == _MARK:
                    return DAMAGED
                memoized += memo[number] == 0
                memo[number] = stack[top - 1] + 1
                places[top - 1] = number + 1
        elif effect == _DUP:
            if top == 0 or stack[top - 1] == _MARK:
                return DAMAGED
            stack[top], places[top] = stack[top - 1], places[top - 1]
            top += 1
            found = SHARED
        elif effect in (_POP, _POP_PAIR):
            top -= 1 if effect == _POP else 2
        elif effect in (_CALL, _NEW, _NAME):
            top -= 2 if code == _NEWOBJ_EX else 1
            if top > 0:
                # Of a few numbers and short texts a function makes nothing large.
                large = effect == _NEW or (effect == _CALL and stack[top] >= _HOLDS)
                stack[top - 1], places[top - 1] = _HOLDS if large else _LEAF, 0
        elif effect == _BUILD:
            top -= 1
            if top > 0 and stack[top] >= _HOLDS > stack[top - 1]:
                stack[top - 1] = _HOLDS
                if places[top - 1]:
                    memo[places[top - 1] - 1] = _HOLDS + 1
        elif effect != _NOTHING:  # it takes several values, or all that are behind a mark
            n = code - _TUPLE1 + 1 if effect == _TUPLES else top
            deepest = np.int64(_LEAF)
            first = top
            while first > 0 and top - first < n and stack[first - 1] != _MARK:
                first -= 1
                deepest = max(deepest, np.int64(stack[first]))
            if effect == _TUPLES:
                if top - first < n:
                    return DAMAGED
            else:
                first -= 1  # the mark
                if first < 0:
                    return DAMAGED
            if effect in (_TUPLE, _TUPLES):
                if deepest >= _DEEPEST:
                    return DEEP
                if top - first > _MANY:
                    deepest = max(deepest, np.int64(_HOLDS))
                stack[first], places[first] = deepest + 1, 0
                first += 1
            elif effect == _COLLECT:
                stack[first], places[first] = _HOLDS, 0
                first += 1
            top = first
        if top < 0:
            return DAMAGED
    return DAMAGED
