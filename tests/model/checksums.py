"""Every checksum strategy, written from its published definition. Numbers in a page are little-endian."""

M32 = 0xFFFFFFFF
M64 = 0xFFFFFFFFFFFFFFFF


def words32(page):
    return [int.from_bytes(page[i : i + 4], "little") for i in range(0, len(page), 4)]


def word32(data, at):
    return int.from_bytes(data[at : at + 4], "little")


def word64(data, at):
    return int.from_bytes(data[at : at + 8], "little")


def rotate32(x, n):
    return (x << n | x >> (32 - n)) & M32


def rotate64(x, n):
    return (x << n | x >> (64 - n)) & M64


# ---- sampled: PKSM's own, the words at some positions only ---------------------------------------------------


def sampled(page, positions, run=1):
    """Mix the 32-bit words at the given positions, in that order; `run` words from each of them on."""
    h = 0xDEADBEEF
    for at in positions:
        for word in range(at, at + run):
            h = (h + word32(page, word * 4)) & M32
            h = (h + (h << 8)) & M32
            h ^= h >> 12
    return h


# ---- jhash2: Bob Jenkins' lookup3 over 32-bit words ----------------------------------------------------------


def jhash2(page, initval=17):
    """Hash a page as KSM did before 4.20: three lanes, three words a round, the last one to three words apart."""
    words = words32(page)
    a = b = c = (0xDEADBEEF + len(words) * 4 + initval) & M32
    while len(words) > 3:
        a, b, c = (a + words[0]) & M32, (b + words[1]) & M32, (c + words[2]) & M32
        words = words[3:]
        for shift in (4, 6, 8, 16, 19, 4):
            a = (a - c & M32) ^ rotate32(c, shift)
            c = (c + b) & M32
            a, b, c = b, c, a  # the lanes change places: the next step begins with the next one
    if words:
        a, b, c = ((lane + word) & M32 for lane, word in zip((a, b, c), [*words, 0, 0], strict=False))
        for shift in (14, 11, 25, 16, 4, 14, 24):
            c = ((c ^ b) - rotate32(b, shift)) & M32
            a, b, c = b, c, a
        return b  # the lane that was finished last has moved on
    return c


def partial(page, first, n_words):
    """jhash2 of n_words words from word `first` on."""
    return jhash2(page[first * 4 : (first + n_words) * 4])


# ---- murmur3, 32 bits, seed 0 --------------------------------------------------------------------------------


def murmur3_32(page):
    h = 0
    for word in words32(page):
        h ^= rotate32(word * 0xCC9E2D51 & M32, 15) * 0x1B873593 & M32
        h = (rotate32(h, 13) * 5 + 0xE6546B64) & M32
    h ^= len(page)
    h = (h ^ h >> 16) * 0x85EBCA6B & M32
    h = (h ^ h >> 13) * 0xC2B2AE35 & M32
    return h ^ h >> 16


# ---- superfast: Paul Hsieh's, for a whole number of words ----------------------------------------------------


def superfast(page):
    h = len(page)
    for word in words32(page):
        h = (h + (word & 0xFFFF)) & M32
        h = (h << 16 & M32) ^ h ^ word >> 16 << 11
        h = (h + (h >> 11)) & M32
    for left, right in ((3, 5), (4, 17), (25, 6)):
        h ^= h << left & M32
        h = (h + (h >> right)) & M32
    return h


# ---- the two CRCs: polynomials with their bits reversed ------------------------------------------------------


def _crc(page, polynomial):
    crc = M32
    for byte in page:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return crc ^ M32


def crc32c(page):
    return _crc(page, 0x82F63B78)


def crc32(page):
    return _crc(page, 0xEDB88320)


# ---- adler32 and fnv1a ---------------------------------------------------------------------------------------


def adler32(page):
    total, weighted = 1, 0
    for byte in page:
        total = (total + byte) % 65521
        weighted = (weighted + total) % 65521
    return weighted << 16 | total


def fnv1a_64(page):
    h = 0xCBF29CE484222325
    for byte in page:
        h = (h ^ byte) * 0x100000001B3 & M64
    return h


# ---- xxh32 and xxh64 ------------------------------------------------------------------------------------------

P32_1, P32_2, P32_3, P32_4, P32_5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def xxh32(page, seed=0):
    """Hash a page of a whole number of words; below 16 bytes, word by word, else by whole 16 bytes."""
    if len(page) < 16:
        h = (seed + P32_5 + len(page)) & M32
        for word in words32(page):
            h = rotate32((h + word * P32_3) & M32, 17) * P32_4 & M32
    else:
        lanes = [(seed + P32_1 + P32_2) & M32, (seed + P32_2) & M32, seed, (seed - P32_1) & M32]
        for i, word in enumerate(words32(page)):
            lanes[i % 4] = rotate32((lanes[i % 4] + word * P32_2) & M32, 13) * P32_1 & M32
        h = (sum(rotate32(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18), strict=True)) + len(page)) & M32
    h = (h ^ h >> 15) * P32_2 & M32
    h = (h ^ h >> 13) * P32_3 & M32
    return h ^ h >> 16


def _xxh64_round(lane, word):
    return rotate64((lane + word * P64_2) & M64, 31) * P64_1 & M64


def _xxh64_avalanche(h):
    h = (h ^ h >> 33) * P64_2 & M64
    h = (h ^ h >> 29) * P64_3 & M64
    return h ^ h >> 32


def xxh64(page, seed=0):
    at = 0
    if len(page) >= 32:
        lanes = [(seed + P64_1 + P64_2) & M64, (seed + P64_2) & M64, seed, (seed - P64_1) & M64]
        while at + 32 <= len(page):
            lanes = [_xxh64_round(lane, word64(page, at + 8 * i)) for i, lane in enumerate(lanes)]
            at += 32
        h = sum(rotate64(lane, n) for lane, n in zip(lanes, (1, 7, 12, 18), strict=True)) & M64
        for lane in lanes:
            h = ((h ^ _xxh64_round(0, lane)) * P64_1 + P64_4) & M64
    else:
        h = (seed + P64_5) & M64
    h = (h + len(page)) & M64
    while at + 8 <= len(page):
        h = (rotate64(h ^ _xxh64_round(0, word64(page, at)), 27) * P64_1 + P64_4) & M64
        at += 8
    if at + 4 <= len(page):
        h = (rotate64(h ^ word32(page, at) * P64_1 & M64, 23) * P64_2 + P64_3) & M64
        at += 4
    for byte in page[at:]:
        h = rotate64(h ^ byte * P64_5 & M64, 11) * P64_1 & M64
    return _xxh64_avalanche(h)


def xxh64_trunc32(page, seed=0):
    """The low 32 bits of xxh64, as KSM keeps them since 4.20."""
    return xxh64(page, seed) & M32


# ---- xxh3, 64 bits, default secret, seed 0 --------------------------------------------------------------------

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
P_MX1, P_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25


def _fold(a, b):
    """The two halves of a 128-bit product, xored."""
    product = a * b
    return product & M64 ^ product >> 64


def _xxh3_avalanche(h):
    h = (h ^ h >> 37) * P_MX1 & M64
    return h ^ h >> 32


def _xxh3_mix16(page, at, secret_at):
    return _fold(
        word64(page, at) ^ word64(SECRET, secret_at),
        word64(page, at + 8) ^ word64(SECRET, secret_at + 8),
    )


def _xxh3_4to8(page):
    n = len(page)
    flip = word64(SECRET, 8) ^ word64(SECRET, 16)
    h = (word32(page, n - 4) + (word32(page, 0) << 32)) ^ flip
    h ^= rotate64(h, 49) ^ rotate64(h, 24)
    h = h * P_MX2 & M64
    h ^= (h >> 35) + n
    h = h * P_MX2 & M64
    return h ^ h >> 28


def _xxh3_9to16(page):
    n = len(page)
    low = word64(page, 0) ^ word64(SECRET, 24) ^ word64(SECRET, 32)
    high = word64(page, n - 8) ^ word64(SECRET, 40) ^ word64(SECRET, 48)
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    return _xxh3_avalanche((n + swapped + high + _fold(low, high)) & M64)


def _xxh3_17to128(page):
    n = len(page)
    h = n * P64_1
    for i in range((n - 1) // 32 + 1):  # pairs of 16 bytes from both ends inwards
        h += _xxh3_mix16(page, 16 * i, 32 * i) + _xxh3_mix16(page, n - 16 * (i + 1), 32 * i + 16)
    return _xxh3_avalanche(h & M64)


def _xxh3_stripe(lanes, page, at, secret_at):
    """Take in 64 bytes."""
    added = lanes[:]
    for i in range(8):
        word = word64(page, at + 8 * i)
        keyed = word ^ word64(SECRET, secret_at + 8 * i)
        added[i ^ 1] += word
        added[i] += (keyed & M32) * (keyed >> 32)
    return [lane & M64 for lane in added]


def _xxh3_long(page):
    n = len(page)
    lanes = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    stripes_a_block = (len(SECRET) - 64) // 8
    stripes = (n - 1) // 64
    for stripe in range(stripes):
        lanes = _xxh3_stripe(lanes, page, 64 * stripe, 8 * (stripe % stripes_a_block))
        if stripe % stripes_a_block == stripes_a_block - 1:
            lanes = [
                (lane ^ lane >> 47 ^ word64(SECRET, len(SECRET) - 64 + 8 * i)) * P32_1 & M64
                for i, lane in enumerate(lanes)
            ]
    lanes = _xxh3_stripe(lanes, page, n - 64, len(SECRET) - 64 - 7)
    h = n * P64_1
    for i in range(4):
        h += _fold(lanes[2 * i] ^ word64(SECRET, 11 + 16 * i), lanes[2 * i + 1] ^ word64(SECRET, 19 + 16 * i))
    return _xxh3_avalanche(h & M64)


def xxh3_64(page):
    """Hash a page whose length is a power of two from 8."""
    n = len(page)
    if n < 8 or n & n - 1:
        raise ValueError(f"{n} bytes: a page has a power of two from 8")
    if n == 8:
        return _xxh3_4to8(page)
    if n == 16:
        return _xxh3_9to16(page)
    return _xxh3_17to128(page) if n <= 128 else _xxh3_long(page)


# ---- aes: ours, out of AES rounds; the bytes of a block are the columns of its state, one after the other ------


def _times(a, b):
    """The product of two bytes as polynomials modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        product ^= a * (b & 1)
        a, b = a << 1 ^ (0x11B if a & 0x80 else 0), b >> 1
    return product


def _substitute(a):
    """SubBytes of one byte: its inverse (a^254), then an affine map of its bits."""
    inverse = 1
    for _ in range(254):
        inverse = _times(inverse, a)
    bits = inverse * 0b100000001  # doubled, so that shifts rotate
    for n in (1, 2, 3, 4):
        bits ^= inverse << n | inverse >> 8 - n
    return (bits & 0xFF) ^ 0x63


SUBSTITUTE = [_substitute(a) for a in range(256)]
TIMES = {factor: [_times(factor, a) for a in range(256)] for factor in (1, 2, 3)}
ROUND = [(2, 3, 1, 1), (1, 2, 3, 1), (1, 1, 2, 3), (3, 1, 1, 2)]


def aes_round(block, key):
    """SubBytes, ShiftRows and MixColumns of 16 bytes, xored with a key."""
    shifted = [SUBSTITUTE[block[(i + 4 * (i % 4)) % 16]] for i in range(16)]
    mixed = []
    for i in range(16):
        column = shifted[i // 4 * 4 : i // 4 * 4 + 4]
        a, b, c, d = (TIMES[factor][byte] for factor, byte in zip(ROUND[i % 4], column, strict=True))
        mixed.append(a ^ b ^ c ^ d ^ key[i])
    return bytes(mixed)


def aes(page):
    """Hash a page in eight lanes, which start with its size and XXH3's secret."""
    secret = [SECRET[at : at + 16] for at in range(0, len(SECRET), 16)]
    lanes = [bytes([*(word32(block, 0) ^ len(page)).to_bytes(4, "little"), *block[4:]]) for block in secret[:8]]
    for i in range(0, len(page), 16):
        lanes[i // 16 % 8] = aes_round(lanes[i // 16 % 8], page[i : i + 16].ljust(16, b"\0"))
    h = lanes[0]
    for key in [*lanes[1:], *secret[8:11]]:
        h = aes_round(h, key)
    return word64(h, 0) ^ word64(h, 8)


# ---- SipHash-2-4, 128 bits: Aumasson and Bernstein ------------------------------------------------------------


def siphash128(key, message):
    """Return the 16 bytes of SipHash-2-4-128."""
    k0, k1 = word64(key, 0), word64(key, 8)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(n):
        for _ in range(n):
            v[0], v[2] = (v[0] + v[1]) & M64, (v[2] + v[3]) & M64
            v[1], v[3] = rotate64(v[1], 13) ^ v[0], rotate64(v[3], 16) ^ v[2]
            v[0] = rotate64(v[0], 32)
            v[2], v[0] = (v[2] + v[1]) & M64, (v[0] + v[3]) & M64
            v[1], v[3] = rotate64(v[1], 17) ^ v[2], rotate64(v[3], 21) ^ v[0]
            v[2] = rotate64(v[2], 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    for at in range(0, len(padded), 8):
        v[3] ^= word64(padded, at)
        rounds(2)
        v[0] ^= word64(padded, at)
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return first.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")


FULL_PAGE = {
    "xxh3-64": xxh3_64,
    "aes": aes,
    "xxh64": xxh64,
    "xxh64-trunc32": xxh64_trunc32,
    "xxh32": xxh32,
    "crc32c": crc32c,
    "crc32": crc32,
    "jhash2": jhash2,
    "murmur3-32": murmur3_32,
    "superfast": superfast,
    "fnv1a-64": fnv1a_64,
    "adler32": adler32,
}
