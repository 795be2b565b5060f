/* siphash.c: SipHash-2-4 with 128 bits of result, of two checksums of a page: who has not got the key cannot guess
 * contents from it. */
#include "checksum.h"

typedef struct {
    uint64_t v0, v1, v2, v3;
} sip;

static inline void rounds(sip *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotl64(s->v1, 13) ^ s->v0;
        s->v3 = rotl64(s->v3, 16) ^ s->v2;
        s->v0 = rotl64(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotl64(s->v1, 17) ^ s->v2;
        s->v3 = rotl64(s->v3, 21) ^ s->v0;
        s->v2 = rotl64(s->v2, 32);
    }
}

static inline void word(sip *s, uint64_t m)
{
    s->v3 ^= m;
    rounds(s, 2);
    s->v0 ^= m;
}

EXPORT void pksm_keyed_sums(const uint64_t key[2], uint64_t *sums, size_t n)
{
    const uint64_t length = UINT64_C(16) << 56; /* of the message, in the last word */

    for (uint64_t *sum = sums; n-- > 0; sum += 2) {
        sip s = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xee, key[0] ^ 0x6c7967656e657261u,
                 key[1] ^ 0x7465646279746573u};

        if (sum[0] == 0 && sum[1] == 0)
            continue;
        word(&s, sum[0]);
        word(&s, sum[1]);
        word(&s, length);
        s.v2 ^= 0xee;
        rounds(&s, 4);
        sum[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
        s.v1 ^= 0xdd;
        rounds(&s, 4);
        sum[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
        if (sum[0] == 0 && sum[1] == 0)
            sum[1] = 1;
    }
}
