/* lists.c: work on integers that Python would have to do one by one. */
#include "core.h"

EXPORT int pksm_group(const uint8_t *keys, size_t n, size_t n_keys, uint32_t *order, uint32_t *starts)
{
    uint32_t next[256];

    if (n_keys > 256 || n > UINT32_MAX)
        return PKSM_EINVAL;
    for (size_t i = 0; i < n; i++)
        if (keys[i] >= n_keys)
            return PKSM_EINVAL;
    memset(starts, 0, (n_keys + 1) * sizeof *starts);
    for (size_t i = 0; i < n; i++)
        starts[keys[i] + 1]++;
    for (size_t k = 0; k < n_keys; k++) {
        next[k] = starts[k];
        starts[k + 1] += starts[k];
    }
    for (size_t i = 0; i < n; i++)
        order[next[keys[i]]++] = (uint32_t)i;
    return PKSM_OK;
}

EXPORT int pksm_collect(const uint32_t *next, size_t n_next, const uint32_t *heads, size_t n, uint32_t *out,
                        size_t *count)
{
    size_t met = 0;

    for (size_t i = 0; i < n; i++) {
        for (uint32_t record = heads[i]; record; record = next[record]) {
            if (record >= n_next || met >= n_next)
                return PKSM_EINVAL;
            out[met++] = record;
        }
    }
    *count = met;
    return PKSM_OK;
}
