/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading configuration files of Hyper-V, .vmcx, into a tree.
 *
 * All entries of the key tables that count are collected first, sorted by table and offset, which is
 * how entries name their parents. When it is sure that each has a parent and none is its own
 * ancestor, they are put together. Checksums are not looked at: how they are made is not known.
 */
#include "vmms/import/import_readers.h"
#include "vmms/import/vmcx_wire.h"

#include "common/base/text.h"
#include "common/base/utf16.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TABLES_MAX        64u   /* key tables that count */
#define OBJECT_TABLES_MAX 16u   /* each is in its place in the file */
#define OBJECTS_MAX       4096u /* of all these */

/* A key table that counts: no other with its index has a higher sequence number. */
struct vmcx_table {
	uint32_t offset, size;
	uint16_t index, sequence;
};

struct vmcx_item {
	uint16_t table;
	uint32_t offset; /* in the table */
	const uint8_t *bytes;
	struct vmcx_entry head;
	struct json_object *node; /* of a node; borrowed */
};

struct vmcx {
	const uint8_t *bytes;
	size_t size;
	struct vmcx_table tables[TABLES_MAX];
	size_t table_count;
	struct vmcx_item *items;
	size_t item_count;
	struct import_error *error;
};

static bool vmcx_holds(const struct vmcx *file, uint64_t offset, uint64_t size)
{
	return offset <= file->size && size <= file->size - offset;
}

static int vmcx_refuse_cut(const struct vmcx *file, const char *what)
{
	return import_refuse(file->error, "the file is cut off: it does not hold %s", what);
}

/* ---- What is in the file ---- */

static int vmcx_check_header(const struct vmcx *file)
{
	struct vmcx_header header, second;
	struct vmcx_log log;

	if (!vmcx_holds(file, VMCX_OBJECT_TABLE, sizeof(struct vmcx_object_table)))
		return vmcx_refuse_cut(file, "its headers");
	memcpy(&header, file->bytes, sizeof(header));
	memcpy(&second, file->bytes + VMCX_SECOND_HEADER, sizeof(second));
	if (header.signature != VMCX_HEADER_SIGNATURE ||
	    (second.signature == VMCX_HEADER_SIGNATURE && second.sequence > header.sequence))
		header = second;
	if (header.signature != VMCX_HEADER_SIGNATURE)
		return import_refuse(file->error, "neither of its two headers is in order");
	if (header.version != VMCX_VERSION)
		return import_refuse(file->error,
				     "its format is of version 0x%x; only 0x%x is known: import "
				     "and export the VM with a newer Windows",
				     header.version, VMCX_VERSION);
	if (!vmcx_holds(file, header.log_offset, sizeof(log)))
		return vmcx_refuse_cut(file, "its log");
	memcpy(&log, file->bytes + header.log_offset, sizeof(log));
	if (log.signature != VMCX_LOG_SIGNATURE)
		return import_refuse(file->error, "its log is damaged");
	if (log.entry_count > 0)
		return import_refuse(file->error,
				     "it was not closed in order, and has changes in its log: "
				     "export the VM again");
	return 0;
}

static int vmcx_add_table(struct vmcx *file, const struct vmcx_object_entry *object)
{
	struct vmcx_table table = { .offset = (uint32_t)object->offset, .size = object->size };
	struct vmcx_keys keys;

	if (object->size < sizeof(keys) || !vmcx_holds(file, object->offset, object->size))
		return vmcx_refuse_cut(file, "a table of keys");
	memcpy(&keys, file->bytes + object->offset, sizeof(keys));
	if (keys.signature != VMCX_KEYS_SIGNATURE)
		return import_refuse(file->error, "a table of keys is damaged");
	table.index = keys.index;
	table.sequence = keys.sequence;
	for (size_t i = 0; i < file->table_count; i++) {
		if (file->tables[i].index != table.index)
			continue;
		if (file->tables[i].sequence < table.sequence)
			file->tables[i] = table;
		return 0;
	}
	if (file->table_count == TABLES_MAX)
		return import_refuse(file->error, "it has over %u tables of keys", TABLES_MAX);
	file->tables[file->table_count++] = table;
	return 0;
}

struct vmcx_queue {
	uint64_t tables[OBJECT_TABLES_MAX]; /* of objects, by their offsets */
	size_t count, objects;
};

static int vmcx_take_object(struct vmcx *file, struct vmcx_queue *queue,
			    const struct vmcx_object_entry *object)
{
	if (!object->allocated)
		return 0;
	if (object->type == VMCX_OBJECT_KEYS)
		return vmcx_add_table(file, object);
	if (object->type != VMCX_OBJECT_TABLES)
		return 0;
	if (queue->count == OBJECT_TABLES_MAX)
		return import_refuse(file->error, "it has over %u tables of objects",
				     OBJECT_TABLES_MAX);
	queue->tables[queue->count++] = object->offset;
	return 0;
}

static int vmcx_find_objects(struct vmcx *file, struct vmcx_queue *queue, uint64_t offset)
{
	struct vmcx_object_table table;
	struct vmcx_object_entry object;
	int r = 0;

	if (!vmcx_holds(file, offset, sizeof(table)))
		return vmcx_refuse_cut(file, "a table of objects");
	memcpy(&table, file->bytes + offset, sizeof(table));
	if (table.signature != VMCX_TABLE_SIGNATURE)
		return import_refuse(file->error, "a table of objects is damaged");
	queue->objects += table.entry_count;
	if (table.entry_count > OBJECTS_MAX || queue->objects > OBJECTS_MAX)
		return import_refuse(file->error, "it has over %u objects", OBJECTS_MAX);
	offset += sizeof(table);
	for (uint32_t i = 0; r == 0 && i < table.entry_count; i++, offset += sizeof(object)) {
		if (!vmcx_holds(file, offset, sizeof(object)))
			return vmcx_refuse_cut(file, "a table of objects");
		memcpy(&object, file->bytes + offset, sizeof(object));
		r = vmcx_take_object(file, queue, &object);
	}
	return r;
}

static int vmcx_find_tables(struct vmcx *file)
{
	struct vmcx_queue queue = { .tables = { VMCX_OBJECT_TABLE }, .count = 1 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < queue.count; i++)
		r = vmcx_find_objects(file, &queue, queue.tables[i]);
	return r;
}

/* ---- Entries ---- */

/* The name is in order when its NUL is where the value begins, and it is UTF-8. */
static bool vmcx_name_is_good(const struct vmcx_item *item)
{
	size_t room = item->head.size - sizeof(item->head), length = item->head.value_offset;
	const char *name = (const char *)item->bytes + sizeof(item->head);

	return length > 1 && length <= room && strnlen(name, length) == length - 1 &&
	       text_is_utf8(name, length - 1);
}

static int vmcx_add_item(struct vmcx *file, struct vmcx_item *item)
{
	if (item->head.type == VMCX_FREE)
		return 0;
	if (!vmcx_name_is_good(item))
		return import_refuse(file->error, "the name of a key is damaged");
	if (file->item_count == IMPORT_ENTRIES_MAX)
		return import_refuse(file->error, "it has over %u keys", IMPORT_ENTRIES_MAX);
	file->items[file->item_count++] = *item;
	return 0;
}

/* A size of 0 ends the table. */
static int vmcx_read_table(struct vmcx *file, const struct vmcx_table *table)
{
	struct vmcx_item item = { .table = table->index };
	uint32_t offset = sizeof(struct vmcx_keys);
	int r = 0;

	while (r == 0 && table->size - offset >= sizeof(item.head)) {
		item.offset = offset;
		item.bytes = file->bytes + table->offset + offset;
		memcpy(&item.head, item.bytes, sizeof(item.head));
		if (item.head.size == 0)
			break;
		if (item.head.size < sizeof(item.head) || item.head.size > table->size - offset)
			return import_refuse(file->error, "a key is larger than its table");
		r = vmcx_add_item(file, &item);
		offset += item.head.size;
	}
	return r;
}

static int vmcx_compare(const void *a, const void *b)
{
	const struct vmcx_item *left = a, *right = b;

	if (left->table != right->table)
		return left->table < right->table ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* NULL: there is none. */
static struct vmcx_item *vmcx_parent(const struct vmcx *file, const struct vmcx_item *item)
{
	struct vmcx_item wanted = { .table = item->head.parent_table,
				    .offset = item->head.parent_offset };

	return bsearch(&wanted, file->items, file->item_count, sizeof(wanted), vmcx_compare);
}

/* Its ancestors lead to the root; a circle of them never would. */
static int vmcx_check_ancestors(const struct vmcx *file, const struct vmcx_item *item)
{
	for (unsigned depth = 0; depth < IMPORT_DEPTH_MAX; depth++) {
		if (item->head.parent_table == 0)
			return 0;
		item = vmcx_parent(file, item);
		if (!item || item->head.type != VMCX_NODE)
			return import_refuse(file->error, "a key has no parent");
	}
	return import_refuse(file->error, "its keys are nested deeper than %u", IMPORT_DEPTH_MAX);
}

/* ---- Values ---- */

static struct json_object *vmcx_hex(const uint8_t *bytes, size_t size)
{
	AUTO_FREE char *text = malloc(2 * size + 1);

	if (!text)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < size; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_object_new_string(text);
}

static struct json_object *vmcx_text(const uint8_t *bytes, size_t size)
{
	AUTO_FREE char *text = malloc(size / 2 * 3 + 1);

	if (!text)
		return NULL;
	utf16_to_utf8(text, size / 2 * 3 + 1, bytes, size & ~(size_t)1);
	return json_object_new_string(text);
}

/* Where the bytes of a text, or of bytes, are. */
static int vmcx_find_bytes(const struct vmcx *file, const struct vmcx_item *item,
			   const uint8_t **ret_bytes, uint32_t *ret_size)
{
	const uint8_t *value = item->bytes + sizeof(item->head) + item->head.value_offset;
	size_t room = item->head.size - sizeof(item->head) - item->head.value_offset;
	struct vmcx_place place;

	if (item->head.flags & VMCX_ELSEWHERE) {
		if (room < sizeof(place))
			return import_refuse(file->error, "a value is cut off");
		memcpy(&place, value, sizeof(place));
		if (!vmcx_holds(file, place.offset, place.size))
			return vmcx_refuse_cut(file, "a value");
		*ret_bytes = file->bytes + place.offset;
		*ret_size = place.size;
	} else {
		if (room < sizeof(*ret_size))
			return import_refuse(file->error, "a value is cut off");
		memcpy(ret_size, value, sizeof(*ret_size));
		if (*ret_size > room - sizeof(*ret_size))
			return import_refuse(file->error, "a value is cut off");
		*ret_bytes = value + sizeof(*ret_size);
	}
	if (*ret_size > IMPORT_TEXT_MAX)
		return import_refuse(file->error, "a value is longer than %u bytes",
				     IMPORT_TEXT_MAX);
	return 0;
}

static int vmcx_make_long(const struct vmcx *file, const struct vmcx_item *item,
			  struct json_object **ret_value)
{
	const uint8_t *bytes;
	uint32_t size;
	int r;

	r = vmcx_find_bytes(file, item, &bytes, &size);
	if (r == 0)
		*ret_value = item->head.type == VMCX_TEXT ? vmcx_text(bytes, size)
							  : vmcx_hex(bytes, size);
	return r;
}

static int vmcx_make_number(const struct vmcx *file, const struct vmcx_item *item,
			    struct json_object **ret_value)
{
	const uint8_t *value = item->bytes + sizeof(item->head) + item->head.value_offset;
	size_t room = item->head.size - sizeof(item->head) - item->head.value_offset;
	union {
		uint32_t truth;
		int64_t number;
		uint64_t natural;
		double real;
	} u = { 0 };
	size_t size = item->head.type == VMCX_BOOLEAN ? sizeof(u.truth) : sizeof(u);

	if (room < size)
		return import_refuse(file->error, "a value is cut off");
	memcpy(&u, value, size);
	switch (item->head.type) {
	case VMCX_SIGNED:
		*ret_value = json_object_new_int64(u.number);
		return 0;
	case VMCX_UNSIGNED:
		*ret_value = json_object_new_uint64(u.natural);
		return 0;
	case VMCX_DOUBLE:
		*ret_value = json_object_new_double(u.real);
		return 0;
	case VMCX_BOOLEAN:
		*ret_value = json_object_new_boolean(u.truth != 0);
		return 0;
	}
	return import_refuse(file->error, "a key is of a kind that is not known: %u",
			     item->head.type);
}

static int vmcx_make_value(const struct vmcx *file, const struct vmcx_item *item,
			   struct json_object **ret_value)
{
	int r = 0;

	if (item->head.type == VMCX_NODE)
		*ret_value = json_object_new_object();
	else if (item->head.type == VMCX_TEXT || item->head.type == VMCX_BYTES)
		r = vmcx_make_long(file, item, ret_value);
	else
		r = vmcx_make_number(file, item, ret_value);
	return r == 0 && !*ret_value ? -ENOMEM : r;
}

/* ---- The tree ---- */

static int vmcx_link(const struct vmcx *file, struct json_object *root, struct vmcx_item *item,
		     struct json_object *value)
{
	struct json_object *parent = root;
	const char *name = (const char *)item->bytes + sizeof(item->head);

	if (item->head.parent_table != 0)
		parent = vmcx_parent(file, item)->node;
	if (json_object_object_get_ex(parent, name, NULL)) {
		json_object_put(value);
		return import_refuse(file->error, "a key is there twice");
	}
	json_object_object_add(parent, name, value);
	return 0;
}

/* Nodes first: whose turn it is has its parent. */
static int vmcx_link_all(const struct vmcx *file, struct json_object *root, bool nodes)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < file->item_count; i++) {
		struct vmcx_item *item = &file->items[i];
		struct json_object *value = item->node;

		if ((item->head.type == VMCX_NODE) != nodes)
			continue;
		if (!nodes)
			r = vmcx_make_value(file, item, &value);
		else
			json_object_get(value);
		if (r == 0)
			r = vmcx_link(file, root, item, value);
	}
	return r;
}

static int vmcx_make_nodes(struct vmcx *file)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < file->item_count; i++) {
		r = vmcx_check_ancestors(file, &file->items[i]);
		if (r == 0 && file->items[i].head.type == VMCX_NODE)
			r = vmcx_make_value(file, &file->items[i], &file->items[i].node);
	}
	return r;
}

static int vmcx_make_tree(struct vmcx *file, struct json_object **ret_tree)
{
	AUTO_JSON struct json_object *root = json_object_new_object();
	int r = root ? 0 : -ENOMEM;

	if (r == 0)
		r = vmcx_make_nodes(file);
	if (r == 0)
		r = vmcx_link_all(file, root, true);
	if (r == 0)
		r = vmcx_link_all(file, root, false);
	for (size_t i = 0; i < file->item_count; i++)
		json_object_put(file->items[i].node);
	if (r == 0)
		*ret_tree = TAKE_PTR(root);
	return r;
}

bool vmcx_is_it(const uint8_t *bytes, size_t size)
{
	uint32_t signature;

	for (size_t at = 0; at <= VMCX_SECOND_HEADER; at += VMCX_SECOND_HEADER) {
		if (size < at + sizeof(signature))
			return false;
		memcpy(&signature, bytes + at, sizeof(signature));
		if (signature == VMCX_HEADER_SIGNATURE)
			return true;
	}
	return false;
}

int vmcx_read(const uint8_t *bytes, size_t size, struct json_object **ret_tree,
	      struct import_error *ret_error)
{
	struct vmcx file = { .bytes = bytes, .size = size, .error = ret_error };
	int r;

	assert(size <= IMPORT_FILE_MAX);
	file.items = calloc(IMPORT_ENTRIES_MAX, sizeof(*file.items));
	if (!file.items)
		return -ENOMEM;
	r = vmcx_check_header(&file);
	if (r == 0)
		r = vmcx_find_tables(&file);
	for (size_t i = 0; r == 0 && i < file.table_count; i++)
		r = vmcx_read_table(&file, &file.tables[i]);
	qsort(file.items, file.item_count, sizeof(*file.items), vmcx_compare);
	if (r == 0)
		r = vmcx_make_tree(&file, ret_tree);
	free(file.items);
	return r;
}
