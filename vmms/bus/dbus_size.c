/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large a call is. */
#include "vmms/bus/dbus_size.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VALUE_SIZE 8 /* bytes, at least, that each value counts for, an empty array too */
#define DEPTH_MAX  32

struct walk {
	sd_bus_message *call;
	size_t size, bound;
	unsigned depth; /* of containers */
};

static int dbus_size_add(struct walk *walk, size_t size)
{
	walk->size += size;
	return walk->size > walk->bound ? -EMSGSIZE : 0;
}

static int dbus_size_walk_text(struct walk *walk, char type)
{
	const char *text;
	int r;

	r = sd_bus_message_read_basic(walk->call, type, &text);
	return r < 0 ? r : dbus_size_add(walk, VALUE_SIZE + strlen(text));
}

static int dbus_size_walk_number(struct walk *walk, char type)
{
	uint64_t number; /* has room for any */
	int r;

	r = sd_bus_message_read_basic(walk->call, type, &number);
	return r < 0 ? r : dbus_size_add(walk, VALUE_SIZE);
}

/* Of numbers of the same width, which need not be looked at. */
static int dbus_size_walk_numbers(struct walk *walk, char type)
{
	const void *numbers;
	size_t size;
	int r;

	r = sd_bus_message_read_array(walk->call, type, &numbers, &size);
	return r < 0 ? r : dbus_size_add(walk, VALUE_SIZE + size);
}

static int dbus_size_walk_values(struct walk *walk);

static int dbus_size_walk_container(struct walk *walk, char type, const char *contents)
{
	int r;

	if (type == SD_BUS_TYPE_ARRAY && strlen(contents) == 1 && strchr("ynqiuxtd", contents[0]))
		return dbus_size_walk_numbers(walk, contents[0]);
	if (++walk->depth > DEPTH_MAX)
		return -EMSGSIZE;
	r = dbus_size_add(walk, VALUE_SIZE);
	if (r == 0)
		r = sd_bus_message_enter_container(walk->call, type, contents);
	if (r >= 0)
		r = dbus_size_walk_values(walk);
	if (r >= 0)
		r = sd_bus_message_exit_container(walk->call);
	walk->depth--;
	return r;
}

/* All that are left of the container, or of the call. */
static int dbus_size_walk_values(struct walk *walk)
{
	const char *contents;
	char type;
	int r;

	while ((r = sd_bus_message_peek_type(walk->call, &type, &contents)) > 0) {
		if (contents)
			r = dbus_size_walk_container(walk, type, contents);
		else if (strchr("sog", type))
			r = dbus_size_walk_text(walk, type);
		else
			r = dbus_size_walk_number(walk, type);
		if (r < 0)
			return r;
	}
	return r;
}

int dbus_size_measure(sd_bus_message *call, size_t bound, size_t *ret_size)
{
	struct walk walk = { .call = call, .bound = bound };
	const char *path = sd_bus_message_get_path(call);
	int r, rewound;

	r = dbus_size_add(&walk, path ? strlen(path) : 0);
	if (r == 0)
		r = dbus_size_walk_values(&walk);
	rewound = sd_bus_message_rewind(call, true);
	if (r < 0)
		return r;
	*ret_size = walk.size;
	return rewound < 0 ? rewound : 0;
}
