// What c10d names of gloo, of which libtorch ships no headers: only declarations, for a library that is in libtorch.
#pragma once
#include <chrono>

namespace gloo {
class Context {
public:
  void setTimeout(std::chrono::milliseconds timeout);
};
} // namespace gloo
