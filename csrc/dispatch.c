/* dispatch.c: sets every kernel to one width. The program chooses it once; until then they are scalar. */
#include "core.h"

EXPORT int pksm_cpu_select(int level)
{
    if (level < PKSM_CPU_SCALAR || level > pksm_cpu_best())
        return PKSM_EINVAL;
    pksm_kernels = (page_kernels){pksm_page_compare_scalar, pksm_page_is_zero_scalar};
#ifdef __x86_64__
    if (level >= PKSM_CPU_AVX2)
        pksm_kernels = (page_kernels){pksm_page_compare_avx2, pksm_page_is_zero_avx2};
    if (level >= PKSM_CPU_AVX512)
        pksm_kernels = (page_kernels){pksm_page_compare_avx512, pksm_page_is_zero_avx512};
#endif
    pksm_checksum_select(level);
    return PKSM_OK;
}
