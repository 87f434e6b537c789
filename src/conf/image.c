/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c - everything a load has read, as one run of bytes for another process on this machine
 *
 *   struct head, then for each entry: struct rec, key, NUL, data, NUL
 * The main file's name and the working directory are entries of their own. The checksum covers
 * all behind the head; an image that was cut or changed is refused as a whole.
 */
#include "config.h"

#include "conf/inside.h"

#include "base/env.h"
#include "base/hash.h"

struct head {
	char     magic[8];
	uint32_t n, crc;
	uint64_t len;            /* of what follows */
};
struct rec {
	uint32_t kind, key_len;
	uint64_t data_len;
};
static const char magic[8] = "FLIMG01";
#define REC_MAIN 'M'
#define REC_CWD  'C'

static void put_rec(struct sb *b, uint32_t kind, struct str key, struct str data)
{
	struct rec r = { .kind = kind, .key_len = (uint32_t)key.n, .data_len = data.n };

	sb_add(b, &r, sizeof(r));
	sb_str(b, key);
	sb_ch(b, '\0');
	sb_str(b, data);
	sb_ch(b, '\0');
}

int conf_src_image(const struct conf_src *s, bool with_secrets, char **out, size_t *len)
{
	struct head h = { .n = 2 };
	struct sb b;

	sb_init_heap(&b);
	memcpy(h.magic, magic, sizeof(h.magic));
	sb_add(&b, &h, sizeof(h));
	put_rec(&b, REC_MAIN, str_c(s->main_name), STR(""));
	put_rec(&b, REC_CWD, str_c(s->cwd), STR(""));
	for (const struct src_entry *e = s->first; e; e = e->next) {
		if (e->kind != SRC_SECRET || with_secrets)
			put_rec(&b, e->kind, e->key, e->data);
		else if (e->open.p && !src_get(s, SRC_DATA, e->key))
			put_rec(&b, SRC_DATA, e->key, e->open);
		else
			continue;
		h.n++;
	}
	if (b.over) {
		sb_free(&b);
		return FL_ENOMEM_;
	}
	h.len = b.n - sizeof(h);
	h.crc = fl_crc32c(b.p + sizeof(h), b.n - sizeof(h), 0);
	memcpy(b.p, &h, sizeof(h));
	*out = b.p;
	*len = b.n;
	return 0;
}

/* Cuts n bytes and their NUL off the front. */
static bool take(struct str *rest, uint64_t n, struct str *out)
{
	if (n >= rest->n || rest->p[n] != '\0')
		return false;
	*out = str_n(rest->p, (size_t)n);
	rest->p += n + 1;
	rest->n -= (size_t)n + 1;
	return true;
}

static bool load_rec(struct conf_src *s, struct str *rest)
{
	struct str key, data;
	struct rec r;

	if (rest->n < sizeof(r))
		return false;
	memcpy(&r, rest->p, sizeof(r));
	rest->p += sizeof(r);
	rest->n -= sizeof(r);
	if (!take(rest, r.key_len, &key) || !take(rest, r.data_len, &data))
		return false;
	switch (r.kind) {
	case REC_MAIN:
		s->main_name = key.p;
		return true;
	case REC_CWD:
		s->cwd = key.p;
		return true;
	case SRC_FILE: case SRC_DATA: case SRC_SECRET: case SRC_GLOB: case SRC_ENV: case SRC_NOENV:
	case SRC_KEPT:
		return src_put(s, (enum src_kind)r.kind, key, data, false) != NULL;
	default:
		return false;
	}
}

struct conf_src *conf_src_from_image(struct str image)
{
	struct conf_src *s;
	struct str rest;
	struct head h;
	bool good;

	if (image.n < sizeof(h))
		return NULL;
	memcpy(&h, image.p, sizeof(h));
	rest = str_n(image.p + sizeof(h), image.n - sizeof(h));
	if (memcmp(h.magic, magic, sizeof(magic)) != 0 || h.len != rest.n ||
	    h.crc != fl_crc32c(rest.p, rest.n, 0))
		return NULL;
	s = src_new(SRC_FROM_IMAGE);
	if (!s)
		return NULL;
	good = true;
	for (uint32_t i = 0; i < h.n && good; i++)
		good = load_rec(s, &rest);
	if (!good || rest.n || !s->main_name || !s->cwd)
		conf_src_free(&s);
	return s;
}
