/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.h - a message head in no protocol's own form: what txn, policy, filters and logs see
 *
 * Names and values are slices into memory of the exchange (a region pool or the bytes that were
 * parsed; the producer says until when). Field order is kept. Hop-by-hop fields are not here: the
 * codec removes them and keeps what they meant in the flags (RFC 9110 section 7.6.1). Names keep
 * the case in which they came.
 */
#ifndef FL_HTTP_HEAD_H
#define FL_HTTP_HEAD_H

#include "base/pool.h"

#define HEAD_FIELDS_MAX 512

enum http_method {
	HM_OTHER,
	HM_GET,
	HM_HEAD,
	HM_POST,
	HM_PUT,
	HM_DELETE,
	HM_CONNECT,
	HM_OPTIONS,
	HM_TRACE,
	HM_PATCH
};
/* Fields that code asks for by id; others by name. */
enum http_fid {
	HF_OTHER,
	HF_HOST,
	HF_CONTENT_LENGTH,
	HF_TRANSFER_ENCODING,
	HF_CONNECTION,
	HF_UPGRADE,
	HF_EXPECT,
	HF_TE,
	HF_TRAILER,
	HF_KEEP_ALIVE,
	HF_PROXY_CONNECTION,
	HF_VIA,
	HF_X_FORWARDED_FOR,
	HF_X_FORWARDED_PROTO,
	HF_X_FORWARDED_HOST,
	HF_FORWARDED,
	HF_USER_AGENT,
	HF_REFERER,
	HF_COOKIE,
	HF_CONTENT_TYPE,
	HF_DATE,
	HF_SERVER,
	HF_LOCATION,
	HF_ETAG,
	HF_AUTHORIZATION,
	HF_CACHE_CONTROL,
	HF_RANGE,
	HF_ACCEPT_ENCODING,
	HF_MAX_FORWARDS,
	HF_PROXY_AUTHORIZATION,
	HF_PROXY_AUTHENTICATE,
	HF_SET_COOKIE,
	HF__COUNT
};
#define HF_NAME_MAX 19                    /* longest name that has an id */
struct http_field {
	struct str    name, value;        /* value without surrounding blanks */
	enum http_fid id;
};
enum http_body {
	HB_NONE,                          /* no body can follow */
	HB_LENGTH,                        /* exactly `length` bytes */
	/* unknown length, delimited (chunked, or frames in other protocols) */
	HB_CHUNKED,
	HB_CLOSE,                         /* response until the connection ends */
};
struct http_head {
	bool              is_response;
	/* HTTP/1.minor as received; 2 for other majors is not used here */
	uint8_t           minor;
	/* request */
	enum http_method  method;
	struct str        method_s;
	struct str        scheme;         /* "http" or "https" */
	/* lower case, without port, IPv6 in brackets; from absolute-form or Host */
	struct str        host;
	struct str        authority;      /* host[:port] as it will be sent */
	struct str        path;           /* normalised, begins with "/" (or "*" for OPTIONS) */
	struct str        query;          /* without "?"; p NULL: none */
	/* response */
	uint16_t          status;
	struct str        reason;
	/* both */
	struct http_field *fields;
	unsigned          n_fields, cap_fields;
	enum http_body    body;
	uint64_t          length;         /* HB_LENGTH */
	/* the sender can keep its connection after this message */
	bool              keepalive;
	bool              expect_continue;
	/* wants to change protocol (Connection: upgrade + Upgrade) */
	bool              upgrade;
	struct str        upgrade_proto;
	bool              te_trailers;
};

enum http_fid http_field_id(struct str name);            /* case ignored */
enum http_method http_method_id(struct str m);
/* RFC 9110 9.2.2: GET HEAD OPTIONS TRACE PUT DELETE */
bool http_method_idempotent(enum http_method m);
const char *http_reason(unsigned status);                 /* "Not Found"; that of its class when unknown */

/* First field with this id / name (case ignored); NULL when none. */
const struct http_field *head_get(const struct http_head *h, enum http_fid id);
const struct http_field *head_find(const struct http_head *h, struct str name);
/* Appends (slices are borrowed; copy first if they do not live as long). FL_ELIMIT_ when full.
 * Grows from `p`. */
int  head_add(struct pool *p, struct http_head *h, struct str name, struct str value);
/* The same for a field of ours, or one that was parsed: name and value are known to be good. */
int  head_put(struct pool *p, struct http_head *h, enum http_fid id, struct str name,
	      struct str value);
/* Removes all fields of that name. Returns how many. */
unsigned head_remove(struct http_head *h, struct str name);
int  head_set(struct pool *p, struct http_head *h, struct str name, struct str value);
/* A copy whose slices live in p. */
struct http_head *head_copy(struct pool *p, const struct http_head *h);

#endif
