// Shared by the files of the shim.
#pragma once
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <string>

inline char *copy(const std::string &text) { return strdup(text.c_str()); }

// Runs `body` and returns the message of the exception that it threw, or nullptr.
template <typename F> char *guarded(F &&body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &e) {
    return copy(e.what_without_backtrace());
  } catch (const std::exception &e) {
    return copy(e.what());
  } catch (...) {
    return copy("unknown C++ exception");
  }
}
