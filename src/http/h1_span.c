/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_span.c - runs of bytes and field lines: scalar, SSSE3, AVX2, NEON
 *
 * A wide implementation is two things: a mask of the bytes of one block (16 or 32) that are not of
 * a class, and the same for 64 bytes. blocks() and lines_by_mask() need nothing else; they are
 * written once and inlined into each, where the compiler may use the instructions.
 *
 * Classes but `value` are ASCII only and are found by two lookups of nibbles: a class is a table of
 * sixteen bytes, indexed by the lower nibble; bit k says whether the character with the upper
 * nibble k is in the class. pshufb takes the lower four bits of a byte as its index and gives 0
 * when bit 7 is set, so the byte itself can be the index and what is not ASCII is in no class.
 * `value` is all bytes but control characters, which comparisons find faster.
 *
 * No read outside of p[0, stop): the last block is the one that ends at `stop`, and the bits of
 * bytes in front of the run are shifted out; an input shorter than a block is put together from
 * words that overlap.
 */
#include "config.h"

#include "http/h1_span.h"

#include "http/h1_inside.h"

#define INLINE static inline __attribute__((always_inline))

enum run {
	RUN_TOKEN,
	RUN_TARGET,
	RUN_PATH,
	RUN_QUERY,
	RUN_VALUE,
	RUN__COUNT
};
static const uint8_t run_class[RUN__COUNT] = { HC_TOKEN, HC_TARGET, HC_PATH, HC_QUERY, HC_VALUE };

typedef size_t run_fn(enum run r, const uint8_t *p, size_t i, size_t stop);

/* Bit k: byte k of the block at p is not of the class. blocks() takes `bits` bits for one. */
typedef uint64_t ends_fn(enum run r, const uint8_t *p);

/* ---------- field lines ---------- */

/* NAME ":" VALUE CR LF in [i, stop): the name ends at `colon`, the value at `end`. */
INLINE bool is_line(const uint8_t *p, size_t i, size_t colon, size_t end, size_t stop,
		    size_t max_len)
{
	return end + 1 < stop && p[end] == '\r' && p[end + 1] == '\n' && p[colon] == ':' &&
	       colon > i && end - i <= max_len;
}

/* Line after line, run after run. */
INLINE unsigned lines_by_run(run_fn *run, const uint8_t *p, size_t *pos, size_t stop,
			     size_t max_len, struct h1_line *out, unsigned max_lines)
{
	size_t i = *pos;
	unsigned k;

	for (k = 0; k < max_lines && i < stop && p[i] != '\r'; k++) {
		size_t colon = run(RUN_TOKEN, p, i, stop), end = run(RUN_VALUE, p, colon, stop);

		if (!is_line(p, i, colon, end, stop, max_len))
			break;
		if (out)
			out[k] = (struct h1_line){ (uint32_t)i, (uint32_t)colon, (uint32_t)end };
		i = end + 2;
	}
	*pos = i;
	return k;
}

/* By masks of 64 bytes; needs stop >= 64. Names and ":" are made of characters of values, so what
 * ends values are the ends of lines one after the other, whatever the names are: no load waits for
 * an address that comes out of the line before, which is what lines_by_run() spends its time on. */
INLINE unsigned lines_by_mask(ends_fn *ends64, const uint8_t *p, size_t *pos, size_t stop,
			      size_t max_len, struct h1_line *out, unsigned max_lines)
{
	const size_t none = SIZE_MAX;
	size_t i = *pos, colon = none;
	unsigned k = 0;

	for (size_t b = i; b < stop; b += 64) {
		size_t beyond = stop - b < 64 ? 64 - (stop - b) : 0;
		/* not the bytes behind `stop`, nor the LF of the last line */
		uint64_t mine = -(uint64_t)(1 + (i > b));
		uint64_t names = ends64(RUN_TOKEN, p + b - beyond) >> beyond & mine;
		uint64_t values = ends64(RUN_VALUE, p + b - beyond) >> beyond & mine;

		while (values) {
			size_t end = b + (size_t)__builtin_ctzll(values);
			uint64_t behind = -((values & -values) << 2); /* CR LF */

			if (colon == none) /* what ends a value ends a name */
				colon = b + (size_t)__builtin_ctzll(names);
			if (k == max_lines || !is_line(p, i, colon, end, stop, max_len))
				goto out;
			if (out)
				out[k] = (struct h1_line){ (uint32_t)i, (uint32_t)colon,
							   (uint32_t)end };
			k++;
			i = end + 2;
			colon = none;
			names &= behind;
			values &= behind;
		}
		if (colon == none && names)
			colon = b + (size_t)__builtin_ctzll(names);
	}
out:
	*pos = i;
	return k;
}

INLINE unsigned lines(ends_fn *ends64, run_fn *run, const uint8_t *p, size_t *pos, size_t stop,
		      size_t max_len, struct h1_line *out, unsigned max_lines)
{
	if (ends64 && stop >= 64)
		return lines_by_mask(ends64, p, pos, stop, max_len, out, max_lines);
	return lines_by_run(run, p, pos, stop, max_len, out, max_lines);
}

/* ---------- one implementation ---------- */

#define SPAN_RUN(isa, attr, what, r) \
	attr static size_t isa##_##what(const uint8_t *p, size_t i, size_t stop) \
	{ \
		return isa##_run(r, p, i, stop); \
	}
/* span_ISA, made of ISA_run() and, unless NULL, ends64; `attr` is what inlining these needs. */
#define SPAN(isa, attr, ends64) \
	SPAN_RUN(isa, attr, token, RUN_TOKEN) \
	SPAN_RUN(isa, attr, target, RUN_TARGET) \
	SPAN_RUN(isa, attr, value, RUN_VALUE) \
	SPAN_RUN(isa, attr, path, RUN_PATH) \
	SPAN_RUN(isa, attr, query, RUN_QUERY) \
	attr static unsigned isa##_lines(const uint8_t *p, size_t *pos, size_t stop, \
					 size_t max_len, struct h1_line *out, unsigned max_lines) \
	{ \
		return lines(ends64, isa##_run, p, pos, stop, max_len, out, max_lines); \
	} \
	static const struct h1_span span_##isa = { \
		.name = #isa, \
		.token = isa##_token, \
		.target = isa##_target, \
		.value = isa##_value, \
		.path = isa##_path, \
		.query = isa##_query, \
		.lines = isa##_lines, \
	}

/* ---------- scalar ---------- */

INLINE size_t scalar_run(enum run r, const uint8_t *p, size_t i, size_t stop)
{
	while (i < stop && h1_is(p[i], run_class[r]))
		i++;
	return i;
}

SPAN(scalar, , NULL);

/* ---------- blocks ---------- */
#if defined(__x86_64__) || defined(__AARCH64EL__)

/* Bit k of table[r][c]: the character 16 * k + c is in the class. */
static uint8_t table[RUN__COUNT][16] FL_ALIGNED(16);

static void make_tables(void)
{
	for (unsigned r = 0; r < RUN__COUNT; r++)
		for (unsigned c = 0; c < 128; c++)
			if (h1_is((uint8_t)c, run_class[r]))
				table[r][c & 15] |= (uint8_t)(1u << (c >> 4));
}

/* Needs stop >= width. */
INLINE size_t blocks(ends_fn *ends, size_t width, unsigned bits, enum run r, const uint8_t *p,
		     size_t i, size_t stop)
{
	uint64_t m;

	for (; stop - i >= width; i += width) {
		m = ends(r, p + i);
		if (m)
			return i + (size_t)__builtin_ctzll(m) / bits;
	}
	if (i == stop)
		return stop;
	m = ends(r, p + stop - width) >> (width - (stop - i)) * bits;
	return m ? i + (size_t)__builtin_ctzll(m) / bits : stop;
}

INLINE uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

INLINE uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* p[0, n) and zeros behind it, 0 < n < 16. A zero is in no class. */
INLINE void load_short(const uint8_t *p, size_t n, uint64_t *lo, uint64_t *hi)
{
	*hi = 0;
	if (n >= 8) {
		*lo = load64(p);
		*hi = load64(p + n - 8) >> (8 * (15 - n)) >> 8; /* by 64 for n = 8 */
	} else if (n >= 4) {
		*lo = load32(p) | load32(p + n - 4) << (8 * (n - 4));
	} else {
		*lo = p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) |
		      (uint64_t)p[n - 1] << (8 * (n - 1));
	}
}
#endif

/* ---------- x86-64 ---------- */
#if defined(__x86_64__)
#include <immintrin.h>

#define SSSE3 __attribute__((target("ssse3")))
#define AVX2 __attribute__((target("avx2")))

SSSE3 INLINE uint64_t ssse3_mask(enum run r, __m128i v)
{
	const __m128i bit = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
	__m128i row, column;

	if (r == RUN_VALUE) {
		__m128i ctl = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
		__m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
		__m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));

		return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, ctl), del));
	}
	column = _mm_shuffle_epi8(_mm_load_si128((const __m128i *)table[r]), v);
	row = _mm_shuffle_epi8(bit, _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15)));
	return (unsigned)_mm_movemask_epi8(
		_mm_cmpeq_epi8(_mm_and_si128(column, row), _mm_setzero_si128()));
}

SSSE3 INLINE uint64_t ssse3_ends(enum run r, const uint8_t *p)
{
	return ssse3_mask(r, _mm_loadu_si128((const __m128i *)p));
}

SSSE3 INLINE size_t ssse3_run(enum run r, const uint8_t *p, size_t i, size_t stop)
{
	uint64_t lo, hi, m;

	if (stop >= 16)
		return blocks(ssse3_ends, 16, 1, r, p, i, stop);
	if (i == stop)
		return stop;
	load_short(p, stop, &lo, &hi);
	m = ssse3_mask(r, _mm_set_epi64x((long long)hi, (long long)lo));
	return i + (size_t)__builtin_ctzll(m >> i);
}

SSSE3 INLINE uint64_t ssse3_ends64(enum run r, const uint8_t *p)
{
	return ssse3_ends(r, p) | ssse3_ends(r, p + 16) << 16 | ssse3_ends(r, p + 32) << 32 |
	       ssse3_ends(r, p + 48) << 48;
}
SPAN(ssse3, SSSE3, ssse3_ends64);

AVX2 INLINE uint64_t avx2_ends(enum run r, const uint8_t *p)
{
	const __m128i bit = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
	__m256i v = _mm256_loadu_si256((const __m256i *)p), row, column;

	if (r == RUN_VALUE) {
		__m256i ctl = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
		__m256i tab = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\t'));
		__m256i del = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f));

		return (uint32_t)_mm256_movemask_epi8(
			_mm256_or_si256(_mm256_andnot_si256(tab, ctl), del));
	}
	column = _mm256_shuffle_epi8(
		_mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)table[r])), v);
	row = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bit),
				  _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)));
	return (uint32_t)_mm256_movemask_epi8(
		_mm256_cmpeq_epi8(_mm256_and_si256(column, row), _mm256_setzero_si256()));
}

AVX2 INLINE size_t avx2_run(enum run r, const uint8_t *p, size_t i, size_t stop)
{
	if (stop >= 32)
		return blocks(avx2_ends, 32, 1, r, p, i, stop);
	return ssse3_run(r, p, i, stop);
}

AVX2 INLINE uint64_t avx2_ends64(enum run r, const uint8_t *p)
{
	return avx2_ends(r, p) | avx2_ends(r, p + 32) << 32;
}
SPAN(avx2, AVX2, avx2_ends64);
#endif

/* ---------- aarch64 ---------- */
#if defined(__AARCH64EL__)
#include <arm_neon.h>

/* 255 where a byte is not of the class. */
INLINE uint8x16_t neon_not(enum run r, uint8x16_t v)
{
	static const uint8_t bit[16] = { 1, 2, 4, 8, 16, 32, 64, 128 };
	uint8x16_t row, column;

	if (r == RUN_VALUE) {
		uint8x16_t ctl = vcltq_u8(v, vdupq_n_u8(0x20));
		uint8x16_t tab = vceqq_u8(v, vdupq_n_u8('\t'));
		uint8x16_t del = vceqq_u8(v, vdupq_n_u8(0x7f));

		return vorrq_u8(vbicq_u8(ctl, tab), del);
	}
	/* an index above 15 gives 0 */
	column = vqtbl1q_u8(vld1q_u8(table[r]), vandq_u8(v, vdupq_n_u8(0x8f)));
	row = vqtbl1q_u8(vld1q_u8(bit), vshrq_n_u8(v, 4));
	return vceqzq_u8(vandq_u8(column, row));
}

/* Four bits a byte: no instruction gathers single ones. */
INLINE uint64_t neon_mask(uint8x16_t ends)
{
	return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(ends), 4)), 0);
}

INLINE uint64_t neon_ends(enum run r, const uint8_t *p)
{
	return neon_mask(neon_not(r, vld1q_u8(p)));
}

INLINE size_t neon_run(enum run r, const uint8_t *p, size_t i, size_t stop)
{
	uint64_t lo, hi, m;

	if (stop >= 16)
		return blocks(neon_ends, 16, 4, r, p, i, stop);
	if (i == stop)
		return stop;
	load_short(p, stop, &lo, &hi);
	m = neon_mask(neon_not(r, vcombine_u8(vcreate_u8(lo), vcreate_u8(hi))));
	return i + (size_t)__builtin_ctzll(m >> 4 * i) / 4;
}

/* Each byte keeps the bit of its place, and three sums of neighbours bring them together. */
INLINE uint64_t neon_ends64(enum run r, const uint8_t *p)
{
	static const uint8_t place[16] = { 1, 2, 4, 8, 16, 32, 64, 128,
					   1, 2, 4, 8, 16, 32, 64, 128 };
	uint8x16_t bit = vld1q_u8(place);
	uint8x16_t a = vandq_u8(neon_not(r, vld1q_u8(p)), bit);
	uint8x16_t b = vandq_u8(neon_not(r, vld1q_u8(p + 16)), bit);
	uint8x16_t c = vandq_u8(neon_not(r, vld1q_u8(p + 32)), bit);
	uint8x16_t d = vandq_u8(neon_not(r, vld1q_u8(p + 48)), bit);

	a = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(a, a)), 0);
}
SPAN(neon, , neon_ends64);
#endif

/* ---------- choice ---------- */

const struct h1_span *h1_span = &span_scalar;

static const struct h1_span *usable[3]; /* best first */
static unsigned n_usable;

__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
	make_tables();
	__builtin_cpu_init(); /* other constructors may not have run */
	if (__builtin_cpu_supports("avx2"))
		usable[n_usable++] = &span_avx2;
	if (__builtin_cpu_supports("ssse3"))
		usable[n_usable++] = &span_ssse3;
#elif defined(__AARCH64EL__)
	make_tables();
	usable[n_usable++] = &span_neon;
#endif
	usable[n_usable++] = &span_scalar;
	h1_span = usable[0];
}

const struct h1_span *h1_span_nth(unsigned k)
{
	return k < n_usable ? usable[k] : NULL;
}

bool h1_span_use(const char *name)
{
	for (unsigned k = 0; k < n_usable; k++) {
		if (name && strcmp(name, usable[k]->name) != 0)
			continue;
		h1_span = usable[k];
		return true;
	}
	return false;
}
