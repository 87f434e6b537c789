/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assert.c - the end of a process that found a bug in itself
 *
 * Uses no heap, no stdio stream and no lock, so it works from any state. The parent sees SIGABRT
 * and treats it as a crash; the line on stderr is for the operator's bug report.
 */
#include "config.h"

#include "base/compiler.h"
#include "base/work.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct work_note work_note;
char work_bug[64];

void fl_assert_fail(const char *cond, const char *file, int line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "fairlead[%d]: bug: %s:%d: ASSERT(%s)\n", (int)getpid(),
			 file, line, cond);

	if (n > (int)sizeof(text) - 1) {
		n = (int)sizeof(text) - 1;
		text[n - 1] = '\n';
	}
	(void)snprintf(work_bug, sizeof(work_bug), "%s:%d", file, line);
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) { /* env-ok: dying */
		/* nobody listens: the signal alone must do */
	}
	abort();
}
