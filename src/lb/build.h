/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - what the two halves of building share (lb/ only)
 */
#ifndef FL_LB_BUILD_H
#define FL_LB_BUILD_H

#include "lb/lb.h"

struct lb_builder {
	struct lb_config  *lc;
	struct conf_diag  *d;
	bool               with_tls;
	bool               nomem;
};
void *lb_build_alloc(struct lb_builder *b, size_t n, size_t size);   /* zeroed; remembers failure */
void lb_build_vservers(struct lb_builder *b);
/* "kind name" -> object; the key's memory comes from the configuration's pool. */
void lb_build_register(struct lb_builder *b, const char *kind, const char *name, void *obj);
void *lb_build_lookup(const struct lb_config *lc, const char *kind, const char *name);
struct tls_client *lb_build_client(const struct conf *c, const struct conf_node *tls, struct conf_diag *d);
struct tls_server *lb_build_server(const struct conf *c, const struct conf_node *tls, struct conf_diag *d);
/* Position of a log path in lc->logs, added when new. */
int  lb_build_log(struct lb_builder *b, const char *path);

#endif
