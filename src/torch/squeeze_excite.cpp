// Squeeze-and-excitation in one operator, without gradient. Its two matrix products are so small that as separate
// operators their calls take longer than the work.
#include "loops.h"
#include "shim.h"

#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

namespace {

using Function = float (*)(float);

// The function under oneDNN's name; nullptr if it is none of these. NaN stays NaN.
Function function(std::string_view name) {
  if (name == "relu")
    return [](float x) { return x < 0 ? 0 : x; };
  if (name == "swish")
    return [](float x) { return x / (1 + std::exp(-x)); };
  if (name == "sigmoid")
    return [](float x) { return 1 / (1 + std::exp(-x)); };
  if (name == "hardsigmoid")
    return [](float x) { return x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5f; };
  return nullptr;
}

// (N, C, H, W) as images of pixels, each with contiguous channels.
struct Images {
  int64_t count, pixels, channels;
};

// Sums `width` neighbouring channels over the pixels of one image; in blocks, to limit rounding errors.
WIDE void sum_over(const float *__restrict x, int64_t pixels, int64_t channels, int64_t width, float *__restrict sum,
                   float *__restrict part) {
  constexpr int64_t block = 64;
  for (int64_t begin = 0; begin < pixels; begin += block) {
    std::fill(part, part + width, 0.f);
    for (int64_t i = begin; i < std::min(begin + block, pixels); ++i)
      for (int64_t c = 0; c < width; ++c)
        part[c] += x[i * channels + c];
    for (int64_t c = 0; c < width; ++c)
      sum[c] += part[c];
  }
}

// The mean of every channel of every image. Threads split the work by groups of channels, so also within one image.
void means(const float *x, Images size, float *mean) {
  constexpr int64_t group = 16;
  int64_t groups = (size.channels + group - 1) / group;
  int64_t grain = std::max<int64_t>(1, 16384 / (size.pixels * group));
  at::parallel_for(0, size.count * groups, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> part(size.channels);
    while (begin < end) {
      int64_t image = begin / groups, until = std::min(end, (image + 1) * groups);
      int64_t from = begin % groups * group, to = std::min((until - image * groups) * group, size.channels);
      float *sum = mean + image * size.channels + from;
      sum_over(x + image * size.pixels * size.channels + from, size.pixels, size.channels, to - from, sum, part.data());
      for (int64_t c = 0; c < to - from; ++c)
        sum[c] /= size.pixels;
      begin = until;
    }
  });
}

// y = function(x · weight + bias) with a weight of (inputs, outputs).
WIDE void multiply(const float *__restrict x, const float *__restrict weight, const float *__restrict bias,
                   int64_t inputs, int64_t outputs, Function function, float *__restrict y) {
  for (int64_t o = 0; o < outputs; ++o)
    y[o] = bias ? bias[o] : 0;
  for (int64_t i = 0; i < inputs; ++i)
    for (int64_t o = 0; o < outputs; ++o)
      y[o] += x[i] * weight[i * outputs + o];
  for (int64_t o = 0; o < outputs; ++o)
    y[o] = function(y[o]);
}

// Multiplies some or all of one image's pixels by the gates of its channels.
WIDE void scale(const float *__restrict x, const float *__restrict gates, int64_t pixels, int64_t channels,
                float *__restrict y) {
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t c = 0; c < channels; ++c)
      y[i * channels + c] = x[i * channels + c] * gates[c];
}

void scale(const float *x, const float *gates, Images size, float *y) {
  int64_t grain = std::max<int64_t>(1, 16384 / size.channels);
  at::parallel_for(0, size.count * size.pixels, grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      int64_t image = begin / size.pixels, until = std::min(end, (image + 1) * size.pixels);
      int64_t at = begin * size.channels;
      scale(x + at, gates + image * size.channels, until - begin, size.channels, y + at);
      begin = until;
    }
  });
}

// Whether a product's weight is of (inputs, outputs), and its bias, if any, of (outputs).
bool fits(const at::Tensor &weight, const at::Tensor *bias, int64_t inputs, int64_t outputs) {
  auto plain = [](const at::Tensor &t) { return is_float_on_cpu(t) && t.is_contiguous(); };
  return plain(weight) && weight.dim() == 2 && weight.size(0) == inputs && weight.size(1) == outputs &&
         (!bias || (plain(*bias) && bias->numel() == outputs));
}

const float *values(const at::Tensor *tensor) { return tensor ? tensor->const_data_ptr<float>() : nullptr; }

} // namespace

extern "C" {

// x · gate(activation(mean(x) · reduce + reduce_bias) · expand + expand_bias); null for inputs that need libtorch's own
// operators. Weights are (inputs, outputs), biases may be null.
char *tv_squeeze_excite(at::Tensor **out, const at::Tensor *x, const at::Tensor *reduce, const at::Tensor *reduce_bias,
                        const at::Tensor *expand, const at::Tensor *expand_bias, const char *activation,
                        const char *gate) {
  return guarded([&] {
    *out = nullptr;
    Function inner = function(activation), outer = function(gate);
    if (!inner || !outer || !is_supported(*x, {}))
      return;
    Images size{x->size(0), x->size(2) * x->size(3), x->size(1)};
    int64_t squeezed = reduce->size(-1);
    if (!fits(*reduce, reduce_bias, size.channels, squeezed) || !fits(*expand, expand_bias, squeezed, size.channels))
      return;
    auto y = at::empty_like(*x);
    const float *from = values(x);
    std::vector<float> mean(size.count * size.channels), gates(mean.size());
    means(from, size, mean.data());
    at::parallel_for(0, size.count, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> hidden(squeezed);
      for (int64_t image = begin; image < end; ++image) {
        int64_t at = image * size.channels;
        multiply(mean.data() + at, values(reduce), values(reduce_bias), size.channels, squeezed, inner, hidden.data());
        multiply(hidden.data(), values(expand), values(expand_bias), squeezed, size.channels, outer, gates.data() + at);
      }
    });
    scale(from, gates.data(), size, y.mutable_data_ptr<float>());
    *out = new at::Tensor(y);
  });
}
}
