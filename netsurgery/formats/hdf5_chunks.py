"""What reading a dataset of HDF5 takes, where its numbers lie in chunks that may be compressed.

The library unpacks a chunk as far as it goes, whatever size a chunk has: some KiB may become GiB.
Each chunk that is deflated, as gzip does, is therefore unpacked here first, in small pieces that
are only counted; of other compressions the most that they can give is taken.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

from netsurgery.io.reader import Reader
from netsurgery.io.wording import counted

__all__ = ["GROWTH", "check_chunks"]

#: Numbers of HDF5's filters, and of those that it unpacks to just the chunk's size.
_DEFLATE, _SHUFFLE, _FLETCHER32, _NBIT, _SCALEOFFSET = 1, 2, 3, 5, 6
_EXACT = frozenset({_SHUFFLE, _FLETCHER32, _NBIT, _SCALEOFFSET})
#: What a filter makes of a byte at most: deflate packs about a thousand zeros into one.
GROWTH = 1100
_PIECE = 1 << 16


def check_chunks(reader: Reader, where: str, dataset: Any) -> int:
    """Bytes that the library takes to read the dataset, beside the numbers themselves.

    Raises CaffemodelError for a chunk that unpacks to more than a chunk's size, and for one that
    is compressed twice.
    """
    if dataset.chunks is None:
        return 0
    size = int(math.prod(dataset.chunks) * dataset.dtype.itemsize)
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
    if not filters:
        return size
    packing = [index for index, kind in enumerate(filters) if kind not in _EXACT]
    if len(packing) > 1:
        raise reader.error(f"{where}: numbers that are compressed {counted(len(packing), 'time')}")
    deflate = filters.index(_DEFLATE) if _DEFLATE in filters else None
    if deflate is not None and set(filters[deflate + 1 :]) - {_FLETCHER32}:
        raise reader.error(f"{where}: numbers that are rearranged after they are compressed")
    largest = 0
    for offset, stored, mask in _chunks(dataset):
        largest = max(largest, stored)
        # A bit of the mask says that this chunk was stored without that filter.
        if deflate is not None and not mask >> deflate & 1:
            _check_deflated(reader, where, (offset, stored), size)
    grown = GROWTH * largest if packing and deflate is None else size
    return int(2 * max(size, grown) + largest)


def _chunks(dataset: Any) -> Iterator[tuple[int, int, int]]:
    """Each chunk's byte offset, stored size, and mask of the filters that are left out."""
    for index in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(index)
        if chunk.byte_offset is not None:
            yield chunk.byte_offset, chunk.size, chunk.filter_mask


def _check_deflated(reader: Reader, where: str, stored: tuple[int, int], size: int) -> None:
    """Unpack a chunk without keeping it; what is broken is left for the library to say."""
    offset, left = stored
    unpacker, unpacked = zlib.decompressobj(), 0
    while left and not unpacker.eof:
        data = reader.source.pread(min(left, _PIECE), offset)
        if not data:
            return
        offset, left = offset + len(data), left - len(data)
        while data and not unpacker.eof:
            try:
                unpacked += len(unpacker.decompress(data, _PIECE))
            except zlib.error:
                return
            if unpacked > size:
                raise reader.error(
                    f"{where}: a chunk that unpacks to more than its {counted(size, 'byte')}",
                    offset,
                )
            data = unpacker.unconsumed_tail
