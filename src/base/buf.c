/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.c - byte queues as chains of pages
 *
 * Pages of the two classes are kept for reuse up to SPARE_MAX bytes, beyond that they go back to
 * the system; bufq_pull() may make a page of another size, which is never kept. The limit counts
 * pages in queues and spare ones, and spare ones are given up before anything is refused.
 */
#include "config.h"

#include "base/buf.h"

#include "base/env.h"
#include "base/err.h"

#define SMALL_SIZE 4096u
#define LARGE_SIZE 16384u
#define PULL_MAX   (96u * 1024)
#define SPARE_MAX  (4u << 20)

struct buf_page {
	struct buf_page *next;
	uint32_t         size;        /* of the whole allocation */
	uint32_t         off, end;    /* bytes in use: mem[off..end) */
	char             mem[];
};
#define PAGE_CAP(size) ((size_t)(size) - sizeof(struct buf_page))

static struct buf_page *spare_small, *spare_large;
static size_t spare_bytes, queued_bytes, limit_bytes = 256u << 20;

void buf_set_limit(size_t bytes)
{
	limit_bytes = bytes;
}

size_t buf_held(void)
{
	return queued_bytes;
}

static struct buf_page **spare_of(uint32_t size)
{
	return size == SMALL_SIZE ? &spare_small : size == LARGE_SIZE ? &spare_large : NULL;
}

void buf_trim(void)
{
	struct buf_page **lists[] = { &spare_small, &spare_large };

	for (size_t i = 0; i < FL_ARRAY_LEN(lists); i++)
		while (*lists[i]) {
			struct buf_page *pg = *lists[i];

			*lists[i] = pg->next;
			env_free(pg);
		}
	spare_bytes = 0;
}

static struct buf_page *page_get(uint32_t size)
{
	struct buf_page **spare = spare_of(size);
	struct buf_page *pg = NULL;

	if (size > limit_bytes || queued_bytes > limit_bytes - size)
		return NULL;
	if (spare && *spare) {
		pg = *spare;
		*spare = pg->next;
		spare_bytes -= size;
	} else {
		if (queued_bytes + spare_bytes > limit_bytes - size)
			buf_trim();
		pg = env_malloc(size);
		if (!pg && spare_bytes) {
			buf_trim();
			pg = env_malloc(size);
		}
		if (!pg)
			return NULL;
	}
	*pg = (struct buf_page){ .size = size };
	queued_bytes += size;
	return pg;
}

static void page_put(struct buf_page *pg)
{
	struct buf_page **spare = spare_of(pg->size);

	queued_bytes -= pg->size;
	if (!spare || spare_bytes + pg->size > SPARE_MAX) {
		env_free(pg);
		return;
	}
	pg->next = *spare;
	*spare = pg;
	spare_bytes += pg->size;
}

void bufq_init(struct bufq *q)
{
	*q = (struct bufq){ 0 };
}

/* A chain with room for n bytes; long queues and long additions take the large class. */
static bool chain_get(size_t n, bool large, struct buf_page **head, struct buf_page **tail)
{
	*head = *tail = NULL;
	while (n) {
		uint32_t size = large || n > PAGE_CAP(SMALL_SIZE) ? LARGE_SIZE : SMALL_SIZE;
		struct buf_page *pg = page_get(size);

		if (!pg) {
			while ((pg = *head)) {
				*head = pg->next;
				page_put(pg);
			}
			return false;
		}
		if (*tail)
			(*tail)->next = pg;
		else
			*head = pg;
		*tail = pg;
		n -= FL_MIN(n, PAGE_CAP(size));
	}
	return true;
}

int bufq_add(struct bufq *q, const void *mem, size_t n)
{
	const char *p = mem;
	size_t room = q->tail ? PAGE_CAP(q->tail->size) - q->tail->end : 0;
	struct buf_page *head, *tail, *pg;

	if (n == 0)
		return 0;
	if (n > room) {
		if (!chain_get(n - room, q->len >= SMALL_SIZE, &head, &tail))
			return FL_ENOMEM_;
		pg = room ? q->tail : head;
		if (q->tail)
			q->tail->next = head;
		else
			q->head = head;
		q->tail = tail;
	} else {
		pg = q->tail;
	}
	q->len += n;
	while (n) {
		size_t part = FL_MIN(n, PAGE_CAP(pg->size) - pg->end);

		memcpy(pg->mem + pg->end, p, part);
		pg->end += (uint32_t)part;
		p += part;
		n -= part;
		pg = pg->next;
	}
	return 0;
}

void bufq_drop(struct bufq *q, size_t n)
{
	ASSERT(n <= q->len);
	q->len -= n;
	while (n) {
		struct buf_page *pg = q->head;
		size_t part = FL_MIN(n, (size_t)(pg->end - pg->off));

		pg->off += (uint32_t)part;
		n -= part;
		if (pg->off == pg->end) {
			q->head = pg->next;
			page_put(pg);
		}
	}
	if (!q->head)
		q->tail = NULL;
}

void bufq_clear(struct bufq *q)
{
	bufq_drop(q, q->len);
}

struct str bufq_front(const struct bufq *q)
{
	if (!q->head)
		return STR_NULL;
	return str_n(q->head->mem + q->head->off, q->head->end - q->head->off);
}

unsigned bufq_iov(const struct bufq *q, struct iovec *iov, unsigned max)
{
	unsigned n = 0;

	for (struct buf_page *pg = q->head; pg && n < max; pg = pg->next)
		iov[n++] = (struct iovec){ pg->mem + pg->off, pg->end - pg->off };
	return n;
}

/* Moves the first n bytes of q behind what `to` holds; pages of q that are read out go back. */
static void take_front(struct bufq *q, struct buf_page *to, size_t n)
{
	while (n) {
		struct str run = bufq_front(q);
		size_t part = FL_MIN(n, run.n);

		memcpy(to->mem + to->end, run.p, part);
		to->end += (uint32_t)part;
		bufq_drop(q, part);
		n -= part;
	}
}

struct str bufq_pull(struct bufq *q, size_t n)
{
	struct buf_page *pg = q->head;
	struct bufq rest;
	size_t have;

	ASSERT(n <= q->len && n <= PULL_MAX);
	if (n == 0)
		return STR("");
	have = pg->end - pg->off;
	if (n <= have)
		return str_n(pg->mem + pg->off, n);
	if (n <= PAGE_CAP(pg->size)) {
		memmove(pg->mem, pg->mem + pg->off, have);
		pg->off = 0;
		pg->end = (uint32_t)have;
		rest = (struct bufq){ pg->next, q->tail, q->len - have };
		take_front(&rest, pg, n - have);
	} else {
		uint32_t size = n <= PAGE_CAP(LARGE_SIZE) ? LARGE_SIZE
							  : (uint32_t)(n + sizeof(struct buf_page));

		pg = page_get(size);
		if (!pg)
			return STR_NULL;
		rest = *q;
		take_front(&rest, pg, n);
	}
	pg->next = rest.head;
	q->head = pg;
	q->tail = rest.tail ? rest.tail : pg;
	return str_n(pg->mem, n);
}

void bufq_move(struct bufq *to, struct bufq *from)
{
	if (!from->head)
		return;
	if (to->tail)
		to->tail->next = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	to->len += from->len;
	bufq_init(from);
}
