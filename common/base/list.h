/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Intrusive doubly linked list.
 *
 * A list head and its links are the same struct; an initialised head points at itself. Links are
 * embedded in what they link; container_of() goes back. An unlinked link points at itself too, so
 * list_unlink() may be called twice.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>

struct list {
	struct list *next, *previous;
};

#define LIST_INIT(head)                              \
	{                                            \
		.next = &(head), .previous = &(head) \
	}

static inline void list_init(struct list *list)
{
	list->next = list->previous = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *head, struct list *link)
{
	link->previous = head->previous;
	link->next = head;
	head->previous->next = link;
	head->previous = link;
}

static inline void list_unlink(struct list *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
	list_init(link);
}

/* The element may be unlinked inside the loop, but no other. */
#define list_for_each(link, head)                                                         \
	for (struct list *link = (head)->next, *next_##link = link->next; link != (head); \
	     link = next_##link, next_##link = link->next)
