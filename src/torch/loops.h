// Shared by our own loops, which run over float32 in channels_last format on the CPU.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <initializer_list>

// The inner loops use AVX2, which x86 processors have had since 2013.
#ifdef __x86_64__
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

inline bool is_float_on_cpu(const at::Tensor &t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat; }

// Whether the loops can run over `x`, with `of_channels` tensors of one number per channel, on all threads.
inline bool is_supported(const at::Tensor &x, std::initializer_list<const at::Tensor *> of_channels) {
#ifdef __x86_64__
  static bool wide = __builtin_cpu_supports("avx2");
#else
  bool wide = true;
#endif
#ifdef INTRA_OP_PARALLEL
  auto fits = [&](const at::Tensor *t) { return is_float_on_cpu(*t) && t->is_contiguous() && t->numel() == x.size(1); };
  return wide && is_float_on_cpu(x) && x.dim() == 4 && x.numel() > 0 && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         std::all_of(of_channels.begin(), of_channels.end(), fits);
#else
  return false;
#endif
}
