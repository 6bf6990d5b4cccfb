#pragma once
// BITLOOM_VECTOR_CLONES before the definition of a plain loop: compiled once per vector width, the widest that the
// processor has is chosen when the program starts. Contraction to fused operations is off everywhere, so all clones
// compute the same bits. The function must call nothing that is not inlined into it. Sanitizers cannot run before the
// program's start, where the choice is made, so they get the plain function.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BITLOOM_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BITLOOM_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && !defined(BITLOOM_SANITIZED)
#define BITLOOM_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BITLOOM_VECTOR_CLONES
#endif
