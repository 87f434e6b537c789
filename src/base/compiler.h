/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compiler.h - attributes and small macros, the only place that names the compiler
 */
#ifndef FL_BASE_COMPILER_H
#define FL_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define FL_MUSTCHECK    __attribute__((warn_unused_result))
#define FL_NONNULL      __attribute__((nonnull))
#define FL_NORETURN     __attribute__((noreturn))
#define FL_COLD         __attribute__((cold))
#define FL_UNUSED       __attribute__((unused))
#define FL_ALIGNED(n)   __attribute__((aligned(n)))
/* A large local that is written before it is read: without it the compiler clears it at every call
 * (-ftrivial-auto-var-init), which on the request path costs more than the work itself. */
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define FL_UNINIT       __attribute__((uninitialized))
#else
#define FL_UNINIT
#endif
#define FL_CACHELINE    64

/* 1 under AddressSanitizer: each piece of memory is then malloc's own, so that it sees overruns. */
#if defined(__SANITIZE_ADDRESS__)
#define FL_SEES_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FL_SEES_MEMORY 1
#endif
#endif
#ifndef FL_SEES_MEMORY
#define FL_SEES_MEMORY 0
#endif

#define FL_LIKELY(x)    __builtin_expect(!!(x), 1)
#define FL_UNLIKELY(x)  __builtin_expect(!!(x), 0)

#define FL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define FL_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define FL_MAX(a, b)    ((a) > (b) ? (a) : (b))
#define FL_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* A bug in our code, never a peer's, the memory's or the user's fault. Stays on in release
 * builds: prints file, line and condition to stderr, then abort(). */
FL_NORETURN FL_COLD void fl_assert_fail(const char *cond, const char *file, int line);
#define ASSERT(cond) \
	do { \
		if (FL_UNLIKELY(!(cond))) \
			fl_assert_fail(#cond, __FILE__, __LINE__); \
	} while (0)

#endif
