/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls_bad.c - handshakes that fail: what the peer is told, and the reason that is kept (ROBUSTNESS 6.4)
 */
#include "tls_unit.h"

#include "net/tls_io_int.h"

/* Clients that a CA should not have signed, and one that sends more than its chain. */
static void odd_clients(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	static const unsigned char cn[] = "admin\0.evil";
	X509 *x = make(key, "Mallory", NULL, 30, false);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
	FILE *f;

	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, cn, sizeof(cn) - 1, -1, 0);
	X509_sign(x, ca_key, EVP_sha256());
	write_pem("nul-cn.pem", x, key);
	X509_free(x);
	x = make(key, "Mallory", NULL, 30, false);
	ASN1_STRING_set(dns, cn, sizeof(cn) - 1);
	GENERAL_NAME_set0_value(g, GEN_DNS, dns);
	sk_GENERAL_NAME_push(names, g);
	X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0);
	X509_sign(x, ca_key, EVP_sha256());
	write_pem("nul-san.pem", x, key);
	X509_free(x);
	GENERAL_NAMES_free(names);
	for (unsigned n = 10; n <= 11; n++) {
		x = make(key, "Many", NULL, 30, false);
		write_pem(n == 10 ? "ten.pem" : "eleven.pem", x, key);
		X509_free(x);
		f = fopen(path(n == 10 ? "ten.pem" : "eleven.pem"), "a");
		for (unsigned i = 1; i < n; i++) {
			x = make(key, "Stranger", NULL, 30, false);
			PEM_write_X509(f, x);
			X509_free(x);
		}
		fclose(f);
	}
	EVP_PKEY_free(key);
}

START_TEST(test_odd_client_certificates)
{
	static const struct {
		const char *file, *why, *code;
	} rows[] = { { "nul-cn.pem", "holds a NUL", "cert-nul" }, { "nul-san.pem", "holds a NUL", "cert-nul" },
		     { "eleven.pem", "too many certificates", "cert-chain" }, { "ten.pem", NULL, NULL } };
	struct profile must;

	odd_clients();
	must = load_ok("web", "cert @/a.pem; client-verify required; client-ca @/ca.pem", ca_opt);
	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		char opt[300];
		struct profile with;
		struct link l;

		snprintf(opt, sizeof(opt), "%s; cert %s/%s", ca_opt, dir, rows[i].file);
		with = load_ok("web", "cert @/a.pem", opt);
		if (rows[i].why) {
			join(&l, must.server, with.client, "a.example");
			RUN(l.s.errors && l.c.errors);
			ck_assert_msg(strstr(conn_tls_reason(l.s.c), rows[i].why), "%s: %s", rows[i].file,
				      conn_tls_reason(l.s.c));
			ck_assert_str_eq(conn_tls_why(l.s.c), rows[i].code);
			ck_assert_ptr_nonnull(strstr(conn_tls_reason(l.c.c), "alert"));
		} else {
			shake(&l, &must, &with, "a.example");
		}
		part(&l);
		unload(&with);
		unlink(path(rows[i].file));
	}
	unload(&must);
}
END_TEST

/* What the peer is told: the two bytes of the alert that is all of the answer, 0 for none. */
static unsigned alert_of(int peer)
{
	uint8_t b[8];
	ssize_t n = 0, r;

	RUN((r = recv(peer, b + n, sizeof(b) - (size_t)n, 0)) >= 0 || errno != EAGAIN);
	while (r > 0) {
		n += r;
		RUN((r = recv(peer, b + n, sizeof(b) - (size_t)n, 0)) >= 0 || errno != EAGAIN);
	}
	if (n == 0)
		return 0;
	ck_assert_int_eq(n, 7);
	ck_assert_uint_eq(b[0], SSL3_RT_ALERT);
	return (unsigned)b[5] << 8 | b[6];
}

START_TEST(test_alerts_to_rubbish)
{
	static const struct {
		const char *bytes;
		size_t n;
		unsigned alert;
	} rows[] = {
		{ "\x16\x05\x01\x00\x05hello", 10, 0x200 | SSL_AD_PROTOCOL_VERSION },
		{ "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 12, 0x200 | SSL_AD_PROTOCOL_VERSION },
		{ "\x16\x03\x01\xff\xff 0123456789", 16, 0x200 | SSL_AD_RECORD_OVERFLOW },
		{ "\x15\x03\x03\x00\x02\x02\x28", 7, 0x200 | SSL_AD_UNEXPECTED_MESSAGE }
	};
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct rec r;
		int peer = raw(&r, &p);

		ck_assert_int_eq(send(peer, rows[i].bytes, rows[i].n, 0), (ssize_t)rows[i].n);
		RUN(r.errors == 1);
		ck_assert_str_ne(conn_tls_reason(r.c), "");
		shutdown(peer, SHUT_WR);
		rec_close(&r);
		ck_assert_uint_eq(alert_of(peer), rows[i].alert);
		close(peer);
	}
	unload(&p);
}
END_TEST

/* A hello of `length` bytes of which `sent` are sent, in records as large as can be. */
static unsigned long_hello(struct profile *p, size_t length, size_t sent)
{
	static uint8_t record[5 + 16384];
	struct rec r;
	int peer = raw(&r, p);
	unsigned alert;

	memset(record, 0, sizeof(record));
	for (size_t at = 0; at < sent + 4;) {
		size_t n = FL_MIN((size_t)16384, sent + 4 - at), done = 0;

		memcpy(record, "\x16\x03\x01", 3);
		record[3] = (uint8_t)(n >> 8);
		record[4] = (uint8_t)n;
		memset(record + 5, 0, 4);
		if (at == 0) {
			record[5] = 1;
			record[6] = (uint8_t)(length >> 16);
			record[7] = (uint8_t)(length >> 8);
			record[8] = (uint8_t)length;
		}
		while (done < n + 5 && !r.errors) {
			ssize_t w = send(peer, record + done, n + 5 - done, MSG_NOSIGNAL);

			done += w > 0 ? (size_t)w : 0;
			unit_turns(1);
		}
		at += n;
	}
	RUN(r.errors == 1);
	ck_assert_str_eq(conn_tls_reason(r.c), "the handshake is too long");
	ck_assert_str_eq(conn_tls_why(r.c), "too-long");
	shutdown(peer, SHUT_WR);
	rec_close(&r);
	alert = alert_of(peer);
	close(peer);
	return alert;
}

START_TEST(test_long_hello)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);

	/* whole; and one that would be kept for the rest of the handshake's time */
	ck_assert_uint_eq(long_hello(&p, 70000, 70000), 0x200 | SSL_AD_DECODE_ERROR);
	ck_assert_uint_eq(long_hello(&p, 131000, 90000), 0x200 | SSL_AD_DECODE_ERROR);
	unload(&p);
}
END_TEST

START_TEST(test_late_handshake)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct rec r;
	int peer = raw(&r, &p);

	conn_deadline(r.c, 20);
	RUN(r.errors == 1);
	ck_assert_uint_eq(r.timeouts, 0);
	ck_assert_int_eq(r.err, FL_ETIMEOUT_);
	ck_assert_str_eq(conn_tls_reason(r.c), "the handshake took too long");
	ck_assert_str_eq(conn_tls_why(r.c), "tls-slow");
	rec_close(&r);
	ck_assert_uint_eq(alert_of(peer), 0);
	close(peer);
	unload(&p);
}
END_TEST

START_TEST(test_flood_of_key_updates)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(SSL_key_update(l.c.c->tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		conn_write(l.c.c, "x", 1);
	}
	RUN(l.s.errors && (l.c.eofs || l.c.errors));
	ck_assert_str_eq(conn_tls_reason(l.s.c), "too many key updates");
	ck_assert_str_eq(conn_tls_why(l.s.c), "key-updates");
	ck_assert(conn_eof_clean(l.c.c));               /* an alert came, not the bare end */
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_clear_http)
{
	static const char *const first[] = { "PROPFIND / HTTP/1.1\r\n", "get / HTTP/1.0\r\n", "G",
					     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "X-Own_Method~ /" };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);

	for (size_t i = 0; i < FL_ARRAY_LEN(first); i++) {
		char buf[512];
		struct rec r;
		int peer = raw(&r, &p);
		ssize_t n;

		peer_send(peer, first[i]);
		RUN(r.errors == 1);
		ck_assert_int_eq(r.err, FL_EPROTO_);
		rec_close(&r);
		unit_turns(2);
		n = recv(peer, buf, sizeof(buf) - 1, 0);
		ck_assert_int_gt(n, 20);
		ck_assert_int_eq(memcmp(buf, "HTTP/1.1 400 ", 13), 0);
		close(peer);
	}
	unload(&p);
}
END_TEST

static void tests(TCase *t)
{
	tcase_add_test(t, test_odd_client_certificates);
	tcase_add_test(t, test_alerts_to_rubbish);
	tcase_add_test(t, test_long_hello);
	tcase_add_test(t, test_late_handshake);
	tcase_add_test(t, test_flood_of_key_updates);
	tcase_add_test(t, test_clear_http);
}

int main(void)
{
	return tls_main("net/tls_bad", tests);
}
