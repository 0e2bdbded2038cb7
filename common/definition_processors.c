/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The virtual processors of a VM: that part of its definition, read and written by tables. */
#include "common/definition_processors.h"

#include "common/definition_internal.h"

#define KEY(member)                                                                     \
	{                                                                               \
		.name = #member, .read = json_read_unsigned,                            \
		.offset = offsetof(struct definition_processors, member), .minimum = 1, \
		.maximum = DEFINITION_PROCESSORS_MAX                                    \
	}

static const struct json_key keys[] = { KEY(count), KEY(sockets), KEY(cores), KEY(threads) };

void definition_processors_init(struct definition_processors *processors)
{
	*processors = (struct definition_processors){
		.count = 1, .sockets = 1, .cores = 1, .threads = 1
	};
}

/*
 * Fills in what the text left open: the count is the product, and cores make up for what is
 * missing to a count.
 */
static int settle_topology(struct json_reader *reader, struct json_object *object,
			   struct definition_processors *processors)
{
	unsigned others = processors->sockets * processors->threads;

	if (!json_object_object_get_ex(object, "count", NULL))
		processors->count = others * processors->cores;
	else if (!json_object_object_get_ex(object, "cores", NULL))
		processors->cores = processors->count / others;
	if (processors->count > DEFINITION_PROCESSORS_MAX)
		return json_refuse(reader, object,
				   "are %u virtual processors; at most %d are possible",
				   processors->count, DEFINITION_PROCESSORS_MAX);
	if (processors->count == others * processors->cores)
		return 0;
	json_enter_key(reader, "count");
	if (!json_object_object_get_ex(object, "cores", NULL))
		return json_refuse(reader, json_object_object_get(object, "count"),
				   "is %u, which %u sockets of %u threads a core do not divide",
				   processors->count, processors->sockets, processors->threads);
	return json_refuse(reader, json_object_object_get(object, "count"),
			   "is %u, and must be %u: %u sockets of %u cores of %u threads",
			   processors->count, others * processors->cores, processors->sockets,
			   processors->cores, processors->threads);
}

int definition_processors_read(struct json_reader *reader, const struct json_key *key,
			       struct json_object *value, void *target)
{
	int r = json_read(reader, value, keys, ARRAY_SIZE(keys), target);

	return r < 0 ? r : settle_topology(reader, value, target);
}

static struct json_object *number(unsigned value)
{
	return json_object_new_int64(value);
}

struct json_object *definition_processors_to_json(const struct definition_processors *processors)
{
	return json_make("count", number(processors->count), "sockets", number(processors->sockets),
			 "threads", number(processors->threads), NULL);
}
