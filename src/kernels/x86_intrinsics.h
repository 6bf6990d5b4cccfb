#pragma once
// Intel's intrinsics of 128 and 256 bits: on x86 the compiler's, up to what a source's flags allow; on 64-bit ARM those
// of AVX2, FMA and F16C, which SIMDe (libsimde-dev) makes of NEON's.

#if defined(__x86_64__)
#include <immintrin.h>
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

inline float _cvtsh_ss(unsigned short half) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))); }
#endif
