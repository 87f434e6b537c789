/* SPDX-License-Identifier: Apache-2.0 */
/* test_h1_request.c - request heads: what is taken, what is refused and where, at every split */
#include "config.h"

#include "tests/unit/http/h1_unit.h"

struct row {
	const char *name;
	struct str input;
	const char *want;
};
#define ROW(name, input, want) \
	{ \
		name, { input, sizeof(input) - 1 }, want \
	}
#define H "Host: a\r\n"
#define E "\r\n\r\n"

static const struct row accepted[] = {
	ROW("plain", "GET / HTTP/1.1\r\nHost: a" E, "GET / a - 1k"),
	ROW("one empty line before", "\r\nGET / HTTP/1.1\r\nHost: a" E, "GET / a - 1k"),
	ROW("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a" E, "GET / a - 1k"),
	ROW("rest is not looked at", "GET / HTTP/1.1\r\nHost: a" E "\0\n\r", "GET / a - 1k"),
	ROW("query", "GET /a?b=c&d?e/f HTTP/1.1\r\nHost: a" E, "GET /a?b=c&d?e/f a - 1k"),
	ROW("empty query", "GET /? HTTP/1.1\r\nHost: a" E, "GET /? a - 1k"),
	ROW("query keeps its encoding", "GET /?%7e%2f%zz%00 HTTP/1.1\r\nHost: a" E,
	    "GET /?%7e%2f%zz%00 a - 1k"),
	ROW("query is made clean", "GET /?a=\"<>\\^`{|} HTTP/1.1\r\nHost: a" E,
	    "GET /?a=%22%3C%3E%5C%5E%60%7B%7C%7D a - 1k"),
	ROW("field order and case stay", "GET / HTTP/1.1\r\nB: 2\r\n" H "a: 1\r\nB: 3" E,
	    "GET / a - 1k|B: 2|a: 1|B: 3"),
	ROW("blanks around values", "GET / HTTP/1.1\r\n" H "A: \t x y \t\r\nB:\r\nC:z\r\nD:   " E,
	    "GET / a - 1k|A: x y|B: |C: z|D: "),
	ROW("obs-text in a value", "GET / HTTP/1.1\r\n" H "A: \xe4\xff" E,
	    "GET / a - 1k|A: \xe4\xff"),
	ROW("every token character in a name", "GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~09azAZ: 1" E,
	    "GET / a - 1k|!#$%&'*+-.^_`|~09azAZ: 1"),
	ROW("own method", "M-SEARCH!~ / HTTP/1.1\r\nHost: a" E, "M-SEARCH!~ / a - 1k"),
	ROW("method case is kept", "get / HTTP/1.1\r\nHost: a" E, "get / a - 1k"),
	/* host */
	ROW("host and port", "GET / HTTP/1.1\r\nHost: a.b:8080" E, "GET / a.b:8080 - 1k"),
	ROW("host in capitals", "GET / HTTP/1.1\r\nHost: WWW.Example.COM:81" E,
	    "GET / www.example.com:81 - 1k"),
	ROW("default port", "GET / HTTP/1.1\r\nHost: a:80" E, "GET / a - 1k"),
	ROW("the other default port stays", "GET / HTTP/1.1\r\nHost: a:443" E, "GET / a:443 - 1k"),
	ROW("trailing dot", "GET / HTTP/1.1\r\nHost: a.b." E, "GET / a.b - 1k"),
	ROW("trailing dot and port", "GET / HTTP/1.1\r\nHost: a.b.:99" E, "GET / a.b:99 - 1k"),
	ROW("highest port", "GET / HTTP/1.1\r\nHost: a:65535" E, "GET / a:65535 - 1k"),
	ROW("IPv4", "GET / HTTP/1.1\r\nHost: 127.0.0.1:1" E, "GET / 127.0.0.1:1 - 1k"),
	ROW("IPv6", "GET / HTTP/1.1\r\nHost: [2001:DB8::1]:81" E, "GET / [2001:db8::1]:81 - 1k"),
	ROW("underscore", "GET / HTTP/1.1\r\nHost: a_b-c" E, "GET / a_b-c - 1k"),
	ROW("1.0 without Host", "GET / HTTP/1.0" E, "GET /  - 0"),
	/* target forms */
	ROW("absolute form wins over Host", "GET http://b:81/x?y HTTP/1.1\r\nHost: a" E,
	    "GET /x?y b:81 - 1k"),
	ROW("absolute form without path", "GET HTTP://B HTTP/1.1\r\nHost: a" E, "GET / b - 1k"),
	ROW("absolute form, query only", "GET http://b?q HTTP/1.1\r\nHost: a" E, "GET /?q b - 1k"),
	ROW("absolute form in 1.0", "GET http://b/ HTTP/1.0" E, "GET / b - 0"),
	ROW("https absolute form", "GET https://b/ HTTP/1.1\r\nHost: a" E, "GET / b - 1k"),
	ROW("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a" E, "OPTIONS * a - 1k"),
	ROW("asterisk by absolute form", "OPTIONS http://b HTTP/1.1\r\nHost: a" E,
	    "OPTIONS * b - 1k"),
	ROW("options of a path", "OPTIONS /x HTTP/1.1\r\nHost: a" E, "OPTIONS /x a - 1k"),
	/* connection */
	ROW("close", "GET / HTTP/1.1\r\n" H "Connection: close" E, "GET / a - 1"),
	ROW("close in a list", "GET / HTTP/1.1\r\n" H "connection: , foo ,CLOSE,," E,
	    "GET / a - 1"),
	ROW("close wins", "GET / HTTP/1.1\r\n" H "Connection: close\r\nConnection: keep-alive" E,
	    "GET / a - 1"),
	ROW("1.0 closes", "GET / HTTP/1.0\r\nHost: a" E, "GET / a - 0"),
	ROW("1.0 keep-alive", "GET / HTTP/1.0\r\n" H "Connection: Keep-Alive" E, "GET / a - 0k"),
	ROW("hop-by-hop fields go",
	    "GET / HTTP/1.1\r\n" H
	    "Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers\r\nTrailer: x\r\n"
	    "Upgrade: h2c\r\nConnection: Keep-Alive" E,
	    "GET / a - 1k"),
	ROW("nominated fields go",
	    "GET / HTTP/1.1\r\n" H "X-A: 1\r\nX-B: 2\r\nConnection: x-a, X-C\r\nX-C: 3" E,
	    "GET / a - 1k|X-B: 2"),
	ROW("fields that cannot be nominated",
	    "POST / HTTP/1.1\r\n" H
	    "Connection: Content-Length, Host, Cookie, Authorization, X-Forwarded-For, "
	    "X-Forwarded-Port, Via, Content-Type, X-Real-IP\r\nContent-Length: 3\r\nCookie: c\r\n"
	    "Authorization: d\r\n"
	    "X-Forwarded-For: 1\r\nX-Forwarded-Port: 2\r\nVia: v\r\n"
	    "Content-Type: t\r\nX-Real-Ip: r" E,
	    "POST / a 3 1k|Cookie: c|Authorization: d|X-Forwarded-For: 1|"
	    "X-Forwarded-Port: 2|Via: v|Content-Type: t"
	    "|X-Real-Ip: r"),
	ROW("te trailers", "GET / HTTP/1.1\r\n" H "TE: gzip;q=0.5, Trailers\r\nConnection: te" E,
	    "GET / a - 1kt"),
	ROW("te without connection", "GET / HTTP/1.1\r\n" H "TE: trailers" E, "GET / a - 1k"),
	ROW("upgrade",
	    "GET / HTTP/1.1\r\n" H "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade" E,
	    "GET / a - 1ku=WebSocket"),
	ROW("upgrade without connection", "GET / HTTP/1.1\r\n" H "Upgrade: websocket" E,
	    "GET / a - 1k"),
	ROW("upgrade to unknown",
	    "GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nHTTP2-Settings: x\r\n"
	    "Connection: upgrade, http2-settings" E,
	    "GET / a - 1k"),
	ROW("upgrade twice",
	    "GET / HTTP/1.1\r\n" H
	    "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade" E,
	    "GET / a - 1k"),
	ROW("upgrade with a body",
	    "GET / HTTP/1.1\r\n" H
	    "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 4" E,
	    "GET / a 4 1k"),
	ROW("upgrade in 1.0", "GET / HTTP/1.0\r\n" H "Upgrade: websocket\r\nConnection: upgrade" E,
	    "GET / a - 0"),
	/* framing */
	ROW("length", "POST / HTTP/1.1\r\n" H "Content-Length: 5" E "hello", "POST / a 5 1k"),
	ROW("length zero", "POST / HTTP/1.1\r\n" H "Content-Length: 0" E, "POST / a 0 1k"),
	ROW("length 2^63-1", "POST / HTTP/1.1\r\n" H "content-length:9223372036854775807" E,
	    "POST / a 9223372036854775807 1k"),
	ROW("length on GET", "GET / HTTP/1.1\r\n" H "Content-Length: 5" E, "GET / a 5 1k"),
	ROW("chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked" E, "POST / a c 1k"),
	ROW("chunked in capitals", "POST / HTTP/1.1\r\n" H "TRANSFER-ENCODING:  Chunked\t" E,
	    "POST / a c 1k"),
	ROW("trailer field of a chunked body",
	    "POST / HTTP/1.1\r\n" H "Trailer: X\r\nTransfer-Encoding: chunked" E,
	    "POST / a c 1k|Trailer: X"),
	ROW("expect", "PUT / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1" E,
	    "PUT / a 1 1ke"),
	ROW("expect without a body", "PUT / HTTP/1.1\r\n" H "Expect: 100-continue" E,
	    "PUT / a - 1k"),
	ROW("expect in 1.0", "PUT / HTTP/1.0\r\n" H "Expect: 100-continue\r\nContent-Length: 1" E,
	    "PUT / a 1 0"),
	/* paths; more in test_h1_uri */
	ROW("path is normalised", "GET /%7Ea/./b/../%c3 HTTP/1.1\r\nHost: a" E,
	    "GET /~a/%C3 a - 1k"),
	ROW("path of absolute form is, too", "GET http://a/x/../y HTTP/1.1\r\nHost: a" E,
	    "GET /y a - 1k"),
};

static const struct row refused[] = {
	/* request line */
	ROW("empty method", " / HTTP/1.1\r\nHost: a" E, "!bad-method@0"),
	ROW("method not a token", "GE(T / HTTP/1.1\r\nHost: a" E, "!bad-method@2"),
	ROW("tab after method", "GET\t/ HTTP/1.1\r\nHost: a" E, "!bad-method@3"),
	ROW("TLS hello", "\x16\x03\x01\x02\x00", "!bad-method@0"),
	ROW("NUL in method", "G\0T / HTTP/1.1" E, "!bad-method@1"),
	ROW("method alone", "GET\r\n", "!bad-method@3"),
	ROW("three empty lines", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a" E, "!bad-method@4"),
	ROW("empty line without CR", "\nGET / HTTP/1.1\r\nHost: a" E, "!bare-lf@0"),
	ROW("empty line without LF", "\rGET / HTTP/1.1\r\nHost: a" E, "!bare-cr@1"),
	ROW("two blanks", "GET  / HTTP/1.1\r\nHost: a" E, "!bad-target@4"),
	ROW("control in target", "GET /\x01 HTTP/1.1\r\nHost: a" E, "!bad-target@5"),
	ROW("fragment", "GET /#a HTTP/1.1\r\nHost: a" E, "!bad-target@5"),
	ROW("raw UTF-8 in target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a" E, "!bad-target@5"),
	ROW("blank in target", "GET /a b HTTP/1.1\r\nHost: a" E, "!bad-version@7"),
	ROW("HTTP/0.9", "GET /\r\n", "!bad-version@5"),
	ROW("LF after target", "GET /\n", "!bare-lf@5"),
	ROW("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a" E, "!bad-version@13"),
	ROW("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a" E, "!bad-version@14"),
	ROW("HTTP/0.9 named", "GET / HTTP/0.9\r\nHost: a" E, "!version@11"),
	ROW("HTTP/3.0", "GET / HTTP/3.0\r\nHost: a" E, "!version@11"),
	ROW("http/1.1", "GET / http/1.1\r\nHost: a" E, "!bad-version@6"),
	ROW("HTTP 1.1", "GET / HTTP 1.1\r\nHost: a" E, "!bad-version@10"),
	ROW("HTTP/x.1", "GET / HTTP/x.1\r\nHost: a" E, "!bad-version@11"),
	ROW("blank after version", "GET / HTTP/1.1 \r\nHost: a" E, "!bad-version@14"),
	ROW("version without CR", "GET / HTTP/1.1\nHost: a\n\n", "!bare-lf@14"),
	ROW("version without LF", "GET / HTTP/1.1\rHost: a" E, "!bare-cr@15"),
	ROW("preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!h2-preface@11"),
	ROW("asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a" E, "!bad-target@4"),
	ROW("two asterisks", "OPTIONS ** HTTP/1.1\r\nHost: a" E, "!bad-target@8"),
	ROW("authority form without CONNECT", "GET a:80 HTTP/1.1\r\nHost: a" E, "!bad-target@4"),
	ROW("relative path", "GET index.html HTTP/1.1\r\nHost: a" E, "!bad-target@4"),
	ROW("ftp", "GET ftp://a/ HTTP/1.1\r\nHost: a" E, "!bad-target@4"),
	ROW("absolute form without host", "GET http:///x HTTP/1.1\r\nHost: a" E, "!bad-host@4"),
	ROW("absolute form with userinfo", "GET http://u:p@a/ HTTP/1.1\r\nHost: a" E,
	    "!bad-host@4"),
	ROW("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443" E, "!connect@0"),
	ROW("path tricks", "GET /a/..%2f/b HTTP/1.1\r\nHost: a" E, "!bad-path@4"),
	ROW("above the root", "GET /../b HTTP/1.1\r\nHost: a" E, "!bad-path@4"),
	/* field lines */
	ROW("blank before colon", "GET / HTTP/1.1\r\nHost : a" E, "!space-colon@20"),
	ROW("tab before colon", "GET / HTTP/1.1\r\nHost\t: a" E, "!space-colon@20"),
	ROW("empty name", "GET / HTTP/1.1\r\n: a" E, "!bad-field-name@16"),
	ROW("name not a token", "GET / HTTP/1.1\r\nHo(st: a" E, "!bad-field-name@18"),
	ROW("name with obs-text", "GET / HTTP/1.1\r\nHo\xffst: a" E, "!bad-field-name@18"),
	ROW("NUL in name", "GET / HTTP/1.1\r\nHo\0st: a" E, "!bad-field-name@18"),
	ROW("no colon", "GET / HTTP/1.1\r\nHost\r\n", "!bad-field-name@20"),
	ROW("fold with blank", "GET / HTTP/1.1\r\n" H "A: b\r\n c" E, "!obs-fold@31"),
	ROW("fold with tab", "GET / HTTP/1.1\r\n" H "A: b\r\n\tc" E, "!obs-fold@31"),
	ROW("fold at once", "GET / HTTP/1.1\r\n Host: a" E, "!obs-fold@16"),
	ROW("LF ends a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", "!bare-lf@23"),
	ROW("LF in a name", "GET / HTTP/1.1\r\nHo\nst: a" E, "!bare-lf@18"),
	ROW("LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", "!bare-lf@25"),
	ROW("CR in a value", "GET / HTTP/1.1\r\nHost: a\rb" E, "!bare-cr@24"),
	ROW("CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "!bare-cr@24"),
	ROW("CR ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\rX", "!bare-cr@26"),
	ROW("NUL in a value", "GET / HTTP/1.1\r\nHost: a\0b" E, "!bad-field-value@23"),
	ROW("control in a value",
	    "GET / HTTP/1.1\r\nHost: a\x0b"
	    "b" E,
	    "!bad-field-value@23"),
	ROW("DEL in a value", "GET / HTTP/1.1\r\nHost: a\x7f" E, "!bad-field-value@23"),
	/* host */
	ROW("no Host", "GET / HTTP/1.1" E, "!no-host@18"),
	ROW("no Host with absolute form", "GET http://a/ HTTP/1.1" E, "!no-host@26"),
	ROW("two Hosts", "GET / HTTP/1.1\r\n" H "HOST: a" E, "!two-hosts@30"),
	ROW("two Hosts in 1.0", "GET / HTTP/1.0\r\n" H H "\r\n", "!two-hosts@30"),
	ROW("empty Host", "GET / HTTP/1.1\r\nHost:" E, "!bad-host@21"),
	ROW("Host with comma", "GET / HTTP/1.1\r\nHost: a,b" E, "!bad-host@21"),
	ROW("Host with blank", "GET / HTTP/1.1\r\nHost: a b" E, "!bad-host@21"),
	ROW("Host with userinfo", "GET / HTTP/1.1\r\nHost: u@a" E, "!bad-host@21"),
	ROW("Host with path", "GET / HTTP/1.1\r\nHost: a/b" E, "!bad-host@21"),
	ROW("Host with percent", "GET / HTTP/1.1\r\nHost: a%2eb" E, "!bad-host@21"),
	ROW("Host with quote", "GET / HTTP/1.1\r\nHost: a\"b" E, "!bad-host@21"),
	ROW("Host with obs-text", "GET / HTTP/1.1\r\nHost: a\xff" E, "!bad-host@21"),
	ROW("Host is a dot", "GET / HTTP/1.1\r\nHost: ." E, "!bad-host@21"),
	ROW("Host begins with a dot", "GET / HTTP/1.1\r\nHost: .a" E, "!bad-host@21"),
	ROW("Host with empty label", "GET / HTTP/1.1\r\nHost: a..b" E, "!bad-host@21"),
	ROW("Host with empty port", "GET / HTTP/1.1\r\nHost: a:" E, "!bad-host@21"),
	ROW("Host with port 0", "GET / HTTP/1.1\r\nHost: a:0" E, "!bad-host@21"),
	ROW("Host with port 65536", "GET / HTTP/1.1\r\nHost: a:65536" E, "!bad-host@21"),
	ROW("Host with signed port", "GET / HTTP/1.1\r\nHost: a:+80" E, "!bad-host@21"),
	ROW("Host with port 080", "GET / HTTP/1.1\r\nHost: a:080" E, "!bad-host@21"),
	ROW("Host with two ports", "GET / HTTP/1.1\r\nHost: a:80:81" E, "!bad-host@21"),
	ROW("Host is a port", "GET / HTTP/1.1\r\nHost: :80" E, "!bad-host@21"),
	ROW("IPv6 without brackets", "GET / HTTP/1.1\r\nHost: ::1" E, "!bad-host@21"),
	ROW("IPv6 not closed", "GET / HTTP/1.1\r\nHost: [::1" E, "!bad-host@21"),
	ROW("IPv6 malformed", "GET / HTTP/1.1\r\nHost: [::g]" E, "!bad-host@21"),
	ROW("IPv6 and text", "GET / HTTP/1.1\r\nHost: [::1]a" E, "!bad-host@21"),
	ROW("IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [1.2.3.4]" E, "!bad-host@21"),
	ROW("bad Host beside absolute form", "GET http://a/ HTTP/1.1\r\nHost: a b" E,
	    "!bad-host@29"),
	/* framing */
	ROW("TE and CL",
	    "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked" E,
	    "!te-and-cl@75"),
	ROW("CL and TE",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5" E,
	    "!te-and-cl@75"),
	ROW("two CLs that differ",
	    "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6" E, "!two-cl@60"),
	ROW("two CLs that agree",
	    "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5" E, "!two-cl@60"),
	ROW("CL list", "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5" E, "!two-cl@41"),
	ROW("CL empty", "POST / HTTP/1.1\r\n" H "Content-Length:" E, "!bad-cl@41"),
	ROW("CL plus", "POST / HTTP/1.1\r\n" H "Content-Length: +5" E, "!bad-cl@41"),
	ROW("CL minus", "POST / HTTP/1.1\r\n" H "Content-Length: -5" E, "!bad-cl@41"),
	ROW("CL spaced", "POST / HTTP/1.1\r\n" H "Content-Length: 5 5" E, "!bad-cl@41"),
	ROW("CL hex", "POST / HTTP/1.1\r\n" H "Content-Length: 0x5" E, "!bad-cl@41"),
	ROW("CL letters", "POST / HTTP/1.1\r\n" H "Content-Length: a" E, "!bad-cl@41"),
	ROW("CL fraction", "POST / HTTP/1.1\r\n" H "Content-Length: 5.0" E, "!bad-cl@41"),
	ROW("CL 2^63", "POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808" E,
	    "!bad-cl@41"),
	ROW("CL 2^64", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616" E,
	    "!bad-cl@41"),
	ROW("TE in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked" E, "!te-http10@56"),
	ROW("TE gzip, chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked" E,
	    "!unknown-te@44"),
	ROW("TE gzip", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip" E, "!unknown-te@44"),
	ROW("TE identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity" E,
	    "!unknown-te@44"),
	ROW("TE xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked" E,
	    "!unknown-te@44"),
	ROW("TE chunked, gzip", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip" E,
	    "!bad-te@44"),
	ROW("TE chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked" E,
	    "!bad-te@44"),
	ROW("TE chunked in two lines",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" E,
	    "!bad-te@72"),
	ROW("TE chunked, then identity in another line",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" E,
	    "!bad-te@72"),
	ROW("TE with parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b" E,
	    "!bad-te@44"),
	ROW("TE with empty parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;" E,
	    "!bad-te@44"),
	ROW("TE empty", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:" E, "!bad-te@44"),
	ROW("TE with empty element", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked" E,
	    "!bad-te@44"),
	ROW("TE with empty element at the end",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked," E, "!bad-te@44"),
	ROW("TE quoted", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"" E, "!bad-te@44"),
	ROW("TE spaced", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chun ked" E, "!bad-te@44"),
	ROW("TE with vertical tab",
	    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	    "chunked" E,
	    "!bad-field-value@45"),
	ROW("expectation", "PUT / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1" E,
	    "!bad-expect@32"),
	ROW("expectation twice",
	    "PUT / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: 100-continue" E,
	    "!bad-expect@54"),
	ROW("too many nominated",
	    "GET / HTTP/1.1\r\n" H
	    "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a" E,
	    "!bad-connection@36"),
};

static void check_rows(const struct row *rows, size_t n, bool accept)
{
	static char mem[65536];

	for (size_t i = 0; i < n; i++) {
		struct h1_input in = { 0 };
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		unit_all_splits(&in, rows[i].name, rows[i].input, &b);
		ck_assert_msg(strcmp(b.p, rows[i].want) == 0, "%s: got \"%s\", want \"%s\"",
			      rows[i].name, b.p, rows[i].want);
		if (accept)
			unit_same_again(&in, rows[i].name, rows[i].input);
	}
}

START_TEST(takes)
{
	check_rows(accepted, FL_ARRAY_LEN(accepted), true);
}
END_TEST

START_TEST(refuses)
{
	check_rows(refused, FL_ARRAY_LEN(refused), false);
}
END_TEST

/* A head of `fields` fields of `each` bytes behind a path of `path` bytes; '\0' at the end. */
static struct str build(size_t path, unsigned fields, size_t each)
{
	static char mem[1 << 17];
	struct sb b;

	sb_init(&b, mem, sizeof(mem));
	sb_c(&b, "GET /");
	for (size_t i = 1; i < path; i++)
		sb_ch(&b, 'p');
	sb_c(&b, " HTTP/1.1\r\nHost: a\r\n");
	for (unsigned i = 0; i < fields; i++) {
		sb_c(&b, "F:");
		for (size_t k = 2; k < each; k++)
			sb_ch(&b, 'v');
		sb_c(&b, "\r\n");
	}
	sb_c(&b, "\r\n");
	ck_assert(!b.over);
	return sb_get(&b);
}

static void check_limit(struct str text, const char *want)
{
	static const struct h1_limits l = { 64, 400, 100, 10 };
	static char mem[65536];
	struct h1_input in = { .limits = &l };
	struct sb b;
	size_t len;

	sb_init(&b, mem, sizeof(mem));
	unit_all_splits(&in, want ? want : "fits", text, &b);
	if (want)
		ck_assert_str_eq(b.p, want);
	else
		ck_assert_msg(b.p[0] == 'G', "%s", b.p);
	/* the end of the head is not waited for */
	if (want) {
		size_t at = (size_t)strtoul(strchr(want, '@') + 1, NULL, 10);

		unit_feed(&in, str_n(text.p, at), at, 1, &b, &len);
		ck_assert_str_eq(b.p, "");
		unit_feed(&in, str_n(text.p, at + 1), at + 1, 1, &b, &len);
		ck_assert_str_eq(b.p, want);
	}
}

START_TEST(limits)
{
	check_limit(build(64 - 13, 0, 0), NULL); /* "GET " and " HTTP/1.1" are 13 */
	check_limit(build(64 - 12, 0, 0), "!line-too-long@66");
	check_limit(build(1000, 0, 0), "!line-too-long@66");
	check_limit(build(1, 1, 100), NULL);
	check_limit(build(1, 1, 101), "!field-too-long@127");
	check_limit(build(1, 1, 300), "!field-too-long@127");
	check_limit(build(1, 9, 10), NULL); /* Host is one of ten */
	check_limit(build(1, 10, 10), "!too-many-fields@133");
	check_limit(build(2, 4, 91), NULL); /* 400 bytes */
	check_limit(build(3, 4, 91), "!head-too-long@400");
	check_limit(build(1, 7, 52), "!head-too-long@400");
	check_limit(build(1, 3, 98), NULL);
	check_limit(build(1, 3, 100), NULL);
	check_limit(build(1, 4, 95), "!head-too-long@400");
	check_limit(STR("\r\n\r\nGET /pppppppppppppppppppppppppppppppppppppppppppppppppp"
			" HTTP/1.1\r\nHost: a\r\n\r\n"),
		    NULL);
}
END_TEST

START_TEST(default_limits)
{
	static char mem[65536];
	static const struct {
		size_t path, each;
		unsigned fields;
		const char *code;
	} rows[] = {
		{ 8192 - 13, 10, 1, NULL },
		{ 8192 - 12, 10, 1, "!line-too-long@" },
		{ 1, 8192, 1, NULL },
		{ 1, 8193, 1, "!field-too-long@" },
		{ 1, 8000, 5, "!head-too-long@" },
		{ 1, 4, 99, NULL },
		{ 1, 4, 100, "!too-many-fields@" },
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct h1_input in = { 0 };
		struct str text = build(rows[i].path, rows[i].fields, rows[i].each);
		struct sb b;
		size_t len;

		sb_init(&b, mem, sizeof(mem));
		unit_feed(&in, text, text.n, 1, &b, &len);
		if (rows[i].code)
			ck_assert_msg(strncmp(b.p, rows[i].code, strlen(rows[i].code)) == 0,
				      "%zu: %s", i, b.p);
		else
			ck_assert_msg(b.p[0] == 'G', "%zu: %s", i, b.p);
	}
}
END_TEST

START_TEST(https)
{
	static const struct row rows[] = {
		ROW("default port", "GET / HTTP/1.1\r\nHost: a:443" E, "GET / a - 1k"),
		ROW("other port", "GET / HTTP/1.1\r\nHost: a:80" E, "GET / a:80 - 1k"),
	};

	for (size_t i = 0; i < FL_ARRAY_LEN(rows); i++) {
		struct h1_input in = { .tls = true };
		char mem[256];
		struct sb b;

		sb_init(&b, mem, sizeof(mem));
		unit_all_splits(&in, rows[i].name, rows[i].input, &b);
		ck_assert_str_eq(b.p, rows[i].want);
	}
}
END_TEST

/* What is fine already is not copied. */
START_TEST(slices_point_into_the_input)
{
	static const char text[] = "GET /a/b.c?d HTTP/1.1\r\nHost: a.b:81\r\nX: y" E;
	struct pool *pool = pool_new("test", 0);
	struct http_head h;
	enum h1_reason why;
	size_t seen = 0, off;

	ck_assert(h1_parse_request((const uint8_t *)text, sizeof(text) - 1, &seen,
				   &h1_limits_default, false, pool, &h, &why,
				   &off) == sizeof(text) - 1);
	ck_assert_ptr_eq(h.method_s.p, text);
	ck_assert_ptr_eq(h.path.p, text + 4);
	ck_assert_ptr_eq(h.query.p, text + 11);
	ck_assert_ptr_eq(h.host.p, text + 29);
	ck_assert_ptr_eq(h.authority.p, text + 29);
	ck_assert_uint_eq(h.host.n, 3);
	ck_str(h.scheme, STR("http"));
	ck_assert_int_eq(h.method, HM_GET);
	ck_assert_ptr_eq(h.fields[0].name.p, text + 37);
	pool_free(&pool);
}
END_TEST

START_TEST(no_memory)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: A" E;
	struct pool *pool = pool_new("test", 1);
	struct http_head h;
	enum h1_reason why = H1_OK;
	size_t seen = 0, off;

	ck_assert(h1_parse_request((const uint8_t *)text, sizeof(text) - 1, &seen,
				   &h1_limits_default, false, pool, &h, &why, &off) < 0);
	ck_assert_int_eq(why, H1_NOMEM);
	pool_free(&pool);
}
END_TEST

/* Random bytes over an alphabet of what matters: the outcome never depends on the split. */
START_TEST(random_heads)
{
	static const char *const words[] = {
		"GET ",
		"/",
		" HTTP/1.1",
		"\r\n",
		"\r\n",
		"\r\n\r\n",
		"Host: a",
		"Host:",
		":",
		" ",
		"\t",
		"\n",
		"\r",
		"Content-Length: 5",
		"Transfer-Encoding: chunked",
		"Connection: ",
		"close",
		"\x01",
		"?",
		"%2e",
		"x",
		"\r\nHost: a\r\n",
		"GET / HTTP/1.1\r\n",
	};
	static const struct h1_limits l = { 40, 150, 60, 4 };
	static char mem[65536];
	uint64_t seed = 7;

	for (unsigned round = 0; round < 3000; round++) {
		struct h1_input in = { .limits = &l, .is_response = round % 4 == 0 };
		char text[1024];
		struct sb t, b;
		unsigned n = (unsigned)(unit_rand(&seed) % 24);

		sb_init(&t, text, sizeof(text));
		sb_init(&b, mem, sizeof(mem));
		if (unit_rand(&seed) % 4)
			sb_c(&t, in.is_response ? "HTTP/1.1 200 OK\r\n"
						: "GET / HTTP/1.1\r\nHost: a\r\n");
		while (n--)
			sb_c(&t, words[unit_rand(&seed) % FL_ARRAY_LEN(words)]);
		unit_all_splits(&in, text, sb_get(&t), &b);
	}
}
END_TEST

/* Looking at a head byte by byte costs the lexer one look at each byte: twice the head, twice the
 * time. */
static double feed_seconds(struct str text)
{
	double best = 1e9;

	for (int round = 0; round < 7; round++) {
		struct pool *pool = pool_new("test", 0);
		struct h1_limits l = { 1 << 22, 1 << 22, 1 << 22, 100 };
		struct timespec a, b;
		struct http_head h;
		enum h1_reason why;
		size_t seen = 0, off;
		ssize_t r = 0;

		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		for (size_t n = 1; n <= text.n && r == 0; n++)
			r = h1_parse_request((const uint8_t *)text.p, n, &seen, &l, false, pool, &h,
					     &why, &off);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		ck_assert_int_eq(r, (ssize_t)text.n);
		pool_free(&pool);
		best = FL_MIN(best, (double)(b.tv_sec - a.tv_sec) +
					    (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	}
	return best;
}

/* A duration: best of three, as a neighbour on the machine may slow one of the two down. */
static double cost_ratio(struct str one, struct str two)
{
	double best = 1e9;

	for (int try = 0; try < 3 && best >= 2.5; try++) {
		double first = feed_seconds(one);

		best = FL_MIN(best, feed_seconds(two) / first);
	}
	return best;
}

/* build() has one buffer */
static struct str keep(struct str s, char *mem)
{
	memcpy(mem, s.p, s.n);
	return str_n(mem, s.n);
}

START_TEST(cost_is_linear)
{
	static char mem[200000];
	struct str one;
	double r;

	one = keep(build(60000, 0, 0), mem);
	r = cost_ratio(one, build(120000, 0, 0));
	ck_assert_msg(r < 2.5, "a line twice as long costs %.2f times", r);
	one = keep(build(10, 1, 60000), mem);
	r = cost_ratio(one, build(10, 1, 120000));
	ck_assert_msg(r < 2.5, "a field twice as long costs %.2f times", r);
	one = keep(build(10, 40, 1000), mem);
	r = cost_ratio(one, build(10, 80, 1000));
	ck_assert_msg(r < 2.5, "twice the fields cost %.2f times", r);
}
END_TEST

START_TEST(every_reason_has_a_row)
{
	for (int r = H1_OK + 1; r < H1__COUNT; r++) {
		unsigned status = h1_reason_status((enum h1_reason)r);

		ck_assert_msg(status >= 400 && status < 600, "%d", r);
		ck_assert(h1_reason_code((enum h1_reason)r)[0] &&
			  h1_reason_text((enum h1_reason)r)[0]);
		ck_assert(http_reason(status)[0]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http/h1_request");

	H1_CASE(s, "takes", takes);
	H1_CASE(s, "refuses", refuses);
	H1_CASE(s, "limits", limits);
	H1_CASE(s, "default limits", default_limits);
	H1_CASE(s, "https", https);
	H1_CASE(s, "slices", slices_point_into_the_input);
	H1_CASE(s, "no memory", no_memory);
	H1_CASE(s, "random heads", random_heads);
	H1_CASE(s, "cost", cost_is_linear);
	UNIT_CASE(s, "reasons", every_reason_has_a_row);
	return unit_run(s);
}
