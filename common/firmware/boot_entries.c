/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a UEFI can boot. */
#include "common/firmware/boot_entries.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ACTIVE 0x1u

/* A load option's head; the description, and device paths of that many bytes, follow. */
struct load_option {
	uint32_t attributes;
	uint16_t paths_size;
} PACKED;
_Static_assert(sizeof(struct load_option) == 6, "UEFI 3.1.3");

struct path_node {
	uint8_t type, sub_type;
	uint16_t length; /* with this */
} PACKED;
_Static_assert(sizeof(struct path_node) == 4, "UEFI 10.2");

#define NODE(type, sub_type) ((type) << 8 | (sub_type))

enum {
	NODE_PCI = NODE(1, 1),
	NODE_ACPI = NODE(2, 1),
	NODE_SCSI = NODE(3, 2),
	NODE_HARD_DRIVE = NODE(4, 1),
	NODE_CD = NODE(4, 2),
	NODE_FILE = NODE(4, 4),
	NODE_VOLUME_FILE = NODE(4, 6),
	NODE_VOLUME = NODE(4, 7),
};

#define NODE_END_TYPE 0x7f
#define ACPI_PCI_ROOT 0x0a0341d0u
#define GPT_SIGNATURE 2

/* ---- Text ---- */

struct text {
	char *at;
	size_t room; /* with the NUL */
};

static void text_add(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

static void text_add(struct text *text, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text->at, text->room, format, arguments);
	va_end(arguments);
	length = MIN(MAX(length, 0), (int)text->room - 1);
	text->at += length;
	text->room -= (size_t)length;
}

/* UTF-16 up to its NUL. Return: bytes taken, the NUL included; size + 1: it has no NUL. */
static size_t text_add_wide(struct text *text, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i + 1 < size; i += 2) {
		if (bytes[i] == 0 && bytes[i + 1] == 0)
			return i + 2;
		text_add(text, "%c",
			 bytes[i + 1] == 0 && bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?');
	}
	return size + 1;
}

/* ---- Device paths ---- */

static uint64_t value_at(const uint8_t *body, size_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, body + offset, size);
	return value;
}

static void path_add_pci(struct text *text, const uint8_t *body)
{
	text_add(text, "Pci(0x%x,0x%x)", body[1], body[0]);
}

static void path_add_acpi(struct text *text, const uint8_t *body)
{
	if (value_at(body, 0, 4) == ACPI_PCI_ROOT)
		text_add(text, "PciRoot(0x%x)", (unsigned)value_at(body, 4, 4));
	else
		text_add(text, "Acpi(0x%x,0x%x)", (unsigned)value_at(body, 0, 4),
			 (unsigned)value_at(body, 4, 4));
}

static void path_add_scsi(struct text *text, const uint8_t *body)
{
	text_add(text, "Scsi(0x%x,0x%x)", (unsigned)value_at(body, 0, 2),
		 (unsigned)value_at(body, 2, 2));
}

static void path_add_hard_drive(struct text *text, const uint8_t *body)
{
	unsigned number = (unsigned)value_at(body, 0, 4);
	char guid_text[GUID_TEXT_SIZE];
	struct guid guid;

	memcpy(&guid, body + 20, sizeof(guid));
	guid_format(&guid, guid_text);
	if (body[37] == GPT_SIGNATURE)
		text_add(text, "HD(%u,GPT,%s)", number, guid_text);
	else
		text_add(text, "HD(%u,MBR,0x%08x)", number, (unsigned)value_at(body, 20, 4));
}

static void path_add_cd(struct text *text, const uint8_t *body)
{
	text_add(text, "CDROM(0x%x)", (unsigned)value_at(body, 0, 4));
}

static void path_add_volume(struct text *text, const uint8_t *body)
{
	char guid_text[GUID_TEXT_SIZE];
	struct guid guid;

	memcpy(&guid, body, sizeof(guid));
	guid_format(&guid, guid_text);
	text_add(text, "Fv(%s)", guid_text);
}

static const struct {
	unsigned node;
	size_t size; /* of its body, at least */
	void (*add)(struct text *text, const uint8_t *body);
} nodes[] = {
	{ NODE_PCI, 2, path_add_pci },        { NODE_ACPI, 8, path_add_acpi },
	{ NODE_SCSI, 4, path_add_scsi },      { NODE_HARD_DRIVE, 38, path_add_hard_drive },
	{ NODE_CD, 20, path_add_cd },         { NODE_VOLUME_FILE, 16, path_add_volume },
	{ NODE_VOLUME, 16, path_add_volume },
};

static void path_add_node(struct text *text, const struct path_node *node, const uint8_t *body)
{
	unsigned id = NODE((unsigned)node->type, node->sub_type);
	size_t size = node->length - sizeof(*node);

	if (id == NODE_FILE) {
		text_add_wide(text, body, size);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		if (nodes[i].node == id && size >= nodes[i].size) {
			nodes[i].add(text, body);
			return;
		}
	}
	text_add(text, "Path(%u,%u)", node->type, node->sub_type);
}

/* The first of them; each node is at least its head, so that it ends. */
static void path_add(struct text *text, const uint8_t *bytes, size_t size)
{
	const char *separator = "";
	struct path_node node;

	for (; size >= sizeof(node); bytes += node.length, size -= node.length) {
		memcpy(&node, bytes, sizeof(node));
		if (node.type == NODE_END_TYPE || node.length < sizeof(node) || node.length > size)
			return;
		text_add(text, "%s", separator);
		path_add_node(text, &node, bytes + sizeof(node));
		separator = "/";
	}
}

/* ---- Entries ---- */

static bool entry_read(const struct variable *variable, uint16_t number, struct boot_option *entry)
{
	struct text description = { entry->description, sizeof(entry->description) };
	struct text path = { entry->path, sizeof(entry->path) };
	struct load_option option;
	const uint8_t *rest = variable->data + sizeof(option);
	size_t left, used;

	*entry = (struct boot_option){ .number = number };
	if (variable->size < sizeof(option))
		return false;
	memcpy(&option, variable->data, sizeof(option));
	left = variable->size - sizeof(option);
	used = text_add_wide(&description, rest, left);
	if (used > left)
		return false;
	path_add(&path, rest + used, MIN(left - used, (size_t)option.paths_size));
	entry->active = option.attributes & ACTIVE;
	return true;
}

static bool entry_find(const uint8_t *bytes, uint16_t number, struct boot_option *entry)
{
	static const struct guid global = VARIABLE_GLOBAL_GUID;
	struct variable variable;
	char name[16];

	snprintf(name, sizeof(name), "Boot%04X", number);
	return variable_store_find(bytes, &global, name, &variable) &&
	       entry_read(&variable, number, entry);
}

static bool entries_have(const struct boot_option *entries, size_t count, uint16_t number)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].number == number)
			return true;
	return false;
}

size_t boot_entries_read(const uint8_t bytes[static VARIABLES_SIZE],
			 struct boot_option ret_entries[static BOOT_ENTRIES_MAX])
{
	static const struct guid global = VARIABLE_GLOBAL_GUID;
	struct variable order = { 0 }, next;
	size_t count = 0;

	if (!variable_store_find(bytes, &global, "BootOrder", &order))
		return 0;
	for (uint32_t i = 0; i + 1 < order.size && count < BOOT_ENTRIES_MAX; i += 2) {
		uint16_t number = (uint16_t)value_at(order.data, i, 2);

		if (!entries_have(ret_entries, count, number) &&
		    entry_find(bytes, number, &ret_entries[count]))
			count++;
	}
	if (variable_store_find(bytes, &global, "BootNext", &next) && next.size == 2)
		for (size_t i = 0; i < count; i++)
			ret_entries[i].next = ret_entries[i].number == value_at(next.data, 0, 2);
	return count;
}
