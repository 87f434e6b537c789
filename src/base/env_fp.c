/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env_fp.c - failpoints: faults that a test asks for by name (ROBUSTNESS R24)
 *
 * Only in builds with FL_FAILPOINTS. The variable is read once, at the first failpoint passed;
 * a forked child starts with the parent's hit counts. Nothing here allocates, as malloc
 * is itself a failpoint.
 */
#include "config.h"

#include "base/env.h"

#ifdef FL_FAILPOINTS

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

enum fp_action { FP_ERRNO, FP_KILL, FP_SEGV, FP_TRAP, FP_SPIN, FP_SLEEP, FP_SHORT };

struct fp {
	struct str     name;
	enum fp_action action;
	int            err;          /* FP_ERRNO */
	uint64_t       sleep_ms;     /* FP_SLEEP */
	uint64_t       hit, count;   /* see env.h; count 0 = all from hit on */
	uint64_t       seen;
};

#define FP_MAX 64
static struct fp fps[FP_MAX];
static unsigned fp_count;
static int fp_ready;

FL_NORETURN static void fp_mistake(struct str entry)
{
	fprintf(stderr, "FAIRLEAD_FAILPOINTS: cannot read \"" STR_FMT "\"\n", STR_ARG(entry));
	abort();
}

static int errno_by_name(struct str name)
{
	for (int e = 1; e < 4096; e++) {
		const char *z = strerrorname_np(e);

		if (z && str_eq(str_c(z), name))
			return e;
	}
	return 0;
}

static bool fp_parse_action(struct fp *f, struct str text)
{
	static const struct {
		const char    *word;
		enum fp_action action;
	} words[] = {
		{ "errno", FP_ERRNO }, { "kill", FP_KILL },   { "segv", FP_SEGV },
		{ "trap", FP_TRAP },   		{ "spin", FP_SPIN },   { "sleep", FP_SLEEP }, { "short", FP_SHORT },
	};
	struct str word = str_cut(&text, ' ');

	text = str_trim(text);
	for (size_t i = 0; i < FL_ARRAY_LEN(words); i++) {
		if (!str_eq(word, str_c(words[i].word)))
			continue;
		f->action = words[i].action;
		if (f->action == FP_ERRNO)
			return (f->err = errno_by_name(text)) != 0;
		if (f->action == FP_SLEEP)
			return str_u64(text, &f->sleep_ms);
		return text.n == 0;
	}
	return false;
}

static void fp_parse_one(struct str entry)
{
	struct fp *f = &fps[fp_count];
	struct str rest = entry, action;

	if (fp_count == FP_MAX)
		fp_mistake(entry);
	*f = (struct fp){ .hit = 1, .count = 0 };
	f->name = str_trim(str_cut(&rest, '='));
	action = str_trim(str_cut(&rest, ':'));
	if (f->name.n == 0 || !fp_parse_action(f, action))
		fp_mistake(entry);
	if (rest.n) {
		struct str hit = str_cut(&rest, ':');

		f->count = 1;
		if (!str_u64(hit, &f->hit) || f->hit == 0 || (rest.n && !str_u64(rest, &f->count)))
			fp_mistake(entry);
	}
	fp_count++;
}

static void fp_parse(void)
{
	struct str all = str_c(getenv("FAIRLEAD_FAILPOINTS"));

	fp_ready = 1;
	while (all.n) {
		struct str one = str_trim(str_cut(&all, ','));

		if (one.n)
			fp_parse_one(one);
	}
}

static bool fp_is_hit(struct fp *f, const char *name)
{
	uint64_t n;

	if (!str_eq(f->name, str_c(name)))
		return false;
	n = __atomic_add_fetch(&f->seen, 1, __ATOMIC_RELAXED);
	return n >= f->hit && (f->count == 0 || n - f->hit < f->count);
}

static int fp_act(const struct fp *f, size_t *n)
{
	switch (f->action) {
	case FP_ERRNO:
		return -f->err;
	case FP_KILL:
		raise(SIGKILL);
		break;
	case FP_SEGV:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case FP_TRAP:
		__builtin_trap();
	case FP_SPIN:
		for (;;)
			__asm__ volatile("" ::: "memory");
	case FP_SLEEP:
		env_sleep_us(f->sleep_ms * 1000);
		break;
	case FP_SHORT:
		if (n && *n > 1)
			*n = 1;
		break;
	}
	return 0;
}

int env_fp_io(const char *name, size_t *n)
{
	int err = 0;

	if (FL_UNLIKELY(!fp_ready))
		fp_parse();
	/* every row of the name counts the pass; the first error wins */
	for (unsigned i = 0; i < fp_count; i++)
		if (fp_is_hit(&fps[i], name)) {
			int e = fp_act(&fps[i], n);

			err = err ? err : e;
		}
	return err;
}

void env_fp_text(const char *prefix, const char *p, size_t n)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s%.*s", prefix, (int)FL_MIN(n, sizeof(name)), p);
	(void)env_fp(name);
}

int env_fp(const char *name)
{
	return env_fp_io(name, NULL);
}

#else
/* An empty translation unit is not C. */
extern int env_fp_none;
#endif
