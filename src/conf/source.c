/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - the bytes a configuration is made from: files, patterns, environment, recorded as read
 *
 * Everything that a load asks of its surroundings goes through here and is kept, so that
 * image.c can give the same answers to another process (a respawned gen, control) whatever the
 * files and the environment are by then. Names of configuration files are kept as messages show
 * them; other names are made absolute, since daemons change their working directory.
 */
#include "config.h"

#include "conf/inside.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/env.h"

struct conf_src *src_new(enum src_mode mode)
{
	struct conf_src *s = env_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->mode = mode;
	s->pool = pool_new("conf-src", 0);
	s->by_key = s->pool ? map_new(s->pool, false) : NULL;
	if (!s->by_key)
		conf_src_free(&s);
	return s;
}

void conf_src_free(struct conf_src **s)
{
	if (!*s)
		return;
	if ((*s)->pool)
		pool_free(&(*s)->pool);
	env_free(*s);
	*s = NULL;
}

struct src_entry *src_get(const struct conf_src *s, enum src_kind kind, struct str key)
{
	char small[256], *k = small;
	struct src_entry *e;

	if (key.n + 1 > sizeof(small))
		k = env_malloc(key.n + 1);
	if (!k)
		return NULL;
	k[0] = (char)kind;
	memcpy(k + 1, key.p, key.n);
	e = map_get(s->by_key, str_n(k, key.n + 1));
	if (k != small)
		env_free(k);
	return e;
}

struct src_entry *src_put(struct conf_src *s, enum src_kind kind, struct str key, struct str data,
			  bool copy)
{
	struct src_entry *e = pool_zalloc(s->pool, sizeof(*e));
	char *k = pool_alloc(s->pool, key.n + 2);

	if (!e || !k)
		return NULL;
	k[0] = (char)kind;
	memcpy(k + 1, key.p, key.n);
	k[key.n + 1] = '\0';
	e->kind = kind;
	e->key = str_n(k + 1, key.n);
	e->data = copy ? pool_str(s->pool, data) : data;
	if (!e->data.p || map_add(s->by_key, str_n(k, key.n + 1), e))
		return NULL;
	if (kind == SRC_FILE)
		e->order = s->n_files++;
	if (s->last)
		s->last->next = e;
	else
		s->first = e;
	s->last = e;
	s->n++;
	return e;
}

static struct conf_src *with_name(struct conf_src *s, const char *name)
{
	char cwd[4096];

	if (!s)
		return NULL;
	s->cwd = pool_fmt(s->pool, "%s", getcwd(cwd, sizeof(cwd)) ? cwd : "/");
	s->main_name = pool_strndup(s->pool, name, strlen(name));
	if (!s->cwd || !s->main_name)
		conf_src_free(&s);
	return s;
}

struct conf_src *conf_src_files(const char *path)
{
	return with_name(src_new(SRC_FROM_FILES), path);
}

struct conf_src *conf_src_text(const char *name, struct str text)
{
	struct conf_src *s = with_name(src_new(SRC_FROM_TEXT), name);

	if (s && !src_put(s, SRC_FILE, str_c(s->main_name), text.p ? text : STR(""), true))
		conf_src_free(&s);
	return s;
}

char *src_join(const struct conf_src *s, struct pool *p, const char *from, struct str path,
	       bool absolute)
{
	const char *slash = from ? strrchr(from, '/') : NULL;
	int dir = slash ? (int)(slash - from) + 1 : 0;

	if (path.n && path.p[0] == '/')
		return pool_strndup(p, path.p, path.n);
	if (absolute && !(slash && from[0] == '/'))
		return pool_fmt(p, "%s/%.*s" STR_FMT, strcmp(s->cwd, "/") == 0 ? "" : s->cwd, dir,
				from, STR_ARG(path));
	return pool_fmt(p, "%.*s" STR_FMT, dir, from, STR_ARG(path));
}

/* Reads a file from the system into the record. `key` is its name there. */
static int read_into(struct conf_src *s, enum src_kind kind, struct str key, const char *path,
		     struct str *out)
{
	struct src_entry *e;
	char *bytes;
	size_t len;
	int rc = env_read_file(path, CONF_FILE_MAX, &bytes, &len);

	if (rc < 0)
		return rc;
	e = src_put(s, kind, key, str_n(bytes, len), true);
	env_free(bytes);
	if (!e)
		return -ENOMEM;
	*out = e->data;
	return 0;
}

int src_file(struct conf_src *s, const char *name, struct str *out)
{
	struct src_entry *e = src_get(s, SRC_FILE, str_c(name));
	char *path;

	if (e) {
		*out = e->data;
		return 0;
	}
	if (s->mode == SRC_FROM_IMAGE)
		return -ENOENT;
	path = src_join(s, s->pool, NULL, str_c(name), true);
	return path ? read_into(s, SRC_FILE, str_c(name), path, out) : -ENOMEM;
}

int conf_src_read(struct conf_src *s, const char *path, bool secret, struct str *out)
{
	enum src_kind kind = secret ? SRC_SECRET : SRC_DATA;
	struct src_entry *e = src_get(s, kind, str_c(path));

	if (e) {
		*out = e->data;
		return 0;
	}
	if (s->mode == SRC_FROM_IMAGE)
		return -ENOENT;
	return read_into(s, kind, str_c(path), path, out);
}

void conf_src_open(struct conf_src *s, const char *path, struct str text)
{
	struct src_entry *e = src_get(s, SRC_SECRET, str_c(path));

	if (e && !e->open.p)
		e->open = pool_str(s->pool, text);
}

/* Not the locale's order: the same on every machine. */
static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder that is not there holds nothing; one that cannot be read is a mistake. */
static int cannot_look(const char *path, int err)
{
	(void)path;
	return err != ENOENT && err != ENOTDIR;
}

int src_glob(struct conf_src *s, const char *pattern, struct str *out)
{
	struct src_entry *e = src_get(s, SRC_GLOB, str_c(pattern));
	char *path = NULL;
	size_t cut = 0;
	struct sb b;
	glob_t g;
	int rc;

	if (e) {
		*out = e->data;
		return 0;
	}
	if (s->mode == SRC_FROM_IMAGE)
		return -ENOENT;
	if (pattern[0] != '/') {         /* looked for from cwd, named as written */
		cut = strlen(s->cwd) + (strcmp(s->cwd, "/") != 0);
		path = src_join(s, s->pool, NULL, str_c(pattern), true);
		if (!path)
			return -ENOMEM;
	}
	rc = glob(path ? path : pattern, GLOB_NOSORT, cannot_look, &g);
	if (rc == GLOB_NOSPACE)
		return -ENOMEM;
	if (rc && rc != GLOB_NOMATCH)
		return -EACCES;
	sb_init_heap(&b);
	if (rc == 0) {
		qsort(g.gl_pathv, g.gl_pathc, sizeof(g.gl_pathv[0]), by_bytes);
		for (size_t i = 0; i < g.gl_pathc; i++)
			sb_add(&b, g.gl_pathv[i] + cut, strlen(g.gl_pathv[i] + cut) + 1);
		globfree(&g);
	}
	e = b.over ? NULL : src_put(s, SRC_GLOB, str_c(pattern), b.n ? sb_get(&b) : STR(""), true);
	sb_free(&b);
	if (!e)
		return -ENOMEM;
	*out = e->data;
	return 0;
}

bool src_env(struct conf_src *s, struct str name, struct str *out)
{
	struct src_entry *e = src_get(s, SRC_ENV, name);
	const char *value;
	char *z;

	if (!e && s->mode != SRC_FROM_IMAGE && !src_get(s, SRC_NOENV, name)) {
		z = pool_strndup(s->pool, name.p, name.n);
		value = z ? getenv(z) : NULL;
		/* an unset variable is a fact too: the image must not see one that is set later */
		e = src_put(s, value ? SRC_ENV : SRC_NOENV, name, value ? str_c(value) : STR(""),
			    true);
		if (!value)
			e = NULL;
	}
	if (e)
		*out = e->data;
	return e != NULL;
}
