// libtorch's process groups: gloo's collectives, the store in which ranks find each other, and the reducer of
// DistributedDataParallel.
#include "shim.h"

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using Group = c10::intrusive_ptr<c10d::ProcessGroup>;

// Buckets of DistributedDataParallel's sizes: the first is small, so that its reduction begins early.
constexpr int64_t BUCKET = 25 << 20, FIRST_BUCKET = 1 << 20;

// Sums buckets, where libtorch's own way divides by the number of ranks: the loss of each rank has its share already. Keeps what a
// bench asks for: when each bucket of a step was ready.
struct Sum : public c10d::CppCommHookInterface<Group> {
  using Clock = std::chrono::steady_clock;
  struct Begun {
    size_t bytes;
    Clock::time_point at;
  };
  std::shared_ptr<std::vector<Begun>> begun;

  Sum(Group ranks, std::shared_ptr<std::vector<Begun>> kept)
      : CppCommHookInterface(std::move(ranks)), begun(std::move(kept)) {}

  c10::intrusive_ptr<c10::ivalue::Future> runHook(c10d::GradBucket &bucket) override {
    std::vector<at::Tensor> tensors{bucket.getBufferRef()};
    begun->push_back({tensors[0].nbytes(), Clock::now()});
    return state_->allreduce(tensors)->getFuture();
  }
};

// A gradient whose strides are not its parameter's, as of a convolution of 1×1 in channels_last, is copied: no fault of the user's.
struct Quiet : public c10::WarningHandler {
  void process(const c10::Warning &warning) override {
    if (warning.msg().rfind("Grad strides do not match", 0) != 0)
      c10::WarningHandler::process(warning);
  }
};

struct Reduced {
  std::unique_ptr<c10d::Reducer> reducer;
  std::shared_ptr<std::vector<Sum::Begun>> begun;
  Sum::Clock::time_point since;
};

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t n) {
  std::vector<at::Tensor> all;
  for (size_t i = 0; i < n; ++i)
    all.push_back(*tensors[i]);
  return all;
}

} // namespace

extern "C" {

// Opens the store of `host`, or serves it here: then `port` may be 0 and becomes the one that is free.
char *tv_store_open(void **out, const char *host, uint16_t *port, int serve, int64_t timeout_ms) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = *port;
    options.isServer = serve;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(std::string(host), options);
    *port = store->getPort();
    *out = new StorePtr(std::move(store));
  });
}

// The same store, all keys of which begin with `prefix`.
char *tv_store_prefix(void **out, const void *store, const char *prefix) {
  return guarded([&] {
    *out = new StorePtr(c10::make_intrusive<c10d::PrefixStore>(prefix, *static_cast<const StorePtr *>(store)));
  });
}

char *tv_store_set(const void *store, const char *key, const char *value) {
  return guarded([&] { (*static_cast<const StorePtr *>(store))->set(key, std::string(value)); });
}

char *tv_store_get(char **out, const void *store, const char *key) {
  return guarded([&] { *out = copy((*static_cast<const StorePtr *>(store))->get_to_str(key)); });
}

char *tv_store_has(int *out, const void *store, const char *key) {
  return guarded([&] { *out = (*static_cast<const StorePtr *>(store))->check({key}); });
}

void tv_store_free(void *store) { delete static_cast<StorePtr *>(store); }

// A group of `world` processes on CPU tensors.
char *tv_group_open(void **out, const void *store, int rank, int world, int64_t timeout_ms) {
  return guarded([&] {
    auto &shared = *static_cast<const StorePtr *>(store);
    auto options = c10d::ProcessGroupGloo::Options::create_default(std::chrono::milliseconds(timeout_ms));
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(shared, rank, world, options);
    auto group = c10::make_intrusive<c10d::ProcessGroup>(shared, rank, world);
    group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, gloo);
    group->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    *out = new Group(std::move(group));
  });
}

void tv_group_free(void *group) { delete static_cast<Group *>(group); }

// The sum over all ranks, in place.
char *tv_group_all_reduce(const void *group, at::Tensor *tensor) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*static_cast<const Group *>(group))->allreduce(tensors)->wait();
  });
}

// To one other rank, and from it.
char *tv_group_send(const void *group, at::Tensor *tensor, int to) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*static_cast<const Group *>(group))->send(tensors, to, 0)->wait();
  });
}

char *tv_group_receive(const void *group, at::Tensor *tensor, int from) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    (*static_cast<const Group *>(group))->recv(tensors, from, 0)->wait();
  });
}

// Rank 0's values, in place.
char *tv_group_broadcast(const void *group, at::Tensor *const *tensors, size_t n) {
  return guarded([&] { c10d::broadcast_coalesced(*static_cast<const Group *>(group), list(tensors, n), BUCKET, 0); });
}

// Gradients of these parameters become the sum over the ranks, while backward runs.
char *tv_reducer_new(void **out, const void *group, at::Tensor *const *tensors, const char *const *names, size_t n,
                     int find_unused) {
  return guarded([&] {
    static Quiet quiet;
    c10::WarningUtils::set_warning_handler(&quiet);
    auto params = list(tensors, n);
    std::vector<bool> sparse(n, false);
    std::unordered_map<size_t, std::string> named;
    for (size_t i = 0; i < n; ++i)
      named[i] = names[i];
    auto &ranks = *static_cast<const Group *>(group);
    c10d::verify_params_across_processes(ranks, params, {});
    auto [buckets, limits] = c10d::compute_bucket_assignment_by_size(params, {FIRST_BUCKET, BUCKET}, sparse);
    // Gradients come from the last parameter to the first.
    std::reverse(buckets.begin(), buckets.end());
    auto begun = std::make_shared<std::vector<Sum::Begun>>();
    auto reducer = std::make_unique<c10d::Reducer>(params, buckets, ranks, sparse, BUCKET, find_unused, true, named,
                                                   FIRST_BUCKET, false, false, std::vector<int64_t>{});
    reducer->register_comm_hook(std::make_unique<Sum>(ranks, begun));
    *out = new Reduced{std::move(reducer), std::move(begun), {}};
  });
}

void tv_reducer_free(void *reducer) {
  auto *message = guarded([&] { delete static_cast<Reduced *>(reducer); });
  free(message);
}

char *tv_reducer_before_forward(void *reducer) {
  return guarded([&] {
    auto &reduced = *static_cast<Reduced *>(reducer)->reducer;
    reduced.prepare_for_forward();
    reduced.rebuild_buckets();
  });
}

// Without this call the next backward pass adds to the gradients of this rank alone.
char *tv_reducer_before_backward(void *reducer, const at::Tensor *loss) {
  return guarded([&] {
    auto &reduced = *static_cast<Reduced *>(reducer);
    reduced.begun->clear();
    reduced.since = Sum::Clock::now();
    reduced.reducer->prepare_for_backward({*loss});
  });
}

// The buckets of the last backward pass in the order in which their sums began: bytes, and seconds since its begin. Returns how many
// there are, and fills in as many as there is room for.
size_t tv_reducer_begun(const void *reducer, int64_t *bytes, double *seconds, size_t room) {
  auto &reduced = *static_cast<const Reduced *>(reducer);
  for (size_t i = 0; i < std::min(room, reduced.begun->size()); ++i) {
    auto &bucket = (*reduced.begun)[i];
    bytes[i] = bucket.bytes;
    seconds[i] = std::chrono::duration<double>(bucket.at - reduced.since).count();
  }
  return reduced.begun->size();
}
}
