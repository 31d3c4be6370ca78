// What a thread has libtorch do: the operators that it calls, with the tensors that they read and write.
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <vector>

namespace {

struct Trace {
  std::string text;
  // Kept until the end, so that no memory is given to two tensors.
  std::vector<at::Tensor> tensors;
  at::CallbackHandle handle;
  // How many operators are running, each within the one before.
  int depth = 0;

  // [[memory, [sizes]], …] of the tensors among `values`.
  template <typename Values> std::string list(const Values &values) {
    std::string out;
    auto add = [&](const at::Tensor &tensor) {
      if (!tensor.defined() || !tensor.has_storage())
        return;
      tensors.push_back(tensor);
      auto memory = reinterpret_cast<uintptr_t>(tensor.storage().unsafeGetStorageImpl());
      out += out.empty() ? "[" : ",[";
      out += std::to_string(memory);
      out += ",[";
      for (int64_t i = 0; i < tensor.dim(); ++i) {
        out += i ? "," : "";
        out += std::to_string(tensor.size(i));
      }
      out += "]]";
    };
    for (const c10::IValue &value : values) {
      if (value.isTensor())
        add(value.toTensor());
      else if (value.isTensorList())
        for (const at::Tensor &tensor : value.toTensorVector())
          add(tensor);
    }
    return "[" + out + "]";
  }
};

thread_local std::unique_ptr<Trace> trace;

// The texts among `values`, such as the name of the function that a kernel applies to what it puts out.
std::string texts(c10::ArrayRef<const c10::IValue> values) {
  std::string out;
  for (const c10::IValue &value : values)
    if (value.isString())
      out += (out.empty() ? "\"" : ",\"") + value.toStringRef() + "\"";
  return "[" + out + "]";
}

struct Inputs : at::ObserverContext {
  std::string list;
};

std::unique_ptr<at::ObserverContext> before(const at::RecordFunction &call) {
  auto inputs = std::make_unique<Inputs>();
  if (trace->depth++ == 0)
    inputs->list = trace->list(call.inputs()) + ",\"texts\":" + texts(call.inputs());
  return inputs;
}

void after(const at::RecordFunction &call, at::ObserverContext *inputs) {
  if (--trace->depth > 0)
    return;
  trace->text += trace->text.empty() ? "{" : ",{";
  trace->text += "\"name\":\"" + std::string(call.name()) + "\",\"inputs\":" + static_cast<Inputs *>(inputs)->list;
  trace->text += ",\"outputs\":" + trace->list(call.outputs()) + "}";
}

} // namespace

extern "C" {

char *tv_trace_start() {
  return guarded([] {
    TORCH_CHECK(!trace, "operators of this thread are being traced already");
    auto callback = at::RecordFunctionCallback(before, after).needsInputs(true).needsOutputs(true);
    auto handle = at::addThreadLocalCallback(callback.scopes({at::RecordScope::FUNCTION}));
    trace = std::make_unique<Trace>();
    trace->handle = handle;
  });
}

// The operators called since the start as JSON: [{name, inputs, texts, outputs}, …].
char *tv_trace_stop(char **out) {
  return guarded([&] {
    at::removeCallback(trace->handle);
    *out = copy("[" + trace->text + "]");
    trace.reset();
  });
}
}
