#pragma once
// For plain loops that deserve wide vectors: BITLOOM_VECTOR_CLONES before a function definition compiles it for
// AVX-512, AVX2 and the baseline, chosen when the program starts. Contraction to fused operations is off everywhere, so
// all clones give the same bits. The function must call nothing that is not inlined into it.

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
#define BITLOOM_VECTOR_CLONES  // sanitizers' run times are not ready yet when clones are chosen
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BITLOOM_VECTOR_CLONES
#endif
#endif
#ifndef BITLOOM_VECTOR_CLONES
#define BITLOOM_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
