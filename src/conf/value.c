/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - from a token and the type that its place demands to a value
 *
 * First the token becomes text: quotes and escapes away, ${VAR} and ${VAR:-default} replaced. What
 * is put in never makes a new token, whatever it holds. Then the text is read as the type. Messages
 * say what to write instead.
 */
#include "config.h"

#include "conf/inside.h"

#include <ctype.h>
#include <stdio.h>

/* ---------- tokens to text ---------- */

static int hex(char c)
{
	return c >= '0' && c <= '9'                     ? c - '0'
	       : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
							: -1;
}

/* ${NAME} or ${NAME:-default} at raw[i]; returns its length, 0 when reported. */
static size_t substitute(struct loader *ld, struct tok *t, size_t i, struct sb *b)
{
	struct str in = str_n(t->raw.p + i + 2, t->raw.n - i - 2), name, value;
	const char *close = memchr(in.p, '}', in.n);
	size_t k = 0, len;
	bool have;

	if (!close) {
		conf_error(ld->d, lex_locate(t, i), 2, NULL, "[E0106] \"${\" without its closing }");
		return 0;
	}
	in.n = (size_t)(close - in.p);
	len = in.n + 3;
	while (k < in.n && (isalpha((unsigned char)in.p[k]) || in.p[k] == '_' ||
			    (k && isdigit((unsigned char)in.p[k]))))
		k++;
	name = str_n(in.p, k);
	if (k == 0 || (k < in.n && !str_starts(str_n(in.p + k, in.n - k), STR(":-")))) {
		conf_error(ld->d, lex_locate(t, i), (unsigned)len,
			   "write ${NAME} or ${NAME:-default}", "[E0106] malformed variable");
		return 0;
	}
	have = src_env(ld->src, name, &value);
	if (k < in.n && (!have || value.n == 0)) {
		sb_add(b, in.p + k + 2, in.n - k - 2);
	} else if (have) {
		sb_str(b, value);
	} else {
		conf_error(ld->d, lex_locate(t, i), (unsigned)len,
			   "give a default as in ${NAME:-value}, or set it",
			   "[E0106] variable \"" STR_FMT "\" is not set in the environment", STR_ARG(name));
		return 0;
	}
	return len;
}

/* The escape at raw[i]; returns its length, 0 when reported. */
static size_t escape(struct loader *ld, struct tok *t, size_t i, size_t end, struct sb *b)
{
	static const char from[] = "nrt0\\\"$`", to[] = "\n\r\t\0\\\"$`";
	const char *p = t->raw.p, *at;

	if (i + 1 >= end)
		return 1;
	if (p[i + 1] == '\n')
		return 2;
	if (p[i + 1] == '\r')
		return 3;
	if (p[i + 1] == 'x' && i + 3 < end && hex(p[i + 2]) >= 0 && hex(p[i + 3]) >= 0) {
		sb_ch(b, (char)(hex(p[i + 2]) << 4 | hex(p[i + 3])));
		return 4;
	}
	at = memchr(from, p[i + 1], sizeof(from) - 1);
	if (at) {
		sb_ch(b, to[at - from]);
		return 2;
	}
	conf_error(ld->d, lex_locate(t, i), 2,
		   "known are \\n \\r \\t \\0 \\\\ \\\" \\$ \\xHH; in `...` nothing is an escape",
		   "[E0105] unknown escape");
	return 0;
}

static bool expand_into(struct loader *ld, struct tok *t, struct sb *b)
{
	bool quoted = t->kind == TK_STRING;
	size_t i = quoted, end = t->raw.n - quoted, n;

	while (i < end) {
		const char *p = t->raw.p + i;

		if (p[0] == '$' && i + 1 < end && p[1] == '{')
			n = substitute(ld, t, i, b);
		else if (quoted && p[0] == '\\')
			n = escape(ld, t, i, end, b);
		else {
			sb_ch(b, p[0]);
			n = 1;
		}
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* Comments and line ends become blanks of the same length, so that offsets stay true. */
static bool expand_expr(struct loader *ld, struct tok *t)
{
	char *p = pool_strndup(ld->pool, t->raw.p, t->raw.n), quote = 0;
	bool fresh = true;

	if (!p) {
		ld->oom = true;
		return false;
	}
	for (size_t i = 0; i < t->raw.n; i++) {
		if (quote) {
			if (quote == '"' && p[i] == '\\' && i + 1 < t->raw.n)
				i++;
			else if (p[i] == quote)
				quote = 0;
		} else if (p[i] == '"' || p[i] == '`') {
			quote = p[i];
		} else if (p[i] == '$' && i + 1 < t->raw.n && p[i + 1] == '{') {
			conf_error(ld->d, lex_locate(t, i), 2, NULL,
				   "[E0106] variables are not replaced in expressions");
			return false;
		} else if (p[i] == '#' && fresh) {
			while (i < t->raw.n && p[i] != '\n')
				p[i++] = ' ';
			i--;
		} else if (p[i] == '\n' || p[i] == '\r' ||
			   (p[i] == '\\' && (p[i + 1] == '\n' || p[i + 1] == '\r'))) {
			p[i] = ' ';
		}
		fresh = !quote && strchr(" \t([{,", p[i]) != NULL;
	}
	t->text = str_n(p, t->raw.n);
	return true;
}

bool val_expand(struct loader *ld, struct tok *t)
{
	struct sb b;
	bool ok;

	if (t->expanded || t->failed)
		return !t->failed;
	t->expanded = true;
	if (t->kind == TK_EXPR) {
		ok = expand_expr(ld, t);
	} else if (t->kind == TK_RAW) {
		t->plain = ok = true;
		t->text = pool_str(ld->pool, str_n(t->raw.p + 1, t->raw.n - 2));
	} else if (t->kind == TK_WORD && !memchr(t->raw.p, '$', t->raw.n)) {
		t->plain = ok = true;
		t->text = pool_str(ld->pool, t->raw);
	} else {
		sb_init_heap(&b);
		ok = expand_into(ld, t, &b);
		t->text = pool_str(ld->pool, b.n ? sb_get(&b) : STR(""));
		t->plain = b.n + (t->kind == TK_STRING ? 2 : 0) == t->raw.n;
		ld->oom |= b.over;
		sb_free(&b);
	}
	if (ok && !t->text.p) {
		ld->oom = true;
		ok = false;
	}
	t->failed = !ok;
	return ok;
}

/* ---------- words ---------- */

bool val_is_name(struct str s)
{
	if (s.n == 0 || s.n > 63 || !(isalnum((unsigned char)s.p[0]) || s.p[0] == '_'))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && !memchr("_.-", s.p[i], 3))
			return false;
	return true;
}

static bool name(struct tok *t, struct val_fail *f)
{
	if (val_is_name(t->text))
		return true;
	if (t->text.n > 63)
		VAL_SAY(f, "name is longer than 63 characters");
	else if (t->text.n)
		VAL_HINT(f,
		     "names are made of letters, digits, _ . and -, and do not begin with . or -");
	return false;
}

static bool one_of(const struct sig_el *el, struct tok *t, struct conf_val *v, struct val_fail *f)
{
	struct near near;

	near_init(&near, t->text);
	for (unsigned i = 0; i < el->n_words; i++) {
		if (str_eq(t->text, el->words[i])) {
			v->i = i;
			return true;
		}
		near_try(&near, el->words[i]);
	}
	if (near.best.n)
		VAL_HINT(f, "did you mean \"" STR_FMT "\"?", STR_ARG(near.best));
	return false;
}

static bool on_off(struct tok *t, struct conf_val *v, struct val_fail *f)
{
	static const char *const yes[] = { "yes", "true", "1", "enable", "enabled", "On", "ON" };
	static const char *const no[] = { "no", "false", "0", "disable", "disabled", "Off", "OFF" };

	v->i = str_eq(t->text, STR("on"));
	if (v->i || str_eq(t->text, STR("off")))
		return true;
	for (size_t i = 0; i < FL_ARRAY_LEN(yes); i++) {
		if (str_eq(t->text, str_c(yes[i])))
			VAL_HINT(f, "write on");
		if (str_eq(t->text, str_c(no[i])))
			VAL_HINT(f, "write off");
	}
	return false;
}

static bool clean_text(struct tok *t, const char *what, struct val_fail *f)
{
	for (size_t i = 0; i < t->text.n; i++)
		if ((unsigned char)t->text.p[i] < 0x20 || t->text.p[i] == 0x7f) {
			VAL_SAY(f, "control character 0x%02x in a %s", (unsigned char)t->text.p[i],
			    what);
			return false;
		}
	return t->text.n > 0;
}

static bool path(struct loader *ld, struct tok *t, struct conf_val *v, struct val_fail *f)
{
	char *abs;

	if (!clean_text(t, "path", f))
		return false;
	/* words that take the place of a path, and patterns of include, stay as they are */
	if (t->text.p[0] == '/' || str_eq(t->text, STR("stderr")) || str_eq(t->text, STR("stdout")))
		return true;
	if (!t->loc.file)
		return true;
	abs = src_join(ld->src, ld->pool, t->loc.file, t->text, true);
	if (!abs) {
		ld->oom = true;
		return false;
	}
	v->s = str_c(abs);
	return true;
}

/* file:PATH, for types whose own text never begins so. */
static bool from_file(struct loader *ld, struct tok *t, struct conf_val *v, struct val_fail *f)
{
	struct str data;
	char *abs;
	int rc;

	if (t->kind != TK_WORD || !str_starts(t->text, STR("file:")) || t->text.n == 5)
		return true;
	abs = src_join(ld->src, ld->pool, t->loc.file, str_n(t->text.p + 5, t->text.n - 5), true);
	rc = abs ? conf_src_read(ld->src, abs, true, &data) : -ENOMEM;
	if (rc == -ENOENT && ld->src->mode == SRC_FROM_IMAGE) {
		data = STR("***");       /* an image without secrets: enough to show what is configured */
		rc = 0;
	}
	if (rc < 0) {
		VAL_SAY(f, "cannot read \"%.200s\": %s", abs ? abs : "", fl_err_text(rc));
		return false;
	}
	while (data.n && (data.p[data.n - 1] == '\n' || data.p[data.n - 1] == '\r'))
		data.n--;
	v->s = pool_str(ld->pool, data);
	v->secret = true;
	ld->oom |= !v->s.p;
	return v->s.p != NULL;
}

bool val_parse(struct loader *ld, const struct sig_el *el, struct tok *t, struct conf_val *v,
	       struct val_fail *f)
{
	if (t->failed || (t->kind == TK_EXPR) != (el->type == CV_EXPR) ||
	    (t->kind == TK_EXPR && !t->raw.n))
		return false;
	memset(v, 0, sizeof(*v));
	v->type = el->type;
	v->loc = t->loc;
	v->span = t->span;
	v->raw = t->raw;
	v->s = t->text;
	switch (el->type) {
	case CV_LITERAL:
		return t->kind == TK_WORD && one_of(el, t, v, f);
	case CV_ENUM:     return one_of(el, t, v, f);
	case CV_BOOL:     return on_off(t, v, f);
	case CV_REF:
	case CV_NAME:     return name(t, f);
	case CV_WORD:     return from_file(ld, t, v, f) && clean_text(t, "word", f);
	case CV_PATH:     return path(ld, t, v, f);
	case CV_STRING:
	case CV_TEMPLATE:
	case CV_REGEX:    return from_file(ld, t, v, f);
	case CV_ADDR:     return val_address(el, t, v, f);
	case CV_HOSTPORT:
		v->s = pool_str(ld->pool, t->text);
		return v->s.p && val_hostport(t, v, f);
	case CV_CIDR:     return val_prefix(t, v, f);
	case CV_TIME:
	case CV_SIZE:
	case CV_RATE:
	case CV_COUNT:    return val_number(el->type, t, v, f);
	case CV_EXPR:     return true;
	}
	return false;
}

void val_expect(const struct sig_el *el, struct sb *b)
{
	static const char *const texts[] = {
		[CV_WORD] = "a word",
		[CV_NAME] = "a name",
		[CV_STRING] = "a text in quotes",
		[CV_PATH] = "a path",
		[CV_ADDR] = "an address such as 10.0.0.1:80, [::]:443 or *:80",
		[CV_HOSTPORT] =
			"an address or name with port such as 10.0.0.1:80 or app.example:80",
		[CV_TIME] = "a time such as 5s",
		[CV_SIZE] = "a size such as 64k",
		[CV_COUNT] = "a count such as 10",
		[CV_RATE] = "a rate such as 100mbit",
		[CV_BOOL] = "on or off",
		[CV_CIDR] = "a network such as 10.0.0.0/8",
		[CV_EXPR] = "an expression",
		[CV_TEMPLATE] = "a text such as \"https://{http.host}/\"",
		[CV_REGEX] = "a regular expression",
	};

	if (el->type == CV_REF) {
		sb_fmt(b, "the name of a %s", tbl_dirs[el->ref].name);
	} else if (el->type == CV_ENUM || el->type == CV_LITERAL) {
		for (unsigned i = 0; i < el->n_words; i++)
			sb_fmt(b, "%s\"" STR_FMT "\"",
			       i == 0                ? ""
			       : i + 1 < el->n_words ? ", "
						     : " or ",
			       STR_ARG(el->words[i]));
	} else {
		sb_c(b, texts[el->type]);
	}
}

void val_quote(struct str s, struct sb *b)
{
	bool bare = s.n > 0;

	for (size_t i = 0; i < s.n && bare; i++)
		bare = isalnum((unsigned char)s.p[i]) ||
		       memchr("_-./:@%+=*[]~", s.p[i], 13) != NULL;
	if (bare && !str_starts(s, STR("file:"))) {
		sb_str(b, s);
		return;
	}
	sb_ch(b, '"');
	for (size_t i = 0, mid = 0; i < s.n; i++, mid -= mid > 0) {
		unsigned char c = (unsigned char)s.p[i];
		size_t len = lex_utf8((const unsigned char *)s.p + i, s.n - i);

		if (len > 1)
			mid = len;
		if (c == '"' || c == '\\' || c == '$')
			sb_fmt(b, "\\%c", c);
		else if (c == '\n')
			sb_c(b, "\\n");
		else if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc0 && !mid) ||
			 (c >= 0xc0 && !len))
			sb_fmt(b, "\\x%02x", c);
		else
			sb_ch(b, (char)c);
	}
	sb_ch(b, '"');
}
