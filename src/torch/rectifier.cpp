// ReLU whose way back is not its gradient.
#include "shim.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

struct Rectifier : torch::autograd::Function<Rectifier> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, double most, bool masked) {
    at::Tensor y = x.clamp(0, most);
    if (masked)
      context->save_for_backward({(x > 0).logical_and(x < most)});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 const torch::autograd::variable_list &gradients) {
    at::Tensor gradient = gradients[0].clamp_min(0);
    for (const at::Tensor &mask : context->get_saved_variables())
      gradient = gradient * mask;
    return {gradient, at::Tensor(), at::Tensor()};
  }
};

} // namespace

extern "C" char *tv_rectifier(at::Tensor **out, const at::Tensor *x, double most, int masked) {
  return guarded([&] { *out = new at::Tensor(Rectifier::apply(*x, most, masked != 0)); });
}
