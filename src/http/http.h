/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - entry points of the HTTP room for a worker (wiring only; the rest is in mux, txn,
 * exchange)
 */
#ifndef FL_HTTP_HTTP_H
#define FL_HTTP_HTTP_H

#include "http/head.h"
#include "lb/lb.h"
#include "net/listener.h"

struct http_worker {                 /* what the room needs from its worker; owned by proc */
	struct engine    *engine;
	struct lb_config *lc;
	struct stat_seg  *seg;
	struct stat_row  *proc;      /* PROC row */
	unsigned          core;
	/* Takes one finished access log line (no newline); stream: index into lb_config.logs.
	 * NULL: none. */
	void (*access_log)(void *ctx, int stream, const char *line, size_t n);
	void *log_ctx;
};
int  http_init(struct http_worker *w);
void http_fini(void);
/* A client connection of an http vserver, not started yet; takes it. */
void http_accept(struct lb_vserver *vs, struct listener *l, struct conn *c);
/* A client connection of a tcp vserver: picks a service and relays. Takes it. */
void tcp_accept(struct lb_vserver *vs, struct listener *l, struct conn *c);
/* Draining: idle clear clients are given to `give` (true: it took the descriptor); whom it does not
 * take, and TLS clients, are told with their next answer (Connection: close). `give` NULL: nobody
 * will ever take them, so idle clients are closed. May be called again. */
void http_drain(bool (*give)(void *ctx, int fd, const char *listen_name, const struct addr *peer),
		void *ctx);
/* Client connections still open (http and tcp), requests and relays in progress. */
unsigned http_clients(void);
unsigned http_active(void);
/* Cuts everything that is left. Returns how many exchanges were cut. */
unsigned http_cut(void);
/* Services whose address or state changed: idle pooled connections to them are closed (DOWN,
 * MAINT, new address). */
void http_services_changed(void);

struct txn;
/* Facts of a request for policies: the same source serves the data path and explain. */
struct http_facts {
	const struct http_head *req, *resp;      /* resp NULL before it came */
	struct addr  client, local;
	bool         tls, udp;                   /* udp: client and local are of a datagram */
	const char  *sni, *tls_version, *tls_cipher, *tls_alpn, *tls_subject;
	const struct lb_config *lc;
	const struct txn *over;                  /* the finished exchange; NULL before */
	struct str   uri, full_uri;              /* made when asked for; zero at first */
	char         scratch[512];
};
void http_facts_init(struct pol_facts *f, struct http_facts *h);

#endif
