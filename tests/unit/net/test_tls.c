/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tls.c - TLS of conns: round trips, resumption, verification, bad input, handshakes that take turns
 *
 * Names, certificates and mistakes in them are in test_tls_certs.c.
 */
#include "tls_unit.h"

START_TEST(test_round_trip)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	static uint8_t big[3000000];
	struct link l;

	shake(&l, &p, &p, "a.example");
	ck_assert_str_eq(conn_tls_version(l.s.c), "TLSv1.3");
	ck_assert_str_eq(conn_tls_sni(l.s.c), "a.example");
	ck_assert(!conn_tls_resumed(l.s.c));
	pattern_fill(big, 0, sizeof(big));
	ck_assert_int_eq(conn_write(l.s.c, big, sizeof(big)), 0);
	RUN(l.c.n == sizeof(big) + 1);
	pattern_check((uint8_t *)l.c.got + 1, 0, sizeof(big));
	ck_assert_uint_eq(conn_bytes_out(l.s.c), sizeof(big) + 1);
	ck_assert_uint_eq(conn_bytes_in(l.c.c), sizeof(big) + 1);
	/* half-close, authentic */
	conn_shutdown(l.s.c);
	RUN(l.c.eofs == 1);
	ck_assert(conn_eof_clean(l.c.c));
	conn_write(l.c.c, "late", 4);
	RUN(l.s.n == 5);
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_cut_is_not_clean)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	shutdown(conn_fd(l.s.c), SHUT_WR);
	RUN(l.c.eofs == 1);
	ck_assert(!conn_eof_clean(l.c.c));
	part(&l);
	unload(&p);
}
END_TEST

START_TEST(test_pause_and_untaken)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	conn_pause(l.s.c);
	conn_write(l.c.c, "abcdef", 6);
	unit_turns(5);
	ck_assert_uint_eq(l.s.n, 1);
	l.s.take = 2;
	conn_resume(l.s.c);
	RUN(l.s.n == 3);
	l.s.take = SIZE_MAX;
	conn_resume(l.s.c);
	RUN(l.s.n == 7);
	ck_assert_mem_eq(l.s.got, "?abcdef", 7);
	part(&l);
	unload(&p);
}
END_TEST

static bool resumes(struct profile *s, struct profile *c)
{
	struct link l;
	bool yes;

	shake(&l, s, c, "a.example");
	yes = conn_tls_resumed(l.s.c);
	ck_assert_int_eq(conn_tls_resumed(l.c.c), yes);
	part(&l);
	return yes;
}

START_TEST(test_resumption)
{
	static uint8_t keys[3][TLS_TICKET_KEY_LEN];
	struct profile p, worker2, reloaded;

	memset(keys[0], 'a', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 1);
	p = load_ok("web", "cert @/a.pem", ca_opt);
	ck_assert(!resumes(&p, &p));
	ck_assert(resumes(&p, &p));
	/* another worker: the same keys and configuration, an SSL_CTX of its own */
	worker2 = load_ok("web", "cert @/a.pem", ca_opt);
	ck_assert(resumes(&worker2, &p));
	/* rotated: the old key still decrypts, the ticket is renewed under the new one */
	memcpy(keys[1], keys[0], TLS_TICKET_KEY_LEN);
	memset(keys[0], 'b', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 2);
	ck_assert(resumes(&worker2, &p));
	tls_ticket_keys(keys, 1);
	ck_assert(resumes(&p, &p));
	/* keys that nobody knows: a full handshake, no failure */
	memset(keys[0], 'c', TLS_TICKET_KEY_LEN);
	tls_ticket_keys(keys, 1);
	ck_assert(!resumes(&p, &p));
	ck_assert(resumes(&p, &p));
	/* what decides about clients changed, or another vserver: a full handshake */
	reloaded = load_ok("other", "cert @/a.pem", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	ck_assert(!resumes(&p, &p));
	reloaded = load_ok("web", "cert @/a.pem; client-verify optional; client-ca @/ca.pem", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	reloaded = load_ok("web", "cert @/a.pem; tickets off", ca_opt);
	ck_assert(!resumes(&reloaded, &p));
	ck_assert(!resumes(&reloaded, &p));
	unload(&reloaded);
	unload(&worker2);
	unload(&p);
}
END_TEST

START_TEST(test_verification_of_services)
{
	struct profile p = load_ok("web", "cert @/ip.pem", ca_opt);
	struct profile system = load_ok("web", "cert @/a.pem", "");
	struct profile off = load_ok("web", "cert @/old.pem", "verify off");
	char opt[200];
	struct profile fixed;
	struct link l;

	shake(&l, &p, &p, NULL);                 /* no name: the address is verified */
	part(&l);
	expect_failure(&p, &p, "a.example", "c", "mismatch");
	expect_failure(&system, &system, "a.example", "c", "issuer");
	shake(&l, &off, &off, "whatever");
	part(&l);
	expect_failure(&off, &p, "old.example", "c", "expired");
	snprintf(opt, sizeof(opt), "%s; sni a.example", ca_opt);
	fixed = load_ok("web", "cert @/a.pem", opt);
	shake(&l, &fixed, &fixed, "ignored.example");
	ck_assert_str_eq(conn_tls_sni(l.s.c), "a.example");
	part(&l);
	unload(&fixed);
	unload(&off);
	unload(&system);
	unload(&p);
}
END_TEST

START_TEST(test_client_certificates)
{
	char opt[300];
	struct profile must = load_ok("web", "cert @/a.pem; client-verify required; client-ca @/ca.pem", ca_opt);
	struct profile may = load_ok("web", "cert @/a.pem; client-verify optional; client-ca @/ca.pem", ca_opt);
	struct profile with;
	struct link l;

	snprintf(opt, sizeof(opt), "%s; cert %s/client.pem", ca_opt, dir);
	with = load_ok("web", "cert @/a.pem", opt);
	shake(&l, &must, &with, "a.example");
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "CN=Alice");
	part(&l);
	shake(&l, &must, &with, "a.example");
	ck_assert(conn_tls_resumed(l.s.c));
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "CN=Alice");
	part(&l);
	shake(&l, &may, &may, "a.example");
	ck_assert_str_eq(conn_tls_client_subject(l.s.c), "");
	part(&l);
	join(&l, must.server, must.client, "a.example");
	RUN(l.s.errors && l.c.errors);
	ck_assert_uint_eq(l.s.readies, 0);
	ck_assert_ptr_nonnull(strstr(conn_tls_reason(l.s.c), "peer did not return a certificate"));
	part(&l);
	unload(&with);
	unload(&may);
	unload(&must);
}
END_TEST

START_TEST(test_wrong_bytes)
{
	static const char *const junk[] = { "\x80\x2e\x01\x03\x01", "E@LO mail.example\r\n", "\x16\x03\x01\xff\xff aaaaaaa",
					    "\x17\x03\x03\xf0\x10zz" };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	char buf[512];
	struct rec r;
	ssize_t n;
	int peer = raw(&r, &p);

	peer_send(peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_EPROTO_);
	rec_close(&r);
	unit_turns(2);
	n = recv(peer, buf, sizeof(buf) - 1, 0);
	ck_assert_int_gt(n, 0);
	buf[n] = '\0';
	ck_assert_ptr_nonnull(strstr(buf, "HTTP/1.1 400 "));
	ck_assert_ptr_nonnull(strstr(buf, "Content-Length: 54\r\n"));
	ck_assert_uint_eq(strlen(strstr(buf, "\r\n\r\n") + 4), 54);
	ck_assert_int_eq(recv(peer, buf, sizeof(buf), 0), 0);
	close(peer);
	for (size_t i = 0; i < FL_ARRAY_LEN(junk); i++) {
		peer = raw(&r, &p);
		peer_send(peer, junk[i]);
		peer_send(peer, "                                                                ");
		RUN(r.errors == 1);
		ck_assert_int_eq(r.err, FL_ETLS_);
		ck_assert_str_ne(conn_tls_reason(r.c), "");
		rec_close(&r);
		close(peer);
		unit_turns(2);
	}
	/* gone in the middle of the handshake */
	peer = raw(&r, &p);
	peer_send(peer, "\x16\x03\x01");
	close(peer);
	RUN(r.errors == 1);
	ck_assert_int_eq(r.err, FL_ECLOSED_);
	ck_assert_str_eq(conn_tls_reason(r.c), "the peer closed during the handshake");
	rec_close(&r);
	/* before it: that was no handshake */
	peer = raw(&r, &p);
	close(peer);
	RUN(r.errors == 1);
	ck_assert_str_eq(conn_tls_reason(r.c), "");
	rec_close(&r);
	unload(&p);
}
END_TEST

START_TEST(test_one_bad_peer_does_not_spoil_others)
{
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l;

	shake(&l, &p, &p, "a.example");
	for (int i = 0; i < 20; i++) {
		struct rec r;
		int peer = raw(&r, &p);

		peer_send(peer, "\x16\x03\x01\xff\xff hello");
		conn_write(l.s.c, "x", 1);
		conn_write(l.c.c, "y", 1);
		RUN(r.errors == 1 && l.c.n == 2u + (unsigned)i && l.s.n == 2u + (unsigned)i);
		rec_close(&r);
		close(peer);
	}
	part(&l);
	unload(&p);
}
END_TEST

/* A storm of handshakes, one step a turn: who was there before is served meanwhile. */
START_TEST(test_handshakes_take_turns)
{
	enum { STORM = 24 };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct link l, storm[STORM];
	unsigned served = 0, done = 0, turns = 0;

	shake(&l, &p, &p, "a.example");
	conn_mod.shake_us = 0;
	for (int i = 0; i < STORM; i++)
		join(&storm[i], p.server, p.client, "a.example");
	for (int i = 0; i < STORM; i++)
		done += storm[i].s.readies;        /* joining takes turns */
	conn_write(l.c.c, "ping", 4);
	while (done < STORM) {
		unsigned before = done;

		unit_turns(1);
		ck_assert_uint_lt(turns++, 100 * STORM);
		done = 0;
		for (int i = 0; i < STORM; i++)
			done += storm[i].s.readies;
		ck_assert_uint_le(done - before, 1);
		if (l.s.n == 1 + 4 * (served + 1)) {
			served++;
			conn_write(l.c.c, "ping", 4);
		}
	}
	/* a request was served every other turn */
	ck_assert_uint_ge(turns, STORM);
	ck_assert_uint_ge(served, turns / 3);
	for (int i = 0; i < STORM; i++)
		part(&storm[i]);
	part(&l);
	unload(&p);
}
END_TEST

/* Who goes, or is closed, or says junk while it waits in line. */
START_TEST(test_leaving_the_line)
{
	enum { N = 12 };
	struct profile p = load_ok("web", "cert @/a.pem", ca_opt);
	struct rec r[N];
	struct link l;
	int peer[N];

	conn_mod.shake_us = 0;
	for (int i = 0; i < N; i++) {
		peer[i] = raw(&r[i], &p);
		peer_send(peer[i], "\x16\x03\x01");
	}
	unit_turns(2);
	ck_assert(!list_empty(&conn_mod.shake));
	for (int i = 0; i < N; i += 3) {
		close(peer[i]);
		rec_close(&r[i + 1]);
		peer_send(peer[i + 2], "\xff\xff hello hello");
	}
	for (int i = 0; i < N; i += 3) {
		RUN(r[i].errors == 1 && r[i + 2].errors == 1);
		ck_assert_int_eq(r[i].err, FL_ECLOSED_);
		ck_assert_int_eq(r[i + 2].err, FL_ETLS_);
	}
	for (int i = 0; i < N; i++) {
		rec_close(&r[i]);
		if (i % 3)
			close(peer[i]);
	}
	shake(&l, &p, &p, "a.example");
	ck_assert(list_empty(&conn_mod.shake));
	part(&l);
	unload(&p);
}
END_TEST

static void tests(TCase *t)
{
	tcase_add_test(t, test_round_trip);
	tcase_add_test(t, test_cut_is_not_clean);
	tcase_add_test(t, test_pause_and_untaken);
	tcase_add_test(t, test_resumption);
	tcase_add_test(t, test_verification_of_services);
	tcase_add_test(t, test_client_certificates);
	tcase_add_test(t, test_wrong_bytes);
	tcase_add_test(t, test_one_bad_peer_does_not_spoil_others);
	tcase_add_test(t, test_handshakes_take_turns);
	tcase_add_test(t, test_leaving_the_line);
}

int main(void)
{
	return tls_main("net/tls", tests);
}
