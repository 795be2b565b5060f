/* checksum/words.c: strategies that take a page word by word: PKSM's sample, jhash2, murmur3, SuperFastHash. */
#include "checksum.h"

/* ---- sampled, sampled-lines: PKSM's own; some words of the page, mixed one by one ---- */
uint64_t pksm_sampled_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const pksm_sample *sample = state;
    uint32_t h = 0xdeadbeef;

    (void)size_bytes;
    for (uint64_t i = 0; i < sample->n_words; i++) {
        const uint8_t *at = page + (size_t)sample->words[i] * 4;
        for (uint64_t k = 0; k < sample->run; k++, at += 4) {
            h += load32(at);
            h += h << 8;
            h ^= h >> 12;
        }
    }
    return h;
}

/* ---- jhash2: Bob Jenkins' lookup3 over words, initial value 17 as KSM had it before 4.20 ---- */
uint64_t pksm_jhash2_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    size_t left = size_bytes / 4;
    uint32_t a = 0xdeadbeef + (uint32_t)(left << 2) + 17, b = a, c = a;

    (void)state;
    for (; left > 3; left -= 3, page += 12) {
        a += load32(page);
        b += load32(page + 4);
        c += load32(page + 8);
        a = (a - c) ^ rotl32(c, 4), c += b;
        b = (b - a) ^ rotl32(a, 6), a += c;
        c = (c - b) ^ rotl32(b, 8), b += a;
        a = (a - c) ^ rotl32(c, 16), c += b;
        b = (b - a) ^ rotl32(a, 19), a += c;
        c = (c - b) ^ rotl32(b, 4), b += a;
    }
    if (left >= 3)
        c += load32(page + 8);
    if (left >= 2)
        b += load32(page + 4);
    a += load32(page);
    c = (c ^ b) - rotl32(b, 14);
    a = (a ^ c) - rotl32(c, 11);
    b = (b ^ a) - rotl32(a, 25);
    c = (c ^ b) - rotl32(b, 16);
    a = (a ^ c) - rotl32(c, 4);
    b = (b ^ a) - rotl32(a, 14);
    return (c ^ b) - rotl32(b, 24);
}

/* jhash2 of a part of the page. */
uint64_t pksm_partial_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    const pksm_sample *part = state;

    (void)size_bytes;
    return pksm_jhash2_scalar(page + (size_t)part->words[0] * 4, part->run * 4, NULL);
}

/* ---- murmur3-32: Austin Appleby's, seed 0 ---- */
uint64_t pksm_murmur3_32_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint32_t h = 0;

    (void)state;
    for (size_t at = 0; at < size_bytes; at += 4) {
        h ^= rotl32(load32(page + at) * 0xcc9e2d51u, 15) * 0x1b873593u;
        h = rotl32(h, 13) * 5 + 0xe6546b64u;
    }
    h ^= (uint32_t)size_bytes;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* ---- superfast: Paul Hsieh's SuperFastHash, which Difference Engine used ---- */
uint64_t pksm_superfast_scalar(const uint8_t *page, size_t size_bytes, const void *state)
{
    uint32_t h = (uint32_t)size_bytes;

    (void)state;
    for (size_t at = 0; at < size_bytes; at += 4) {
        uint32_t word = load32(page + at);
        h += word & 0xffff;
        h = h << 16 ^ h ^ word >> 16 << 11;
        h += h >> 11;
    }
    h ^= h << 3;
    h += h >> 5;
    h ^= h << 4;
    h += h >> 17;
    h ^= h << 25;
    return h + (h >> 6);
}
