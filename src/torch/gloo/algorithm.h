// What c10d names of gloo, of which libtorch ships no headers: only declarations, for a library that is in libtorch.
#pragma once

