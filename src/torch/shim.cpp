// What tch does not bind. Every function returns nullptr, or the message of the C++ exception (freed by tv_free).
// Tensors are passed as pointers to at::Tensor, as in torch-sys.
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/api/include/torch/version.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace {

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i)
    out.push_back(*tensors[i]);
  return out;
}

// oneDNN's fused kernels are operators without a C++ header, looked up by name once.
template <typename Signature> c10::TypedOperatorHandle<Signature> mkldnn(const char *name, const char *overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).template typed<Signature>();
}

std::optional<at::Tensor> maybe(const at::Tensor *tensor) {
  return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
}

// An elementwise function after a kernel: its name, its parameters, and which algorithm computes it.
struct Pointwise {
  std::string_view name;
  c10::List<std::optional<at::Scalar>> scalars;
  std::optional<std::string_view> algorithm;

  Pointwise(const char *name, const double *values, size_t n, const char *algorithm) : name(name) {
    for (size_t i = 0; i < n; ++i)
      scalars.push_back(at::Scalar(values[i]));
    if (algorithm)
      this->algorithm = algorithm;
  }
};

// Of the GPU with this index, or of the CPU for -1.
at::Generator default_generator(int index) {
  auto device = index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, index);
  return at::globalContext().defaultGenerator(device);
}

c10::DeviceType device_type(int cuda) { return cuda ? c10::DeviceType::CUDA : c10::DeviceType::CPU; }

} // namespace

extern "C" {

void tv_free(char *text) { free(text); }

char *tv_torch_version() { return copy(TORCH_VERSION); }

char *tv_show_config() { return copy(at::show_config()); }

char *tv_cpu_capability() { return copy(at::get_cpu_capability()); }

char *tv_empty_meta(at::Tensor **out, const int64_t *sizes, size_t n, int dtype) {
  return guarded([&] {
    auto options = at::TensorOptions().device(at::kMeta).dtype(static_cast<at::ScalarType>(dtype));
    *out = new at::Tensor(at::empty(at::IntArrayRef(sizes, n), options));
  });
}

// New zero bytes in pinned host memory, which a GPU can copy without the CPU.
char *tv_zeros_pinned(at::Tensor **out, const int64_t *sizes, size_t n) {
  return guarded([&] {
    auto options = at::TensorOptions().dtype(at::kByte).pinned_memory(true);
    *out = new at::Tensor(at::zeros(at::IntArrayRef(sizes, n), options));
  });
}

// A tensor over memory of an owner, which is released with the last tensor over it, or when there comes to be none.
char *tv_from_owner(at::Tensor **out, void *data, const int64_t *sizes, const int64_t *strides, size_t n, int dtype,
                    void *owner, void (*release)(void *)) {
  return guarded([&] {
    std::shared_ptr<void> kept(owner, release);
    auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(dtype));
    *out = new at::Tensor(at::from_blob(data, at::IntArrayRef(sizes, n), at::IntArrayRef(strides, n),
                                        [kept](void *) {}, options));
  });
}

char *tv_is_meta(const at::Tensor *tensor, int *out) {
  return guarded([&] { *out = tensor->is_meta(); });
}

// Whether a GPU may round the inputs of float32 matrix products and convolutions to TF32.
char *tv_allow_tf32(int allowed) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(allowed);
    at::globalContext().setAllowTF32CuDNN(allowed);
  });
}

// Waits until a GPU has finished all queued work.
char *tv_synchronize(int index) {
  return guarded([&] {
    c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).synchronizeDevice(static_cast<c10::DeviceIndex>(index));
  });
}

// The most bytes that tensors on a GPU have held at once.
char *tv_peak_cuda_bytes(int index, int64_t *out) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(index));
    *out = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

// Turns autocast on or off for a device and returns the previous setting.
char *tv_autocast(int cuda, int enabled, int dtype, int *was_enabled, int *was_dtype) {
  return guarded([&] {
    auto device = device_type(cuda);
    *was_enabled = at::autocast::is_autocast_enabled(device);
    *was_dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(device, enabled);
    // The cache keeps bfloat16 copies of the weights: stale after the next optimizer step.
    at::autocast::clear_cache();
  });
}

char *tv_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *momenta, size_t n, double lr,
                   double momentum, double weight_decay, int nesterov) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto buffers = momentum != 0 ? list(momenta, n) : std::vector<at::Tensor>();
    at::_fused_sgd_(list(params, n), list(grads, n), buffers, weight_decay, momentum, lr, /*dampening=*/0.0, nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
  });
}

char *tv_fused_adam(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *exp_avgs,
                     at::Tensor *const *exp_avg_sqs, at::Tensor *const *steps, size_t n, double lr, double beta1,
                     double beta2, double eps, double weight_decay, int decoupled) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto counts = list(steps, n);
    at::_foreach_add_(counts, 1);
    auto p = list(params, n), g = list(grads, n), m = list(exp_avgs, n), v = list(exp_avg_sqs, n);
    if (decoupled)
      at::_fused_adamw_(p, g, m, v, {}, counts, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
                        /*maximize=*/false);
    else
      at::_fused_adam_(p, g, m, v, {}, counts, lr, beta1, beta2, weight_decay, eps, /*amsgrad=*/false,
                       /*maximize=*/false);
  });
}

// a += weight * (b - a), for every pair.
char *tv_foreach_lerp(at::Tensor *const *a, at::Tensor *const *b, size_t n, double weight) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::_foreach_lerp_(list(a, n), list(b, n), weight);
  });
}

char *tv_clear_grads(at::Tensor *const *params, size_t n) {
  return guarded([&] {
    for (size_t i = 0; i < n; ++i)
      params[i]->mutable_grad().reset();
  });
}

// torch.nn.utils.clip_grad_norm_ without reading the norm back to the host.
char *tv_clip_grad_norm(at::Tensor **out, at::Tensor *const *grads, size_t n, double max_norm) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    auto tensors = list(grads, n);
    auto norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(tensors)), 2);
    at::_foreach_mul_(tensors, (max_norm / (norm + 1e-6)).clamp_max(1.0));
    *out = new at::Tensor(norm);
  });
}

char *tv_generator_state(at::Tensor **out, int index) {
  return guarded([&] {
    auto generator = default_generator(index);
    std::lock_guard<std::mutex> lock(generator.mutex());
    *out = new at::Tensor(generator.get_state());
  });
}

char *tv_set_generator_state(const at::Tensor *state, int index) {
  return guarded([&] {
    auto generator = default_generator(index);
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(*state);
  });
}

int tv_has_mkldnn() { return at::hasMKLDNN(); }

// The weight of a convolution in the layout that is best for oneDNN's kernel for inputs of that size.
char *tv_pack_convolution(at::Tensor **out, const at::Tensor *weight, const int64_t *padding, const int64_t *stride,
                          const int64_t *dilation, int64_t groups, const int64_t *input) {
  return guarded([&] {
    static auto op = mkldnn<at::Tensor(const at::Tensor &, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                                       at::OptionalIntArrayRef)>("mkldnn::_reorder_convolution_weight");
    *out = new at::Tensor(op.call(*weight, at::IntArrayRef(padding, 2), at::IntArrayRef(stride, 2),
                                  at::IntArrayRef(dilation, 2), groups, at::IntArrayRef(input, 4)));
  });
}

// pointwise(convolution(x) + other), or without `other` if it is null. With it, the function is relu or none.
char *tv_fused_convolution(at::Tensor **out, const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias,
                           const at::Tensor *other, const int64_t *padding, const int64_t *stride,
                           const int64_t *dilation, int64_t groups, const char *name, const double *scalars, size_t n,
                           const char *algorithm) {
  return guarded([&] {
    Pointwise after(name, scalars, n, algorithm);
    at::IntArrayRef pad(padding, 2), step(stride, 2), spread(dilation, 2);
    if (!other) {
      static auto op = mkldnn<at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
                                         at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t, std::string_view,
                                         c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>)>(
          "mkldnn::_convolution_pointwise");
      *out = new at::Tensor(
          op.call(*x, *weight, maybe(bias), pad, step, spread, groups, after.name, after.scalars, after.algorithm));
      return;
    }
    static auto op = mkldnn<at::Tensor(const at::Tensor &, const at::Tensor &, const at::Tensor &,
                                       const std::optional<at::Tensor> &, at::IntArrayRef, at::IntArrayRef,
                                       at::IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>,
                                       std::optional<std::string_view>, c10::List<std::optional<at::Scalar>>,
                                       std::optional<std::string_view>)>("mkldnn::_convolution_pointwise", "binary");
    auto unary = after.name == "none" ? std::nullopt : std::optional<std::string_view>(after.name);
    *out = new at::Tensor(op.call(*x, *other, *weight, maybe(bias), pad, step, spread, groups, "add", std::nullopt,
                                  unary, after.scalars, after.algorithm));
  });
}

// Whether two packed weights have the same layout.
char *tv_is_packed_alike(int *same, const at::Tensor *a, const at::Tensor *b) {
  return guarded([&] {
    static auto layout = mkldnn<at::Tensor(const at::Tensor &)>("mkldnn::_get_mkldnn_serialized_md");
    *same = a->sizes() == b->sizes() && a->scalar_type() == b->scalar_type() && layout.call(*a).equal(layout.call(*b));
  });
}

// The weight of a linear layer in the layout that is best for oneDNN's kernel for that many rows.
char *tv_pack_linear(at::Tensor **out, const at::Tensor *weight, int64_t rows) {
  return guarded([&] {
    static auto op =
        mkldnn<at::Tensor(const at::Tensor &, std::optional<int64_t>)>("mkldnn::_reorder_linear_weight");
    *out = new at::Tensor(op.call(*weight, rows));
  });
}

// pointwise(linear(x)).
char *tv_fused_linear(at::Tensor **out, const at::Tensor *x, const at::Tensor *weight, const at::Tensor *bias,
                      const char *name, const double *scalars, size_t n, const char *algorithm) {
  return guarded([&] {
    static auto op = mkldnn<at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
                                       std::string_view, c10::List<std::optional<at::Scalar>>,
                                       std::optional<std::string_view>)>("mkldnn::_linear_pointwise");
    Pointwise after(name, scalars, n, algorithm);
    *out = new at::Tensor(op.call(*x, *weight, maybe(bias), after.name, after.scalars, after.algorithm));
  });
}
}
