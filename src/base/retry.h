/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retry.h - a system call that may be interrupted: >= 0, or the negated errno. For env*.c only.
 */
#ifndef FL_BASE_RETRY_H
#define FL_BASE_RETRY_H

#include <errno.h>

#define RETRY(call) \
	({ \
		__typeof__(call) r_; \
		do { \
			r_ = (call); \
		} while (r_ < 0 && errno == EINTR); \
		r_ < 0 ? (__typeof__(r_)) - errno : r_; \
	})

#endif
