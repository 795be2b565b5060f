/* A checksum in C: the sum of the page's words, each multiplied with an odd number that grows. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* state: a number to begin with, or null for 0. */
uint64_t weighted_sum(const uint8_t *page, size_t size, const void *state)
{
    uint64_t sum = 0, word;

    if (state)
        memcpy(&sum, state, sizeof sum);
    for (size_t i = 0; i < size / 8; i++) {
        memcpy(&word, page + 8 * i, sizeof word);
        sum += word * (2 * i + 1);
    }
    return sum;
}
