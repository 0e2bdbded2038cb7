/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl show --cpu: what a guest is told of its processors. */
#include "vmms/vmctl/screen.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOW_COLUMNS 80

/* ---- What vmms tells ---- */

static enum status processors_get_processors(struct invocation *invocation,
					     struct json_object **ret_tree)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status =
		service_ask_vm(invocation, "GetProcessors", SERVICE_TIMEOUT, NULL, &reply);
	int r;

	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, ret_tree);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- For people ---- */

static int64_t processors_number(struct json_object *object, const char *key)
{
	return json_object_get_int64(json_object_object_get(object, key));
}

static const char *processors_text(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_object_get(object, key);

	return value ? json_object_get_string(value) : "";
}

static const char *processors_plural(int64_t processors_number)
{
	return processors_number == 1 ? "" : "s";
}

static void processors_print_topology(struct json_object *tree)
{
	int64_t sockets = processors_number(tree, "sockets"),
		cores = processors_number(tree, "cores");
	int64_t threads = processors_number(tree, "threads");

	printf("processors:   %" PRId64 ": %" PRId64 " socket%s of %" PRId64 " core%s of %" PRId64
	       " thread%s\n",
	       processors_number(tree, "count"), sockets, processors_plural(sockets), cores,
	       processors_plural(cores), threads, processors_plural(threads));
}

/* Words of a list, in lines that are not too long. */
static void processors_print_words(const char *title, struct json_object *array)
{
	size_t count = json_array_size(array);
	size_t column = 0;

	for (size_t i = 0; i < count; i++) {
		const char *word = json_object_get_string(json_object_array_get_idx(array, i));

		if (i == 0)
			column = (size_t)printf("%-14s", title);
		else if (column + strlen(word) > SHOW_COLUMNS)
			column = (size_t)printf("\n%14s", "") - 1;
		column += (size_t)printf("%s%s", word, i + 1 < count ? " " : "\n");
	}
}

static void processors_format_distances(struct json_object *array, char *buffer, size_t size)
{
	size_t count = json_array_size(array);
	size_t used = 0;

	buffer[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++)
		used += (size_t)snprintf(
			buffer + used, size - used, "%s%s", i > 0 ? " " : "",
			json_object_get_string(json_object_array_get_idx(array, i)));
}

static void processors_print_nodes(struct json_object *nodes)
{
	static const char *const titles[] = { "NODE", "PROCESSORS", "MEMORY", "HOST NODE",
					      "DISTANCES" };
	size_t count = json_array_size(nodes);
	struct table *table = count > 0 ? table_new(titles, ARRAY_SIZE(titles)) : NULL;

	if (!table)
		return;
	for (size_t i = 0; i < count; i++) {
		struct json_object *node = json_object_array_get_idx(nodes, i);
		char memory[SCREEN_CELL], distances[128];

		screen_format_bytes((double)processors_number(node, "memory"), memory);
		processors_format_distances(json_object_object_get(node, "distances"), distances,
					    sizeof(distances));
		table_add(table, "%zu", i);
		table_add(table, "%s", processors_text(node, "processors"));
		table_add(table, "%s", memory);
		table_add(table, "%s", processors_text(node, "host_node"));
		table_add(table, "%s", distances);
	}
	putchar('\n');
	table_print(table);
	table_free(table);
}

static void processors_print_enlightenments(struct json_object *states)
{
	static const char *const titles[] = { "ENLIGHTENMENT", "STATE" };
	struct table *table = json_object_is_type(states, json_type_object)
				      ? table_new(titles, ARRAY_SIZE(titles))
				      : NULL;

	if (!table)
		return;
	json_object_object_foreach(states, name, state)
	{
		table_add(table, "%s", name);
		table_add(table, "%s", json_object_get_string(state));
	}
	putchar('\n');
	table_print(table);
	table_free(table);
}

static void processors_print_all(struct json_object *tree)
{
	processors_print_topology(tree);
	printf("%-14s%s\n", "model:", processors_text(tree, "model"));
	processors_print_words("without:", json_object_object_get(tree, "without"));
	processors_print_words("removed:", json_object_object_get(tree, "removed"));
	processors_print_nodes(json_object_object_get(tree, "numa"));
	processors_print_enlightenments(json_object_object_get(tree, "enlightenments"));
}

enum status command_show_cpu(struct invocation *invocation)
{
	AUTO_JSON struct json_object *tree = NULL;
	enum status status = processors_get_processors(invocation, &tree);

	if (status != STATUS_OK)
		return status;
	if (invocation->json)
		return json_print(TAKE_PTR(tree)) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
	processors_print_all(tree);
	return STATUS_OK;
}
