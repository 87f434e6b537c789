/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_ciphers.c - are the cipher lists of a configuration what their author thinks?
 *
 * OpenSSL skips names that it does not know as long as one is good, and gives suites without
 * authentication or encryption to whoever asks for them by name. So each element is tried alone, in a
 * context of its own, and told with its place.
 */
#include "config.h"

#include "net/tls_int.h"

#include <openssl/err.h>
#include <string.h>

#define NAME_MAX_BYTES 128

static bool is_weak(const SSL_CIPHER *c)
{
	return SSL_CIPHER_get_auth_nid(c) == NID_auth_null ||
	       SSL_CIPHER_get_cipher_nid(c) == NID_undef;
}

/* TLS 1.2 suites of the context's list; *weak of them protect nothing, one is *name. */
static unsigned count_suites(SSL_CTX *ctx, unsigned *weak, const char **name)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
	unsigned n = 0;

	*weak = 0;
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);

		if (SSL_CIPHER_get_auth_nid(c) == NID_auth_any)
			continue;       /* TLS 1.3 */
		n++;
		if (!is_weak(c))
			continue;
		(*weak)++;
		*name = SSL_CIPHER_get_name(c);
	}
	return n;
}

/* Where `at`, which lies in the text of v, was written. With escapes or ${} in it: the value. */
static struct conf_loc place_of(const struct conf_val *v, const char *at)
{
	struct conf_loc loc = v->loc;
	size_t quotes = v->raw.n - v->s.n;

	if (v->raw.n >= v->s.n && (quotes == 0 || quotes == 2) &&
	    memcmp(v->raw.p + quotes / 2, v->s.p, v->s.n) == 0)
		loc.col += (unsigned)(quotes / 2 + (size_t)(at - v->s.p));
	return loc;
}

/* Up to the next of the separators; they are dropped. */
static struct str cut_any(struct str *rest, const char *separators)
{
	struct str one = str_n(rest->p, 0);

	while (one.n < rest->n && !strchr(separators, one.p[one.n]))
		one.n++;
	rest->p += FL_MIN(one.n + 1, rest->n);
	rest->n -= FL_MIN(one.n + 1, rest->n);
	return one;
}

static bool copy_name(struct conf_diag *d, const struct conf_val *v, struct str one,
		      char name[NAME_MAX_BYTES])
{
	if (one.n >= NAME_MAX_BYTES) {
		conf_error(d, place_of(v, one.p), (unsigned)one.n, NULL,
			   "no cipher has so long a name");
		return false;
	}
	memcpy(name, one.p, one.n);
	name[one.n] = '\0';
	return true;
}

static void check_element(SSL_CTX *tmp, const struct conf_val *v, struct str one,
			  struct conf_diag *d)
{
	char name[NAME_MAX_BYTES];
	const char *suite;
	bool taken_out = one.p[0] == '!' || one.p[0] == '-';
	unsigned n, weak;

	while (one.n && strchr("!-+", one.p[0])) {
		one.p++;
		one.n--;
	}
	if (one.n == 0 || one.p[0] == '@' || !copy_name(d, v, one, name))
		return;
	if (SSL_CTX_set_cipher_list(tmp, name) != 1) {
		conf_error(d, place_of(v, one.p), (unsigned)one.n,
			   "openssl ciphers -v lists the known names", "unknown cipher \"%s\"",
			   name);
		return;
	}
	n = count_suites(tmp, &weak, &suite);
	if (n && weak == n && !taken_out)
		conf_error(d, place_of(v, one.p), (unsigned)one.n, NULL,
			   "cipher \"%s\" is without authentication or encryption", name);
}

void tls_check_ciphers(const struct conf_val *v, struct conf_diag *d)
{
	unsigned before = conf_diag_errors(d), weak;
	struct str rest = v->s;
	SSL_CTX *tmp = SSL_CTX_new(TLS_server_method());
	const char *suite;

	while (tmp && rest.n) {
		struct str one = cut_any(&rest, ": ,;");

		if (one.n)
			check_element(tmp, v, one, d);
	}
	if (tmp && conf_diag_errors(d) == before) {
		if (SSL_CTX_set_cipher_list(tmp, v->s.p) != 1)
			conf_error(d, v->loc, v->span, NULL, "cipher list \"%s\": %s", v->s.p,
				   tls_last_error());
		else if (count_suites(tmp, &weak, &suite) && weak)
			conf_warn(d, v->loc, v->span, "add :!aNULL:!eNULL",
				  "cipher list \"%s\" has \"%s\" and others without authentication or "
				  "encryption", v->s.p, suite);
	}
	SSL_CTX_free(tmp);
	ERR_clear_error();
}

void tls_check_ciphersuites(const struct conf_val *v, struct conf_diag *d)
{
	SSL_CTX *tmp = SSL_CTX_new(TLS_server_method());
	struct str rest = v->s;

	while (tmp && rest.n) {
		struct str one = cut_any(&rest, ":");
		char name[NAME_MAX_BYTES];

		if (one.n && copy_name(d, v, one, name) &&
		    SSL_CTX_set_ciphersuites(tmp, name) != 1)
			conf_error(d, place_of(v, one.p), (unsigned)one.n,
				   "openssl ciphers -s -tls1_3 lists the known names; \":\" is "
				   "between two", "unknown TLS 1.3 cipher suite \"%s\"", name);
	}
	SSL_CTX_free(tmp);
	ERR_clear_error();
}
