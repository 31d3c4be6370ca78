// Batch norm and what follows it in one operator, relu(norm(x) + residual), over float32 in channels_last format on the
// CPU. libtorch's separate operators pass over the activations in memory 14 times per training step, 17 with a
// residual; this one 8 and 11 times.
#include "loops.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <vector>

namespace {

// Pixels, each with contiguous channels.
struct Pixels {
  int64_t count, channels;

  explicit Pixels(const at::Tensor &x) : count(x.numel() / x.size(1)), channels(x.size(1)) {}

  // As many pixels as stay in the L1 cache.
  int64_t chunk() const { return std::max<int64_t>(1, 4096 / channels); }

  // Calls `body(thread, begin, end)` for each thread's range of pixels.
  template <typename F> void each(F &&body) const {
    at::parallel_for(0, count, std::max<int64_t>(1, 32768 / channels),
                     [&](int64_t begin, int64_t end) { body(at::get_thread_num(), begin, end); });
  }
};

// The count, and every channel's mean and sum of squared deviations.
struct Moments {
  double count = 0;
  std::vector<double> mean, squares;

  explicit Moments(int64_t channels) : mean(channels), squares(channels) {}

  // Chan, Golub and LeVeque (1983).
  template <typename T> void merge(double more, const T *more_mean, const T *more_squares) {
    if (more == 0)
      return;
    double total = count + more;
    for (size_t c = 0; c < mean.size(); ++c) {
      double delta = more_mean[c] - mean[c];
      mean[c] += delta * more / total;
      squares[c] += more_squares[c] + delta * delta * count * more / total;
    }
    count = total;
  }
};

// The mean and the sum of squared deviations of each channel over a few pixels, which are read from memory once.
WIDE void moments(const float *__restrict x, int64_t count, int64_t channels, float *__restrict mean,
                  float *__restrict squares) {
  std::fill(mean, mean + channels, 0.f);
  std::fill(squares, squares + channels, 0.f);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t c = 0; c < channels; ++c)
      mean[c] += x[i * channels + c];
  for (int64_t c = 0; c < channels; ++c)
    mean[c] /= count;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t c = 0; c < channels; ++c) {
      float deviation = x[i * channels + c] - mean[c];
      squares[c] += deviation * deviation;
    }
}

Moments moments(const float *x, Pixels pixels) {
  int64_t channels = pixels.channels;
  std::vector<Moments> parts(at::get_num_threads(), Moments(channels));
  pixels.each([&](int thread, int64_t begin, int64_t end) {
    std::vector<float> mean(channels), squares(channels);
    for (int64_t i = begin; i < end; i += pixels.chunk()) {
      int64_t count = std::min(end - i, pixels.chunk());
      moments(x + i * channels, count, channels, mean.data(), squares.data());
      parts[thread].merge(count, mean.data(), squares.data());
    }
  });
  Moments all(channels);
  for (const Moments &part : parts)
    all.merge(part.count, part.mean.data(), part.squares.data());
  return all;
}

// relu(x · scale + shift + residual). NaN stays NaN, as in libtorch.
template <bool Relu, bool Residual>
WIDE void affine(const float *__restrict x, const float *__restrict residual, const float *__restrict scale,
                 const float *__restrict shift, float *__restrict y, int64_t count, int64_t channels) {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t c = 0; c < channels; ++c) {
      float value = x[i * channels + c] * scale[c] + shift[c];
      if (Residual)
        value += residual[i * channels + c];
      y[i * channels + c] = Relu && value < 0 ? 0 : value;
    }
}

void affine(const at::Tensor &x, const at::Tensor *residual, const float *scale, const float *shift, bool relu,
            at::Tensor &y) {
  auto *from = x.const_data_ptr<float>(), *other = residual ? residual->const_data_ptr<float>() : nullptr;
  auto *to = y.mutable_data_ptr<float>();
  auto *run = relu ? (other ? affine<true, true> : affine<true, false>)
                   : (other ? affine<false, true> : affine<false, false>);
  Pixels pixels(x);
  pixels.each([&](int, int64_t begin, int64_t end) {
    int64_t at = begin * pixels.channels;
    run(from + at, other ? other + at : nullptr, scale, shift, to + at, end - begin, pixels.channels);
  });
}

// Where the relu's mask in the backward pass comes from: its output, or x · scale + shift.
enum class Relu { None, ByOutput, ByInput };

// A batch norm's tensors in the backward pass. `y` is the output, for Relu::ByOutput, which also fills `kept`: the
// gradient before the relu.
struct Backward {
  const float *grad, *x, *y, *mean, *scale, *shift;
  float *kept;

  Backward from(int64_t at) const {
    return {grad + at, x + at, y ? y + at : y, mean, scale, shift, kept ? kept + at : kept};
  }
};

template <Relu relu>
WIDE inline float before(float grad, float x, float y, float scale, float shift) {
  if (relu == Relu::ByOutput)
    return y <= 0 ? 0 : grad;
  if (relu == Relu::ByInput)
    return x * scale + shift <= 0 ? 0 : grad;
  return grad;
}

// Adds a few pixels to the sums of the gradient, and of the gradient times the deviation from the mean.
template <Relu relu>
WIDE void add(Backward b, int64_t count, int64_t channels, float *__restrict sum, float *__restrict product) {
  const float *__restrict grad = b.grad, *__restrict x = b.x, *__restrict mean = b.mean;
  const float *__restrict y = relu == Relu::ByOutput ? b.y : b.x, *__restrict scale = b.scale, *__restrict shift = b.shift;
  float *__restrict kept = b.kept;
  for (int64_t i = 0; i < count; ++i, grad += channels, x += channels, y += channels, kept += channels)
    for (int64_t c = 0; c < channels; ++c) {
      float g = before<relu>(grad[c], x[c], y[c], scale[c], shift[c]);
      if (relu == Relu::ByOutput)
        kept[c] = g;
      sum[c] += g;
      product[c] += g * (x[c] - mean[c]);
    }
}

// The same over all pixels, in double.
template <Relu relu> void sums(Backward b, Pixels pixels, double *grads, double *products) {
  int64_t channels = pixels.channels;
  std::vector<std::vector<double>> parts(at::get_num_threads(), std::vector<double>(2 * channels));
  pixels.each([&](int thread, int64_t begin, int64_t end) {
    std::vector<float> few(2 * channels);
    for (int64_t i = begin; i < end; i += pixels.chunk()) {
      std::fill(few.begin(), few.end(), 0.f);
      int64_t count = std::min(end - i, pixels.chunk());
      add<relu>(b.from(i * channels), count, channels, few.data(), few.data() + channels);
      std::transform(few.begin(), few.end(), parts[thread].begin(), parts[thread].begin(), std::plus<double>());
    }
  });
  for (const auto &part : parts)
    for (int64_t c = 0; c < channels; ++c) {
      grads[c] += part[c];
      products[c] += part[channels + c];
    }
}

// grad · scale - (offset + slope · (x - mean)).
template <Relu relu>
WIDE void gradient(Backward b, int64_t count, int64_t channels, const float *__restrict offset,
                   const float *__restrict slope, float *__restrict out) {
  const float *__restrict grad = b.grad, *__restrict x = b.x, *__restrict mean = b.mean;
  const float *__restrict scale = b.scale, *__restrict shift = b.shift;
  for (int64_t i = 0; i < count; ++i, grad += channels, x += channels, out += channels)
    for (int64_t c = 0; c < channels; ++c) {
      float g = before<relu>(grad[c], x[c], 0, scale[c], shift[c]);
      out[c] = g * scale[c] - (offset[c] + slope[c] * (x[c] - mean[c]));
    }
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct BatchNormRelu : torch::autograd::Function<BatchNormRelu> {
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &x, const std::optional<at::Tensor> &residual,
                            const at::Tensor &weight, const at::Tensor &bias, at::Tensor running_mean,
                            at::Tensor running_var, double momentum, double eps, bool relu) {
    Pixels pixels(x);
    Moments all = moments(x.const_data_ptr<float>(), pixels);
    // Rows: mean, inverse standard deviation, scale, shift.
    auto factors = at::empty({4, pixels.channels}, weight.options());
    auto *mean = factors.mutable_data_ptr<float>();
    float *inverse = mean + pixels.channels, *scale = inverse + pixels.channels, *shift = scale + pixels.channels;
    auto *w = weight.const_data_ptr<float>(), *b = bias.const_data_ptr<float>();
    auto *running = running_mean.mutable_data_ptr<float>(), *variance = running_var.mutable_data_ptr<float>();
    for (int64_t c = 0; c < pixels.channels; ++c) {
      double precise = 1 / std::sqrt(all.squares[c] / all.count + eps);
      mean[c] = all.mean[c];
      inverse[c] = precise;
      scale[c] = w[c] * precise;
      shift[c] = b[c] - all.mean[c] * w[c] * precise;
      running[c] += momentum * (all.mean[c] - running[c]);
      variance[c] += momentum * (all.squares[c] / (all.count - 1) - variance[c]);
    }
    auto y = at::empty_like(x);
    affine(x, residual ? &*residual : nullptr, scale, shift, relu, y);
    ctx->save_for_backward({x, weight, factors, residual && relu ? y : at::Tensor()});
    ctx->saved_data["relu"] = relu;
    ctx->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list outputs) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "batch norm with relu has no second derivative");
    auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &factors = saved[2], &y = saved[3];
    bool relu = ctx->saved_data["relu"].toBool(), residual = ctx->saved_data["residual"].toBool();
    auto grad = outputs[0].contiguous(at::MemoryFormat::ChannelsLast);
    // The residual's gradient, already through the relu.
    auto kept = residual && relu ? at::empty_like(grad) : grad;
    Pixels pixels(x);
    int64_t channels = pixels.channels;
    auto *mean = factors.const_data_ptr<float>();
    const float *inverse = mean + channels, *scale = inverse + channels, *shift = scale + channels;
    Backward b{grad.const_data_ptr<float>(), x.const_data_ptr<float>(), nullptr, mean, scale, shift, nullptr};
    std::vector<double> grads(channels), products(channels);
    if (!relu)
      sums<Relu::None>(b, pixels, grads.data(), products.data());
    else if (!residual)
      sums<Relu::ByInput>(b, pixels, grads.data(), products.data());
    else {
      b.y = y.const_data_ptr<float>();
      b.kept = kept.mutable_data_ptr<float>();
      sums<Relu::ByOutput>(b, pixels, grads.data(), products.data());
    }

    auto weight_grad = at::empty_like(weight), bias_grad = at::empty_like(weight);
    auto *dw = weight_grad.mutable_data_ptr<float>(), *db = bias_grad.mutable_data_ptr<float>();
    std::vector<float> offset(channels), slope(channels);
    for (int64_t c = 0; c < channels; ++c) {
      dw[c] = products[c] * inverse[c];
      db[c] = grads[c];
      offset[c] = scale[c] * grads[c] / pixels.count;
      slope[c] = scale[c] * products[c] * inverse[c] * inverse[c] / pixels.count;
    }
    auto dx = at::empty_like(x);
    auto *out = dx.mutable_data_ptr<float>();
    b.grad = kept.const_data_ptr<float>();
    auto *run = relu && !residual ? gradient<Relu::ByInput> : gradient<Relu::None>;
    pixels.each([&](int, int64_t begin, int64_t end) {
      int64_t at = begin * channels;
      run(b.from(at), end - begin, channels, offset.data(), slope.data(), out + at);
    });
    return {dx, residual ? kept : at::Tensor(), weight_grad, bias_grad, {}, {}, {}, {}, {}};
  }
};

} // namespace

extern "C" {

// A training pass of batch norm and what follows it; null for inputs that need libtorch's own operators.
char *tv_batch_norm_relu(at::Tensor **out, const at::Tensor *x, const at::Tensor *residual, const at::Tensor *weight,
                         const at::Tensor *bias, const at::Tensor *running_mean, const at::Tensor *running_var,
                         double momentum, double eps, int relu) {
  return guarded([&] {
    *out = nullptr;
    if (!is_supported(*x, {weight, bias, running_mean, running_var}))
      return;
    if (residual && !(is_supported(*residual, {}) && residual->sizes() == x->sizes()))
      return;
    auto other = residual ? std::optional<at::Tensor>(*residual) : std::nullopt;
    *out = new at::Tensor(BatchNormRelu::apply(*x, other, *weight, *bias, *running_mean, *running_var, momentum, eps,
                                               static_cast<bool>(relu)));
  });
}

// relu(x · scale + shift), channel by channel, without gradient; null for inputs that need libtorch's own operators.
char *tv_affine_relu(at::Tensor **out, const at::Tensor *x, const at::Tensor *scale, const at::Tensor *shift,
                     int relu) {
  return guarded([&] {
    *out = nullptr;
    if (!is_supported(*x, {scale, shift}))
      return;
    at::NoGradGuard no_grad;
    RECORD_FUNCTION("tchvision::affine_relu", std::vector<c10::IValue>{*x});
    auto y = at::empty_like(*x);
    affine(*x, nullptr, scale->const_data_ptr<float>(), shift->const_data_ptr<float>(), relu, y);
    guard.setOutputs(std::vector<c10::IValue>{y});
    *out = new at::Tensor(y);
  });
}
}
