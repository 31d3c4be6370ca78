// What our own loops share: over float32 in channels_last order on the CPU.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <initializer_list>

// The inner loops use what every x86 processor since 2013 has.
#ifdef __x86_64__
#define WIDE __attribute__((target("avx2")))
#else
#define WIDE
#endif

inline bool is_float_on_cpu(const at::Tensor &t) { return t.device().is_cpu() && t.scalar_type() == at::kFloat; }

// Whether these tensors are such, the second ones with a number a channel, and all threads take part.
inline bool serves(const at::Tensor &x, std::initializer_list<const at::Tensor *> of_channels) {
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
