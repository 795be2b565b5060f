/* cpu.c: what this processor, and the operating system on it, can do. */
#include "checksum/checksum.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

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

/* Asks the processor itself: not every compiler has builtins for these. Whether the operating system saves the
 * registers is a question of the level, which comes first. */
int pksm_cpu_has(int needs)
{
    int has = 0;
#ifdef __x86_64__
    unsigned eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
        has |= ecx & bit_AES ? HAS_AES : 0;
        has |= ecx & bit_PCLMUL ? HAS_CLMUL : 0;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        has |= ecx & bit_VAES ? HAS_WIDE_AES : 0;
        has |= ecx & bit_VPCLMULQDQ ? HAS_WIDE_CLMUL : 0;
    }
#endif
    return (has & needs) == needs;
}
