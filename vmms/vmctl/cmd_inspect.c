/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl inspect: the objects of a worker, part by part, as a tree. */
#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "common/control_contract.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define INDENT        2   /* columns */
#define SHORT_MEMBERS 4   /* of an object that is a line */
#define SHORT_DEPTH   3   /* and of how many others it is a member, at least */
#define PIECES_MAX    100 /* of a part; more than there can be of vps, channels, or GPADLs */

/* ---- Asking ---- */

static enum status inspect_ask(struct invocation *invocation, const char *path, const char *part,
			       uint32_t first, struct json_object **ret_answer)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	enum status status;
	int r;

	status = service_new_call(invocation, path, "Inspect", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "su", part, first);
	if (r < 0)
		return service_failed(r, NULL);
	status = service_send(invocation, call, SERVICE_TIMEOUT, &reply);
	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, ret_answer);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* The rest of an array goes to its end. */
static void inspect_append_all(struct json_object *array, struct json_object *rest)
{
	for (size_t i = 0; i < json_object_array_length(rest); i++)
		json_object_array_add(array, json_object_get(json_object_array_get_idx(rest, i)));
}

/* Where the rest of the answer begins; 0: there is none. */
static uint32_t inspect_next_of(struct json_object *answer)
{
	struct json_object *next;
	int64_t number = 0;

	if (json_object_object_get_ex(answer, "next", &next))
		number = json_object_get_int64(next);
	return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* One more piece. *first: where it begins, and then the next; 0: it was the last. */
static enum status inspect_piece(struct invocation *invocation, const char *path, const char *part,
				 uint32_t *first, struct json_object **whole)
{
	AUTO_JSON struct json_object *answer = NULL;
	struct json_object *piece;
	enum status status;

	status = inspect_ask(invocation, path, part, *first, &answer);
	if (status != STATUS_OK)
		return status;
	*first = inspect_next_of(answer);
	if (!json_object_object_get_ex(answer, part, &piece))
		return STATUS_OK;
	if (!*whole)
		*whole = json_object_get(piece);
	else if (json_object_is_type(*whole, json_type_array) &&
		 json_object_is_type(piece, json_type_array))
		inspect_append_all(*whole, piece);
	return STATUS_OK;
}

/* A whole part, added to *tree. */
static enum status inspect_part(struct invocation *invocation, const char *path, const char *part,
				struct json_object **tree)
{
	AUTO_JSON struct json_object *whole = NULL;
	enum status status = STATUS_OK;
	uint32_t first = 0;
	unsigned pieces = 0;

	do {
		if (pieces++ == PIECES_MAX) {
			fprintf(stderr, "vmctl: the worker does not end to tell of its %s\n", part);
			return STATUS_FAILED;
		}
		status = inspect_piece(invocation, path, part, &first, &whole);
	} while (status == STATUS_OK && first);
	if (status == STATUS_OK && whole)
		json_add(tree, part, TAKE_PTR(whole));
	return status;
}

/* ---- Printing ---- */

static bool inspect_is_leaf(struct json_object *value)
{
	return !json_object_is_type(value, json_type_object) &&
	       !json_object_is_type(value, json_type_array);
}

static bool inspect_has_leaves_alone(struct json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array); i++)
		if (!inspect_is_leaf(json_object_array_get_idx(array, i)))
			return false;
	return true;
}

/* An object such as a segment register: a line says it. */
static bool inspect_is_short(struct json_object *object)
{
	json_object_object_foreach(object, key, value)
	{
		if (key[0] == '\0' || !inspect_is_leaf(value))
			return false;
	}
	return json_object_object_length(object) <= SHORT_MEMBERS;
}

static void inspect_print_leaf(struct json_object *value)
{
	const char *text = value ? json_object_get_string(value) : "-";
	AUTO_FREE char *escaped = text_escape_new(text, strlen(text));

	fputs(escaped ? escaped : "", stdout);
}

static void inspect_print_key(unsigned depth, const char *key)
{
	AUTO_FREE char *escaped = text_escape_new(key, strlen(key));

	printf("%*s%s:", (int)(depth * INDENT), "", escaped ? escaped : "");
}

/* " selector 0x8, base 0x0" */
static void inspect_print_line(struct json_object *object)
{
	const char *separator = " ";

	json_object_object_foreach(object, key, leaf)
	{
		AUTO_FREE char *escaped = text_escape_new(key, strlen(key));

		printf("%s%s ", separator, escaped ? escaped : "");
		inspect_print_leaf(leaf);
		separator = ", ";
	}
}

static void inspect_print_tree(unsigned depth, struct json_object *value);

/* An array of numbers is a line; of objects each is a block of its own, by its number. */
static void inspect_print_array(unsigned depth, struct json_object *array)
{
	bool in_line = inspect_has_leaves_alone(array);

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *element = json_object_array_get_idx(array, i);

		if (in_line) {
			putchar(' ');
			inspect_print_leaf(element);
		} else {
			printf("\n%*s[%zu]", (int)(depth * INDENT), "", i);
			inspect_print_tree(depth + 1, element);
		}
	}
}

/* What follows a key; begins where that ended, and ends without a newline. */
static void inspect_print_tree(unsigned depth, struct json_object *value)
{
	if (json_object_is_type(value, json_type_object) && depth > SHORT_DEPTH &&
	    inspect_is_short(value)) {
		inspect_print_line(value);
	} else if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			putchar('\n');
			inspect_print_key(depth, key);
			inspect_print_tree(depth + 1, member);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		inspect_print_array(depth, value);
	} else {
		putchar(' ');
		inspect_print_leaf(value);
	}
}

static void inspect_print_parts(struct json_object *tree)
{
	json_object_object_foreach(tree, key, part)
	{
		inspect_print_key(0, key);
		inspect_print_tree(1, part);
		putchar('\n');
	}
}

/* ---- The command ---- */

static bool inspect_is_part(const char *word)
{
	for (size_t i = 0; control_part_names[i]; i++)
		if (strcmp(word, control_part_names[i]) == 0)
			return true;
	return false;
}

enum status command_inspect(struct invocation *invocation)
{
	const char *wanted = invocation->argument_count > 1 ? invocation->arguments[1] : NULL;
	AUTO_JSON struct json_object *tree = json_object_new_object();
	AUTO_FREE char *path = NULL;
	enum status status;

	if (wanted && !inspect_is_part(wanted))
		return usage_error(invocation,
				   "'%s' is none of machine, vps, vmbus, channels, gpadls, "
				   "devices and sockets",
				   wanted);
	status = service_find_vm(invocation, invocation->arguments[0], &path);
	for (size_t i = 0; status == STATUS_OK && control_part_names[i]; i++)
		if (!wanted || strcmp(wanted, control_part_names[i]) == 0)
			status = inspect_part(invocation, path, control_part_names[i], &tree);
	if (status != STATUS_OK)
		return status;
	if (!tree || (invocation->json && json_print(TAKE_PTR(tree)) < 0))
		return service_failed(-ENOMEM, NULL);
	if (tree)
		inspect_print_parts(tree);
	return STATUS_OK;
}
