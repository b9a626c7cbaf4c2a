"""The kernels of the extended-XYZ reader: frames, comment lines, their values, atom lines.

Every byte of a file is touched here, and in the helpers of ``characters``, ``decimals`` and ``pairs``. Text
is an uint8 array with `PAD` bytes of room after its last valid byte, so that kernels may load whole words at
the end; positions are indices into it. Kernels report faults as codes and positions; sentences are made
elsewhere.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from zstruct.elements import numbers_by_letters
from zstruct.jit.kernel import helper, kernel
from zstruct.sources.lines.characters import (
    CLASSES,
    CLOSE,
    COMMA,
    EXACT,
    MINUS,
    NEWLINE,
    OPEN,
    PLUS,
    POINT,
    QUOTE,
    SPACES,
    is_space,
    line_end,
    skip_spaces,
    token_end,
)
from zstruct.sources.lines.decimals import (
    NOT_READ,
    READ,
    UNDECIDED,
    float_at,
    float_called,
    integer_at,
)
from zstruct.sources.lines.words import (
    address_of,
    byte_at,
    count_ones,
    put_byte,
    trailing_zeros,
    which_are,
    which_are_spaces,
    word_at,
)
from zstruct.sources.xyz.pairs import split_fully, split_plainly

#: Bytes a text array must have after its last valid byte.
PAD = 128

# Kinds of line.
BLANK, INTEGER, OTHER = 0, 1, 2
# Why the index of frames refuses a frame.
GOOD, NOT_A_COUNT, NO_ATOMS, NEGATIVE, ENDS_EARLY, BLANK_INSIDE, COUNT_INSIDE, UNFIT = range(8)
# Why the atom lines of a frame are refused.
FINE, TOO_FEW, TOO_MANY, NOT_A_NUMBER, NOT_AN_INTEGER, NOT_A_BOOL, NO_ELEMENT, NO_ATOMIC_NUMBER = range(8)
# What a token of an atom line is.
REAL, INT, BOOL, TEXT, SPECIES, NUMBER = range(6)
# What a value of a comment line is; J_INTEGERS and J_FLOATS are flat JSON lists of numbers.
V_EMPTY, V_INT, V_FLOAT, V_BOOL, V_TEXT, V_JSON, V_J_INTS, V_J_FLOATS = range(8)
# What is known of a comment line, as bits: it has Properties; a quote or bracket in it is never closed.
EXTENDED, UNCLOSED = 1, 2
#: The length of a value that has rows and columns is ``rows << ROWS | columns``.
ROWS = 32

_LARGE = 10**17  # counts saturate here
_FAR = 1 << 62

_U = np.uint64


_ELEMENTS = numbers_by_letters()


# Frames.


@helper(**EXACT)
def _line_kind(text, p, stop):
    """Return whether the line at `p` is blank, a lone integer or neither, and the integer."""
    while p < stop and byte_at(text, p) != NEWLINE and is_space(byte_at(text, p)):
        p += 1
    if p >= stop or byte_at(text, p) == NEWLINE:
        return BLANK, 0
    negative = byte_at(text, p) == MINUS
    if negative or byte_at(text, p) == PLUS:
        p += 1
    first, value = p, 0
    while p < stop and 48 <= byte_at(text, p) <= 57:
        value = min(10 * value + byte_at(text, p) - 48, _LARGE)
        p += 1
    if p == first:
        return OTHER, 0
    while p < stop and byte_at(text, p) != NEWLINE and is_space(byte_at(text, p)):
        p += 1
    if p < stop and byte_at(text, p) != NEWLINE:
        return OTHER, 0
    return INTEGER, -value if negative else value


@kernel(takes=2, **EXACT)
def index_frames(buffer, p, stop, limit, final, resync, frames, codes, details):
    """Find the frames of a text, good and bad, without reading what they hold.

    A frame is a line with a count, a comment line, and as many lines as the count says, none of
    them blank or a lone integer, up to the end, a blank line or a line with a lone integer. Where
    there is none, one bad frame is listed, and search goes on from the line after its first for
    the next good frame.

    Parameters
    ----------
    buffer
        The bytes of the text.
    p, stop
        Where to begin, and the end of the valid bytes.
    limit
        Frames that start here or later are not wanted.
    final
        Whether the file ends at `stop`; if not, a frame that might go on after it is left alone.
    resync
        Whether a bad frame was just listed and a good one is being searched for.
    frames
        Room for the start, comment, first atom line, end and atom count of each frame, (n, 5).
    codes, details
        Room for why a frame is bad: a code, shape (n,), and the position and the number that its
        sentence needs, shape (n, 2).

    Returns
    -------
    n, p, resync
        Number of frames, where to go on, and the state there.
    """
    text = address_of(buffer)
    n = 0
    room = len(codes)
    while p < stop and p < limit and n < room:
        end = line_end(text, p, stop)
        if end == stop and not final:
            break
        kind, count = _line_kind(text, p, end)
        if kind == BLANK:
            p = end + 1
            continue
        if kind == OTHER or count < 1:
            if not resync:
                frames[n, 0] = p
                frames[n, 4] = count
                codes[n] = NOT_A_COUNT if kind == OTHER else NO_ATOMS if count == 0 else NEGATIVE
                details[n, 0] = p
                details[n, 1] = 0
                n += 1
            resync = True
            p = end + 1
            continue
        code = GOOD
        comment = end + 1
        line = line_end(text, comment, stop) + 1
        atoms = line
        done = 0
        while done < count:
            if line >= stop:
                code = ENDS_EARLY
                break
            after = line_end(text, line, stop)
            if after == stop and not final:
                code = ENDS_EARLY
                break
            if byte_at(text, line) <= 57:
                kind, _ = _line_kind(text, line, after)
                if kind != OTHER:
                    code = BLANK_INSIDE if kind == BLANK else COUNT_INSIDE
                    break
            line = after + 1
            done += 1
        if code == GOOD and line < stop:
            after = line_end(text, line, stop)
            if after == stop and not final:
                break
            kind, _ = _line_kind(text, line, after)
            if kind == OTHER:
                code = UNFIT
        elif not final and (code in (GOOD, ENDS_EARLY)):
            break
        if code == GOOD or not resync:
            frames[n, 0] = p
            frames[n, 1] = comment
            frames[n, 2] = atoms
            frames[n, 3] = min(line, stop)
            frames[n, 4] = count
            codes[n] = code
            details[n, 0] = line
            details[n, 1] = done
            n += 1
        resync = code != GOOD
        p = line if code == GOOD else end + 1
    return n, p, resync


# Comment lines.


@helper(forceinline=True, **EXACT)
def _first_bytes(text, p, n):
    """Return the first `n` > 0 of the eight bytes at `p`, zeros behind."""
    word = word_at(text, p)
    return word if n >= 8 else word & ((_U(1) << _U(8 * n)) - _U(1))


@helper(**EXACT)
def _hash(text, p, end):
    value = _U(end - p)
    while p < end:
        value = (value ^ _first_bytes(text, p, end - p)) * _U(0x9E3779B97F4A7C15)
        value = value ^ (value >> _U(32))
        p += 8
    return value


@helper(**EXACT)
def _same(text, p, end, q):
    while p < end:
        if _first_bytes(text, p, end - p) != _first_bytes(text, q, end - p):
            return False
        p += 8
        q += 8
    return True


@helper(**EXACT)
def _intern(text, p, end, table, hashes, places, n):
    """Return the code of a piece of text, which is `n` if it is new.

    `table` has codes by hash, -1 where empty; `hashes` and `places` (start and end) are by code.
    """
    mask = len(table) - 1
    value = _hash(text, p, end)
    slot = np.int64(value & _U(mask))
    while table[slot] >= 0:
        code = np.int64(table[slot])
        if hashes[code] == value:
            q = places[code, 0]
            if places[code, 1] - q == end - p and _same(text, p, end, q):
                return code
        slot = (slot + 1) & mask
    table[slot] = n
    hashes[n] = value
    places[n, 0] = p
    places[n, 1] = end
    return n


@kernel(**EXACT)
def intern(buffer, spans, table, hashes, places, codes):
    """Give equal pieces of text equal codes, in the order of first appearance.

    Parameters
    ----------
    buffer
        The bytes of the text.
    spans
        Start and end of each piece, shape (n, 2).
    table, hashes, places
        A hash table, see `_intern`; places become the spans of the distinct pieces.
    codes
        Room for the code of each piece, shape (n,).

    Returns
    -------
    int
        Number of distinct pieces; -1 if the table is too small for them.
    """
    text = address_of(buffer)
    n = np.int64(0)
    code = np.int64(-1)
    last = len(hashes) - 1
    for k in range(len(spans)):
        if n >= last:
            return -1
        p, end = spans[k, 0], spans[k, 1]
        # Most pieces equal the one before.
        if (
            code < 0
            or end - p != places[code, 1] - places[code, 0]
            or not _same(text, p, end, places[code, 0])
        ):
            code = _intern(text, p, end, table, hashes, places, n)
        codes[k] = code
        if code == n:
            n += 1
    return n


@kernel(**EXACT)
def refill(table, hashes, n):
    """Put the codes of `n` known keys into a new, empty hash table."""
    mask = len(table) - 1
    for code in range(n):
        slot = np.int64(hashes[code] & _U(mask))
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = code


@helper(forceinline=True, **EXACT)
def _is_properties(text, p, end):
    """Whether a key is ``Properties``, in any case."""
    if end - p != 10 or word_at(text, p) | SPACES != _U(0x69747265706F7270):
        return False
    return byte_at(text, p + 8) | 32 == 101 and byte_at(text, p + 9) | 32 == 115


@kernel(takes=4, **EXACT)
def split_comments(buffer, lines, begin, state, true_at, tokens, pairs, table, hashes, places, last, recent,
                   marks, kept, remarks):  # fmt: skip
    r"""Split comment lines into keys and values.

    The rules are ASE's (``ase.io.extxyz.key_val_str_to_dict``), save that an empty pair of quotes
    ends a value, that a list of lists is one value, that ``\n`` in quotes is a newline, and that
    a word behind ``key= `` is no value where another equals sign follows. A word without a value is
    true in extended XYZ (where ``Properties`` is given). A plain comment that has such words, or a
    quote that is never closed, is copied as it is.

    Parameters
    ----------
    buffer
        The bytes of the text; comments with escapes or odd quotes are overwritten.
    lines
        Start and end of each comment, shape (n, 2).
    begin
        The line to begin with.
    state
        Number of tokens, of keys, of bytes kept, and of values whose key was in the line before, so
        far; shape (4,); advanced.
    true_at
        Where the text has a ``T``, the value of a word that has none.
    tokens
        Room for frame, key code, start and end (``~end`` of a list of lists) of the value of each
        token, shape (m, 4).
    pairs
        Room for the pairs of one comment, shape (half the longest comment + 2, 4).
    table, hashes, places
        A hash table of keys, see `_intern`.
    last
        The latest token of each key, by code.
    recent
        Keys by their place in the latest line, -1 where unknown.
    marks
        Room for what is known of each line, `EXTENDED` and `UNCLOSED`, shape (n,).
    kept
        Room for plain comments, and `PAD` bytes.
    remarks
        Room for start and end of each comment in `kept`, shape (n, 2); zeros where it is not.

    Returns
    -------
    int
        The first line that found no room; the number of lines when done.
    """
    text, copies = address_of(buffer), address_of(kept)
    n, n_keys, n_kept, n_doubles = state[0], state[1], state[2], state[3]
    for line in range(begin, len(lines)):
        start, end = lines[line, 0], lines[line, 1]
        while end > start and CLASSES[byte_at(text, end - 1)] == 1:
            end -= 1
        while start < end and CLASSES[byte_at(text, start)] == 1:
            start += 1
        length = end - start
        room = length // 2 + 2
        if n + room > len(tokens) or n_keys + room > len(hashes) or n_kept + length + PAD > len(kept):
            state[0], state[1], state[2], state[3] = n, n_keys, n_kept, n_doubles
            return line
        found, unclosed, copied = split_plainly(text, start, end, pairs), False, False
        if found < 0:
            for k in range(length):  # it will be overwritten
                put_byte(copies, n_kept + k, byte_at(text, start + k))
            copied = True
            found, unclosed = split_fully(text, start, end, pairs)
        extended = False
        for k in range(found):
            extended = extended or _is_properties(text, pairs[k, 0], pairs[k, 1])
        marks[line] = extended * EXTENDED | unclosed * UNCLOSED
        remark = unclosed
        for k in range(0 if extended else found):
            remark = remark or pairs[k, 2] < 0 or pairs[k, 1] == pairs[k, 0]
        if remark and not extended:
            if not copied:
                for k in range(length):
                    put_byte(copies, n_kept + k, byte_at(text, start + k))
            remarks[line, 0], remarks[line, 1] = n_kept, n_kept + length
            n_kept += length
        if unclosed:
            continue
        first = n
        for k in range(found):
            bare = pairs[k, 2] < 0
            if pairs[k, 1] == pairs[k, 0] or (bare and not extended):
                continue
            p, end = pairs[k, 0], pairs[k, 1]
            key = recent[k % len(recent)]  # the line before had it in this place, most likely
            if (
                key < 0
                or places[key, 1] - places[key, 0] != end - p
                or not _same(text, p, end, places[key, 0])
            ):
                key = _intern(text, p, end, table, hashes, places, n_keys)
                recent[k % len(recent)] = key
            if key == n_keys:
                last[key] = -1
                n_keys += 1
            n_doubles += last[key] >= first
            last[key] = n
            tokens[n, 0] = line
            tokens[n, 1] = key
            tokens[n, 2] = true_at if bare else pairs[k, 2]
            tokens[n, 3] = true_at + 1 if bare else pairs[k, 3]
            n += 1
    state[0], state[1], state[2], state[3] = n, n_keys, n_kept, n_doubles
    return len(lines)


@helper(**EXACT)
def _bool(text, p, end):
    """Return 1, 0 or -1 (neither) for the words that mean true or false."""
    letters = word_at(text, p)
    if end - p == 1:
        c = letters & _U(0xFF)
        return 1 if c == _U(0x54) else 0 if c == _U(0x46) else -1
    if end - p == 4:  # true, True, TRUE
        c = letters & _U(0xFFFFFFFF)
        return 1 if c == _U(0x65757274) or c == _U(0x65757254) or c == _U(0x45555254) else -1
    if end - p == 5:  # false, False, FALSE
        c = letters & _U(0xFFFFFFFFFF)
        return 0 if c == _U(0x65736C6166) or c == _U(0x65736C6146) or c == _U(0x45534C4146) else -1
    return -1


@helper(**EXACT)
def _flat_json(text, p, end, words, floats, out, pending, n_pending):
    """Read a JSON list of plain numbers; kind `V_JSON` means it is something else."""
    kind = V_J_INTS
    first = out
    p = skip_spaces(text, p + 1)
    while True:
        q = p + 1 if byte_at(text, p) == MINUS else p
        c, d = byte_at(text, q), byte_at(text, q + 1)
        if not 48 <= c <= 57 or (c == 48 and 48 <= d <= 57):
            return V_JSON, out, n_pending
        while 48 <= byte_at(text, q) <= 57:
            q += 1
        whole = True
        if byte_at(text, q) == POINT:
            whole = False
            q += 1
            if not 48 <= byte_at(text, q) <= 57:
                return V_JSON, out, n_pending
        letter = byte_at(text, q) | 32
        if not whole or letter == 101 or letter == 100:
            whole = False
            if kind == V_J_INTS:
                kind = V_J_FLOATS
                for k in range(first, out):
                    floats[k] = float(words[k])
        if kind == V_J_INTS:
            fits, value = integer_at(text, p, q)
            if not fits:
                return V_JSON, out, n_pending
            words[out] = value
        else:
            status, number, q = float_called(text, p)
            if status == NOT_READ:
                return V_JSON, out, n_pending
            if status == UNDECIDED and n_pending < len(pending):
                pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2] = out, p, q
                n_pending += 1
            elif status == UNDECIDED:
                n_pending = len(pending) + 1
                return V_JSON, out, n_pending
            floats[out] = number
        out += 1
        p = skip_spaces(text, q)
        c = byte_at(text, p)
        p += 1
        if c == 93:
            return (kind if p == end else V_JSON), out, n_pending
        if c != COMMA or p >= end:
            return V_JSON, out, n_pending
        p = skip_spaces(text, p)


@helper(**EXACT)
def _next_row(text, p, end):
    """Return start and end of the next row of a list of lists; -1 behind the last, -2 if it is none."""
    while p < end and (is_space(byte_at(text, p)) or byte_at(text, p) == COMMA):
        p += 1
    if p + 1 == end and byte_at(text, p) == CLOSE:
        return -1, -1
    if p >= end or byte_at(text, p) != OPEN:
        return -2, -2
    p += 1
    start = p
    while p < end and byte_at(text, p) != CLOSE:
        if byte_at(text, p) == OPEN or byte_at(text, p) == QUOTE:
            return -2, -2
        p += 1
    return start, p


@kernel(takes=3, **EXACT)
def read_values(buffer, tokens, begins, slots, frames, spans, kinds, lengths, at, words, floats, pending):
    """Read values of comment lines as integers, floats or booleans where they are such.

    They are read in the order of the text, which is in the cache then, and listed by key. What equals the
    value of the frame before is not read again: they have the same elements.

    Parameters
    ----------
    buffer
        The bytes of the text.
    tokens
        Frame, key, start and end (``~end`` of a list of lists) of each value, shape (n, 4).
    begins, slots
        Where the values of each key begin in the lists, twice; the slots are used up.
    frames, spans
        Room for the frame of each value, shape (n,), and its start and end, shape (n, 2).
    kinds, lengths
        Room for the kind of each value and its number of elements, 0 for a scalar, with `ROWS` for
        a list of lists of equal length; shape (n,).
    at
        Room for the place of each value's first element in `words`, shape (n,).
    words, floats
        Room for the elements; both are views of the same memory.
    pending
        Room for floats left undecided: place in `words`, start and end in the text, (m, 3).

    Returns
    -------
    int
        Number of pending floats; more than there is room for means: again, with more room.
    """
    text = address_of(buffer)
    out = np.int64(0)
    n_pending = np.int64(0)
    for token in range(len(tokens)):
        k = slots[tokens[token, 1]]
        slots[tokens[token, 1]] += 1
        p, end = tokens[token, 2], tokens[token, 3]
        nested = end < 0
        end = ~end if nested else end
        rows = row = np.int64(0)
        frames[k] = tokens[token, 0]
        spans[k, 0], spans[k, 1] = p, end
        # Of two that begin with a bracket, one may be a list of lists and the other a text.
        if k > begins[tokens[token, 1]] and byte_at(text, p) != OPEN:
            q = spans[k - 1, 0]
            if spans[k - 1, 1] - q == end - p and _same(text, p, end, q):
                kinds[k], lengths[k], at[k] = kinds[k - 1], lengths[k - 1], at[k - 1]
                continue
        stop = end
        if nested:
            p, stop = _next_row(text, p + 1, end)
        first = out
        at[k] = first
        undo = n_pending
        kind = V_EMPTY
        while True:
            while p < stop and (is_space(byte_at(text, p)) or byte_at(text, p) == COMMA):
                p += 1
            if p >= stop:
                if nested and p >= 0:
                    rows += 1
                    if (out - first) % rows == 0 and (rows == 1 or (out - first) // rows == row):
                        row = (out - first) // rows
                        p, stop = _next_row(text, stop + 1, end)
                        continue
                    kind = V_TEXT  # its rows differ in length
                elif p == -2:
                    kind = V_TEXT
                break
            c = byte_at(text, p) | 32
            if kind != V_BOOL and (c < 97 or c == 105 or c == 110):  # nan and inf
                status, number, stopped = float_called(text, p)
                c = byte_at(text, stopped)
                if status != NOT_READ and (
                    stopped == stop or (stopped < stop and (is_space(c) or c == COMMA))
                ):
                    if kind != V_FLOAT and (status == UNDECIDED or number == np.floor(number)):
                        fits, whole = integer_at(text, p, stopped)
                        if fits:
                            kind = V_INT
                            words[out] = whole
                            out += 1
                            p = stopped
                            continue
                    if kind == V_INT:  # again, as floats: -0 is one
                        p, out, kind = spans[k, 0], first, V_FLOAT
                        if nested:
                            rows = np.int64(0)
                            p, stop = _next_row(text, p + 1, end)
                        continue
                    kind = V_FLOAT
                    floats[out] = number
                    if status == UNDECIDED:
                        if n_pending >= len(pending):
                            return len(pending) + 1
                        pending[n_pending, 0], pending[n_pending, 1], pending[n_pending, 2] = out, p, stopped
                        n_pending += 1
                    out += 1
                    p = stopped
                    continue
            start = p
            while p < stop and not is_space(byte_at(text, p)) and byte_at(text, p) != COMMA:
                p += 1
            truth = _bool(text, start, p) if kind in (V_EMPTY, V_BOOL) else -1
            if truth < 0:
                kind = V_TEXT
                break
            kind = V_BOOL
            words[out] = truth
            out += 1
        if kind == V_TEXT:
            out = first
            n_pending = undo
            p = spans[k, 0]
            if end - p > 6 and word_at(text, p) & _U(0xFFFFFFFFFFFF) == _U(0x204E4F534A5F):
                kind = V_JSON
                if byte_at(text, p + 6) == 91:
                    kind, out, n_pending = _flat_json(
                        text, p + 6, end, words, floats, out, pending, n_pending
                    )
                    if n_pending > len(pending):
                        return n_pending
                if kind == V_JSON:
                    out = first
                    n_pending = undo
        kinds[k] = kind
        lengths[k] = 0 if out - first == 1 and kind < V_J_INTS else out - first
        if nested and out > first:
            lengths[k] = rows << ROWS | row
    return n_pending


# Atom lines.


@helper(**EXACT)
def _element(text, p, end):
    """Return the atomic number of a symbol in any case, or of digits; -1 if it is neither."""
    c = byte_at(text, p)
    if 48 <= c <= 57:
        return _atomic_number(text, p, end)
    length = end - p
    if length > 2 or not 97 <= c | 32 <= 122:
        return -1
    place = 32 * (c & 31)
    if length == 2:
        d = byte_at(text, p + 1)
        if not 97 <= d | 32 <= 122:
            return -1
        place += d & 31
    number = np.int64(_ELEMENTS[place])
    return -1 if number == 255 else number


@helper(**EXACT)
def _atomic_number(text, p, end):
    fits, value = integer_at(text, p, end)
    return value if fits and 0 <= value <= 118 else -1


@kernel(takes=3, **EXACT)
def read_atoms(buffer, begin, frames, first_row, formats, edges, widths, program, numbers, others, floats,
               ints, bools, spans, faults, pending, tokens):  # fmt: skip
    """Read the atom lines of frames into flat columns.

    Parameters
    ----------
    buffer
        The bytes of the text; the line of the last atom must end in a newline.
    begin
        The frame to begin with.
    frames
        Position of the first atom line and number of atoms of each frame, shape (n, 2).
    first_row
        Row of each frame's first atom, shape (n,).
    formats
        Which format each frame has, shape (n,).
    edges
        Format i has the steps ``edges[i]:edges[i + 1]`` of the program.
    widths
        Number of tokens of each format; negative where a line may go on behind them, unread.
    program
        Steps: what the tokens are, how many there are, and where in the array of their type the
        rows of the property begin; shape (m, 3).
    numbers, others
        Room for atomic numbers by symbol and by number, shape (rows,).
    floats, ints, bools, spans
        Room for the tokens of each type; `spans` has start and end of texts, shape (k, 2).
    faults
        Room for code, atom, position and step of each frame's first fault, shape (n, 4); without a
        fault, the last says whether lines went on behind what is read.
    pending
        Room for floats left undecided: place in `floats`, start and end in the text, (m, 3).
    tokens
        Room for the tokens of a line, 72 more than the largest width.

    Returns
    -------
    frame, n_pending
        The first frame not done because `pending` is full, and how much of that is valid.
    """
    text = address_of(buffer)
    n_pending = 0
    for frame in range(begin, len(frames)):
        undo = n_pending
        p = frames[frame, 0]
        n_atoms = frames[frame, 1]
        row = first_row[frame]
        goes_on = widths[formats[frame]] < 0
        width = abs(widths[formats[frame]])
        first_step, last_step = edges[formats[frame]], edges[formats[frame] + 1]
        code = FINE
        for atom in range(n_atoms):
            # All tokens are found first: then no number has to wait for the one before it.
            n_tokens = 0
            open_before = _U(1)  # what precedes a line is a space
            line = p
            while True:
                spaces = which_are_spaces(text, p)
                ends = which_are(text, p, NEWLINE)
                begins = ~spaces & ((spaces << _U(1)) | open_before)
                begins = begins & (ends ^ (ends - _U(1)))  # up to the newline; all if there is none
                open_before = spaces >> _U(63)
                count = count_ones(begins)
                for k in range(6):
                    tokens[_U(n_tokens + k)] = p + trailing_zeros(begins)
                    begins = begins & (begins - _U(1))
                if count > 6:
                    for k in range(6, count):
                        tokens[n_tokens + k] = p + trailing_zeros(begins)
                        begins = begins & (begins - _U(1))
                n_tokens += count
                if ends != _U(0):
                    p += trailing_zeros(ends) + 1
                    break
                p += 64
                if n_tokens > width:
                    break
            if goes_on and n_tokens > width:
                faults[frame, 3] = 1
                if byte_at(text, p - 1) != NEWLINE:
                    p = line_end(text, p, _FAR) + 1
            if n_tokens != width and not (goes_on and n_tokens > width):
                code = TOO_FEW if n_tokens < width else TOO_MANY
                faults[frame, 0], faults[frame, 1], faults[frame, 2] = code, atom, line
                n_pending = undo
                break
            token = 0
            for step in range(first_step, last_step):
                what, size = program[step, 0], program[step, 1]
                out = program[step, 2] + (row + atom) * size
                if what == REAL:
                    for place in range(out, out + size):
                        start = tokens[_U(token)]
                        token += 1
                        status, value, end = float_at(text, start)
                        floats[_U(place)] = value
                        if not is_space(byte_at(text, end)) or status == NOT_READ:
                            code = NOT_A_NUMBER
                            break
                        if status != READ:
                            if n_pending >= len(pending):
                                return frame, undo
                            pending[n_pending, 0], pending[n_pending, 1] = place, start
                            pending[n_pending, 2] = end
                            n_pending += 1
                    if code:
                        faults[frame, 0], faults[frame, 1], faults[frame, 2] = code, atom, start
                        faults[frame, 3] = step
                        n_pending = undo
                        break
                    continue
                for place in range(out, out + size):
                    start = tokens[_U(token)]
                    token += 1
                    end = token_end(text, start)
                    if what in (SPECIES, NUMBER):
                        z = (
                            _element(text, start, end)
                            if what == SPECIES
                            else _atomic_number(text, start, end)
                        )
                        if z < 0:
                            code = NO_ELEMENT if what == SPECIES else NO_ATOMIC_NUMBER
                        elif what == SPECIES:
                            numbers[row + atom] = z
                        else:
                            others[row + atom] = z
                    elif what == INT:
                        fits, whole = integer_at(text, start, end)
                        ints[place] = whole
                        code = code if fits else NOT_AN_INTEGER
                    elif what == BOOL:
                        truth = _bool(text, start, end)
                        bools[place] = truth == 1
                        code = code if truth >= 0 else NOT_A_BOOL
                    else:
                        spans[place, 0] = start
                        spans[place, 1] = end
                    if code:
                        break
                if code:
                    faults[frame, 0], faults[frame, 1], faults[frame, 2] = code, atom, start
                    faults[frame, 3] = step
                    n_pending = undo
                    break
            if code:
                break
    return len(frames), n_pending
