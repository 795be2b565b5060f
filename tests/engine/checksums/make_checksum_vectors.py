"""Make checksum_vectors.json: `python tests/engine/checksums/make_checksum_vectors.py`.

Stored checksums must never change, whatever computes them. XXH, crc32c, crc32, adler32 and murmur3 come from libraries
(xxhash, google-crc32c, zlib, mmh3); the others, for which there is none, from the model in tests/model.
A page is named by its size in bytes and a recipe; `page` below says what that means.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZES = [8 << i for i in range(14)]  # 8 bytes to 64 KiB
RECIPES = ("zero", "ones", "counting", "random", "last-byte")


def page(size, recipe):
    """Return the bytes of a test page."""
    if recipe == "zero":
        return bytes(size)
    if recipe == "ones":
        return b"\xff" * size
    if recipe == "counting":
        return bytes(i & 0xFF for i in range(size))
    if recipe == "last-byte":
        return bytes(size - 1) + b"\x80"
    words = []  # random: splitmix64 from the size as its state
    state = size
    for _ in range(size // 8):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        z = (z ^ z >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        words.append((z ^ z >> 31).to_bytes(8, "little"))
    return b"".join(words)


def positions(size):
    """Return the words that `sampled` looks at in a test page: every third one, from the last backwards."""
    return list(range(size // 4 - 1, -1, -3))


def samples(size):
    """Return what strategies that look at some words only look at in a test page: (positions, run) by name."""
    n_words = size // 4
    run = min(16, n_words)
    return {
        "sampled": (positions(size), 1),
        "sampled-lines": (list(range(n_words - run, -1, -2 * run)), run),  # every second line, from the last backwards
        "partial": ([n_words // 8], max(1, n_words // 2)),  # half the page, from its second eighth on
    }


def vectors():
    """Return the list of vectors: size, recipe and, as hexadecimal numbers, the checksum of every strategy."""
    import zlib

    import google_crc32c
    import mmh3
    import xxhash

    sys.path.insert(0, str(HERE.parent))
    from model import checksums

    made = []
    for size in SIZES:
        for recipe in RECIPES:
            data = page(size, recipe)
            looked_at = samples(size)
            (part,), part_words = looked_at["partial"]
            sums = {
                "sampled": checksums.sampled(data, *looked_at["sampled"]),
                "sampled-lines": checksums.sampled(data, *looked_at["sampled-lines"]),
                "partial": checksums.partial(data, part, part_words),
                "jhash2": checksums.jhash2(data),
                "superfast": checksums.superfast(data),
                "fnv1a-64": checksums.fnv1a_64(data),
                "aes": checksums.aes(data),
                "murmur3-32": mmh3.hash(data, seed=0, signed=False),
                "xxh32": xxhash.xxh32_intdigest(data),
                "xxh64": xxhash.xxh64_intdigest(data),
                "xxh64-trunc32": xxhash.xxh64_intdigest(data) & 0xFFFFFFFF,
                "crc32c": google_crc32c.value(data),
                "crc32": zlib.crc32(data),
                "adler32": zlib.adler32(data),
                "xxh3-64": xxhash.xxh3_64_intdigest(data),
            }
            made.append({"size": size, "recipe": recipe, **{name: f"{value:#x}" for name, value in sums.items()}})
    return made


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector) for vector in vectors())
    (HERE / "checksum_vectors.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
