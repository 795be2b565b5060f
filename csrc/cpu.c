/* cpu.c: which width the kernels work at. Chosen once by the program; scalar until then. */
#include "checksum/checksum.h"

page_kernels kernels = {page_compare_scalar, page_is_zero_scalar};

EXPORT int pksm_cpu_best(void)
{
#ifdef __x86_64__
    /* these builtins ask the operating system too whether it saves the registers */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return PKSM_CPU_AVX512;
    if (__builtin_cpu_supports("avx2"))
        return PKSM_CPU_AVX2;
    if (__builtin_cpu_supports("sse4.2"))
        return PKSM_CPU_SSE42;
#endif
    return PKSM_CPU_SCALAR;
}

int cpu_has(int needs)
{
    int has = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    has |= __builtin_cpu_supports("aes") ? HAS_AES : 0;
    has |= __builtin_cpu_supports("pclmul") ? HAS_CLMUL : 0;
    has |= __builtin_cpu_supports("vaes") ? HAS_WIDE_AES : 0;
    has |= __builtin_cpu_supports("vpclmulqdq") ? HAS_WIDE_CLMUL : 0;
#endif
    return (has & needs) == needs;
}

EXPORT int pksm_cpu_select(int level)
{
    if (level < PKSM_CPU_SCALAR || level > pksm_cpu_best())
        return PKSM_EINVAL;
    kernels = (page_kernels){page_compare_scalar, page_is_zero_scalar};
    checksum_select(level);
#ifdef __x86_64__
    if (level >= PKSM_CPU_AVX2)
        kernels = (page_kernels){page_compare_avx2, page_is_zero_avx2};
    if (level >= PKSM_CPU_AVX512)
        kernels = (page_kernels){page_compare_avx512, page_is_zero_avx512};
#endif
    return PKSM_OK;
}
