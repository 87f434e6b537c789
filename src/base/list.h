/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h - intrusive doubly linked ring; an unlinked node points to itself
 */
#ifndef FL_BASE_LIST_H
#define FL_BASE_LIST_H

#include "base/compiler.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l) { l->next = l->prev = l; }
static inline bool list_empty(const struct list *l) { return l->next == l; }
static inline void list_add_after(struct list *at, struct list *n)
{
	n->next = at->next;
	n->prev = at;
	at->next->prev = n;
	at->next = n;
}
static inline void list_push(struct list *head, struct list *n) { list_add_after(head, n); }
static inline void list_append(struct list *head, struct list *n) { list_add_after(head->prev, n); }
static inline void list_del(struct list *n)       /* safe to repeat: leaves n unlinked */
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}
static inline struct list *list_pop(struct list *head)   /* NULL when empty */
{
	struct list *n = head->next;

	if (n == head)
		return NULL;
	list_del(n);
	return n;
}
#define LIST_ENTRY(n, type, member) FL_CONTAINER_OF(n, type, member)
#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current node may be removed (not its successor). */
#define LIST_FOREACH_SAFE(it, tmp, head) \
	for (struct list *it = (head)->next, *tmp = it->next; it != (head); \
	     it = tmp, tmp = it->next)

#endif
