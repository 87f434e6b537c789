/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_verbs.c - verbs on files: fmt, diff config
 *
 * The file is read here, with the caller's rights; the running configuration comes as text from
 * the control socket and is read by the same loader.
 */
#include "config.h"

#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/err.h"
#include "conf/conf.h"
#include "lb/lb.h"

#define FILE_MAX_BYTES (16u << 20)

/* The formatted text, or whether the file was changed by putting it back. */
static bool put_json(const char *name, const char *member, const struct sb *text, bool changed)
{
	struct sb b;
	bool ok;

	sb_init_heap(&b);
	sb_c(&b, "{\"ok\": true, \"file\": ");
	sb_json_str(&b, str_c(name));
	sb_fmt(&b, ", \"%s\": ", member);
	if (text)
		sb_json_str(&b, sb_get(text));
	else
		sb_c(&b, changed ? "true" : "false");
	sb_c(&b, "}\n");
	ok = !b.over && ctl_put(STDOUT_FILENO, sb_get(&b));
	sb_free(&b);
	return ok;
}

/* A name as C text; NULL when it does not fit. */
static const char *c_name(struct str s, char mem[4096])
{
	struct sb b;

	sb_init(&b, mem, 4096);
	sb_str(&b, s);
	return b.over ? NULL : mem;
}

static int read_all(int fd, char **text, size_t *len)
{
	struct sb b;
	char buf[65536];
	ssize_t n;

	sb_init_heap(&b);
	while ((n = env_read(fd, buf, sizeof(buf))) > 0 && b.n <= FILE_MAX_BYTES)
		sb_add(&b, buf, (size_t)n);
	if (n < 0 || b.over || b.n > FILE_MAX_BYTES) {
		sb_free(&b);
		return n < 0 ? (int)n : -EFBIG;
	}
	*len = b.n;
	*text = b.n ? b.p : env_strdup("");      /* theirs is the same heap */
	return *text ? 0 : FL_ENOMEM_;
}

/* A file, a pipe or the standard input. */
static int read_text(const char *name, char **text, size_t *len)
{
	int fd, err;

	if (strcmp(name, "-") == 0)
		return read_all(STDIN_FILENO, text, len);
	err = env_read_file(name, FILE_MAX_BYTES, text, len);
	if (err != -EINVAL)
		return err;
	fd = env_open(name, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	err = read_all(fd, text, len);
	env_close(fd);
	return err;
}

int ctl_fmt(const struct verb_call *call)
{
	bool write_back = verb_flag(call, "--write"), changed;
	char mem[4096], *text = NULL;
	const char *name = c_name(call->pos[0], mem);
	struct conf_diag *d = conf_diag_new();
	struct sb out;
	size_t len = 0;
	bool input = str_eq(call->pos[0], STR("-"));
	int err, code = CTL_OK;

	if (input && write_back) {
		ctl_say("--write needs a file");
		conf_diag_free(&d);
		return CTL_USAGE;
	}
	err = name && d ? read_text(name, &text, &len) : FL_ELIMIT_;
	if (err < 0) {
		ctl_say("%s: %s", name ? name : "the name is too long", fl_err_text(err));
		conf_diag_free(&d);
		return CTL_FAIL;
	}
	sb_init_heap(&out);
	if (conf_fmt(str_n(text, len), input ? "<stdin>" : name, d, &out) < 0 || out.over) {
		ctl_say_diag(d);
		code = CTL_FAIL;
		goto done;
	}
	changed = !str_eq(sb_get(&out), str_n(text, len));
	if (!write_back) {
		bool put = call->json ? put_json(name, "text", &out, false) :
					ctl_put(STDOUT_FILENO, sb_get(&out));

		code = put ? CTL_OK : CTL_FAIL;
		goto done;
	}
	if (changed) {
		struct stat st;

		err = env_stat(name, &st);
		if (err >= 0)
			err = env_write_file(name, out.p, out.n, st.st_mode & 0777);
		if (err < 0) {
			ctl_say("%s: %s", name, fl_err_text(err));
			code = CTL_FAIL;
			goto done;
		}
	}
	if (call->json)
		(void)put_json(name, "changed", NULL, changed);
done:
	sb_free(&out);
	env_free(text);
	conf_diag_free(&d);
	return code;
}

struct side {
	struct conf_src  *src;
	struct conf_diag *d;
	struct conf      *conf;
};

static bool load(struct side *s, struct conf_src *src)
{
	s->src = src;
	s->d = conf_diag_new();
	return s->src && s->d && conf_load(s->src, s->d, &s->conf) == 0;
}

static void unload(struct side *s)
{
	if (s->conf)
		conf_free(&s->conf);
	conf_diag_free(&s->d);
	conf_src_free(&s->src);
}

int ctl_diff(struct ctl_client *c, const struct verb_call *call)
{
	struct side running = { 0 }, file = { 0 };
	char mem[4096];
	const char *name = c_name(call->pos[0], mem);
	struct sb text, out;
	int code = ctl_connect(c);

	if (code != CTL_OK)
		return code;
	if (!name) {
		ctl_say("the file name is too long");
		return CTL_USAGE;
	}
	lb_set_conf_hooks();
	sb_init_heap(&text);
	sb_init_heap(&out);
	code = ctl_ask(c, "show config", false, 30000, &text);
	if (code != CTL_OK) {
		ctl_say(STR_FMT, STR_ARG(sb_get(&text)));
	} else if (!load(&file, conf_src_files(name))) {
		if (file.d)
			ctl_say_diag(file.d);
		code = CTL_FAIL;
	} else if (!load(&running, conf_src_text("<running>", sb_get(&text)))) {
		if (running.d)
			ctl_say_diag(running.d);
		ctl_say("the running configuration cannot be read back");
		code = CTL_FAIL;
	} else {
		code = conf_diff(running.conf, file.conf, &out) ? CTL_FAIL : CTL_OK;
		if (call->json) {
			struct str rest = sb_get(&out);
			const char *comma = "";

			sb_free(&text);
			sb_init_heap(&text);
			sb_ch(&text, '[');
			while (rest.n) {
				sb_c(&text, comma);
				sb_json_str(&text, str_cut(&rest, '\n'));
				comma = ", ";
			}
			sb_c(&text, "]\n");
			(void)ctl_put(STDOUT_FILENO, sb_get(&text));
		} else {
			(void)ctl_put(STDOUT_FILENO, sb_get(&out));
		}
	}
	unload(&file);
	unload(&running);
	sb_free(&text);
	sb_free(&out);
	return code;
}
