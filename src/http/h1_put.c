/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_put.c - heads, chunk sizes and trailers as HTTP/1.1 text
 *
 * Every byte is written from the parsed form (R17): nothing that came in is copied as it was.
 * Framing and connection fields come from the flags alone, whatever the list of fields holds (RFC
 * 9110 section 7.6.1, RFC 9112 sections 3, 4, 6, 7.1, 9.6).
 */
#include "config.h"

#include "http/h1.h"

static void put_field(struct sb *b, struct str name, struct str value)
{
	sb_str(b, name);
	sb_add(b, ": ", 2);
	sb_str(b, value);
	sb_add(b, "\r\n", 2);
}

static void put_length(struct sb *b, uint64_t n)
{
	sb_c(b, "Content-Length: ");
	sb_u64(b, n);
	sb_add(b, "\r\n", 2);
}

static bool is_written_from_flags(const struct http_head *h, enum http_fid id)
{
	switch (id) {
	case HF_HOST:
	case HF_EXPECT: return !h->is_response;
	case HF_CONTENT_LENGTH:
		/* the answer to HEAD and 304 carry one that frames nothing */
		return !h->is_response || h->body != HB_NONE || h->status < 200 || h->status == 204;
	case HF_TRANSFER_ENCODING:
	case HF_CONNECTION:
	case HF_UPGRADE:
	case HF_TE:
	case HF_KEEP_ALIVE:
	case HF_PROXY_CONNECTION: return true;
	default: return false;
	}
}

static void put_fields(struct sb *b, const struct http_head *h)
{
	for (unsigned i = 0; i < h->n_fields; i++)
		if (!is_written_from_flags(h, h->fields[i].id))
			put_field(b, h->fields[i].name, h->fields[i].value);
}

/* "Connection: a, b" of those that are not NULL. */
static void put_connection(struct sb *b, const char *const option[3])
{
	const char *before = "Connection: ";

	for (unsigned i = 0; i < 3; i++) {
		if (!option[i])
			continue;
		sb_c(b, before);
		sb_c(b, option[i]);
		before = ", ";
	}
	if (before[0] == ',')
		sb_add(b, "\r\n", 2);
}

void h1_put_request(struct sb *b, const struct http_head *h, bool close)
{
	sb_str(b, h->method_s);
	sb_ch(b, ' ');
	sb_str(b, h->path);
	if (h->query.p) {
		sb_ch(b, '?');
		sb_str(b, h->query);
	}
	sb_c(b, " HTTP/1.1\r\n");
	put_field(b, STR("Host"), h->authority);
	put_fields(b, h);
	if (h->body == HB_LENGTH)
		put_length(b, h->length);
	else if (h->body == HB_CHUNKED)
		sb_c(b, "Transfer-Encoding: chunked\r\n");
	if (h->expect_continue)
		sb_c(b, "Expect: 100-continue\r\n");
	put_connection(b, (const char *const[3]){ close ? "close" : NULL,
						  h->upgrade ? "upgrade" : NULL,
						  h->te_trailers ? "TE" : NULL });
	if (h->upgrade)
		put_field(b, STR("Upgrade"), h->upgrade_proto);
	if (h->te_trailers)
		sb_c(b, "TE: trailers\r\n");
	sb_add(b, "\r\n", 2);
}

void h1_put_response(struct sb *b, const struct http_head *h, bool close, bool to_http10)
{
	enum http_body body = h->body == HB_CHUNKED && to_http10 ? HB_CLOSE : h->body;
	bool is_interim = h->status < 200;

	close = (close || body == HB_CLOSE) && !is_interim;
	sb_c(b, "HTTP/1.1 ");
	sb_u64(b, h->status);
	sb_ch(b, ' ');
	sb_str(b, h->reason.n ? h->reason : str_c(http_reason(h->status)));
	sb_add(b, "\r\n", 2);
	put_fields(b, h);
	if (body == HB_LENGTH)
		put_length(b, h->length);
	else if (body == HB_CHUNKED)
		sb_c(b, "Transfer-Encoding: chunked\r\n");
	put_connection(
		b, (const char *const[3]){ close ? "close" : NULL,
					   to_http10 && !close && !is_interim ? "keep-alive" : NULL,
					   h->upgrade ? "upgrade" : NULL });
	if (h->upgrade)
		put_field(b, STR("Upgrade"), h->upgrade_proto);
	sb_add(b, "\r\n", 2);
}

unsigned h1_put_chunk_size(char out[20], size_t n)
{
	unsigned digits = 1, len;

	for (size_t v = n; v >= 16; v >>= 4)
		digits++;
	for (len = digits; len; n >>= 4)
		out[--len] = "0123456789abcdef"[n & 15];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}

void h1_put_last_chunk(struct sb *b, const struct http_head *trailers)
{
	sb_add(b, "0\r\n", 3);
	for (unsigned i = 0; trailers && i < trailers->n_fields; i++)
		put_field(b, trailers->fields[i].name, trailers->fields[i].value);
	sb_add(b, "\r\n", 2);
}
