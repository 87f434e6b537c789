/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str.h - a borrowed run of bytes, and text builders over fixed memory
 *
 * A struct str never owns what it points to and is not NUL-terminated. Functions are pure.
 */
#ifndef FL_BASE_STR_H
#define FL_BASE_STR_H

#include <stdarg.h>
#include <string.h>

#include "base/compiler.h"

struct str {
	const char *p;
	size_t      n;
};

#define STR(lit)    ((struct str){ (lit), sizeof(lit) - 1 })
#define STR_NULL    ((struct str){ NULL, 0 })
#define STR_FMT     "%.*s"
#define STR_ARG(s)  (int)(s).n, (s).p

static inline struct str str_c(const char *z) { return (struct str){ z, z ? strlen(z) : 0 }; }
static inline struct str str_n(const void *p, size_t n) { return (struct str){ p, n }; }
static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline unsigned char fl_lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}
bool str_ieq(struct str a, struct str b);              /* ASCII case ignored */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_istarts(struct str s, struct str prefix);
int  str_cmp(struct str a, struct str b);              /* memcmp order, shorter first */
struct str str_trim(struct str s);                     /* SP and HTAB at both ends */
/* First occurrence of needle in hay, or -1. */
ptrdiff_t str_find(struct str hay, struct str needle);
ptrdiff_t str_ifind(struct str hay, struct str needle);
/* Decimal digits only, whole string, no sign; false on anything else or overflow. */
bool str_u64(struct str s, uint64_t *out);
/* Cuts the part before the first `sep` off *s (without sep), returns it; the whole when absent. */
struct str str_cut(struct str *s, char sep);
/* Edit distance capped at `max`+1, for did-you-mean. ASCII case ignored. */
unsigned str_distance(struct str a, struct str b, unsigned max);

/*
 * sb: builds text in memory that the caller owns. Sticky overflow: what does not fit is cut,
 * `over` says so; the text is always NUL-terminated when cap > 0.
 */
struct sb {
	char  *p;
	size_t n, cap;
	bool   over;
	bool   grows;  /* made by sb_init_heap: p is owned and grows (env_realloc), sb_free frees */
};
void sb_init(struct sb *b, char *mem, size_t cap);
void sb_init_heap(struct sb *b);                       /* `over` then means out of memory */
void sb_free(struct sb *b);                            /* no-op on a fixed one */
void sb_add_slow(struct sb *b, const void *p, size_t n);       /* sb_add() where it may not fit */
static inline void sb_add(struct sb *b, const void *p, size_t n)
{
	if (FL_UNLIKELY(b->over || n >= b->cap - b->n)) {
		sb_add_slow(b, p, n);
		return;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}
static inline void sb_str(struct sb *b, struct str s) { sb_add(b, s.p, s.n); }
static inline void sb_c(struct sb *b, const char *z) { sb_add(b, z, z ? strlen(z) : 0); }
static inline void sb_ch(struct sb *b, char c) { sb_add(b, &c, 1); }
void sb_u64(struct sb *b, uint64_t v);
void sb_fmt(struct sb *b, const char *fmt, ...) FL_PRINTF(2, 3);
void sb_vfmt(struct sb *b, const char *fmt, va_list ap) FL_PRINTF(2, 0);
/* The escaped form for logs: printable ASCII as is, others and the backslash \xNN; at most max
 * bytes of input. */
void sb_escape(struct sb *b, struct str s, size_t max);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void sb_json_str(struct sb *b, struct str s);
static inline struct str sb_get(const struct sb *b) { return (struct str){ b->p, b->n }; }

#endif
