// Assertions of the core: on in every preset for developers, off in a release.
#pragma once

#if defined(LLMCORE_ASSERTIONS) && LLMCORE_ASSERTIONS
#define LLMCORE_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#else
#define LLMCORE_ASSERT(condition) static_cast<void>(sizeof((condition) ? 1 : 0))
#endif
