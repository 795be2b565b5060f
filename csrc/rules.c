/* rules.c: the rules of settle that suit most. */
#include "core.h"

EXPORT int pksm_rules_default(pksm_rules *rules, const pksm_checksum *checksum, const uint8_t *zeros, size_t page_size)
{
    if (!rules || !checksum || !checksum->sum || !zeros || page_size < 8 || (page_size & (page_size - 1)) ||
        !pksm_page_is_zero(zeros, page_size))
        return PKSM_EINVAL;
    *rules = (pksm_rules){
        .stages = {PKSM_STAGE_ZERO, PKSM_STAGE_STABLE, PKSM_STAGE_UNSTABLE},
        .order = PKSM_CHECKSUM_CONTENT,
        .zero_on_differ = PKSM_RETRY,
        .on_differ = PKSM_RETRY,
        .on_stale = PKSM_SKIP,
        .on_unusable = PKSM_SKIP,
        .window = PKSM_MAX_WINDOW / 2,
        .busy_waits = 1,
        .distrust = 1,
        .zero_checksum = checksum->sum(zeros, page_size, checksum->state),
        .checksum = *checksum,
    };
    return PKSM_OK;
}
