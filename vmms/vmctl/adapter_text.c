/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network adapter of a definition, as people read it. */
#include "vmms/vmctl/adapter_text.h"

#include "common/base/cc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* separator: before what is added, unless it is the first. */
static void PRINTF_LIKE(3, 4)
	append(char text[ADAPTER_TEXT_SIZE], const char *separator, const char *format, ...)
{
	size_t used = strlen(text);
	va_list arguments;

	if (used > 0)
		used += (size_t)snprintf(text + used, ADAPTER_TEXT_SIZE - used, "%s", separator);
	if (used >= ADAPTER_TEXT_SIZE)
		return;
	va_start(arguments, format);
	vsnprintf(text + used, ADAPTER_TEXT_SIZE - used, format, arguments);
	va_end(arguments);
}

static struct json_object *text_member(struct json_object *object, const char *key,
				       enum json_type type)
{
	struct json_object *value;

	return object && json_object_object_get_ex(object, key, &value) &&
			       json_object_is_type(value, type)
		       ? value
		       : NULL;
}

static void text_append_flags(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE])
{
	static const char *const flags[][2] = {
		{ "mac_spoofing", "MAC spoofing" },     { "dhcp_guard", "DHCP guard" },
		{ "router_guard", "router guard" },     { "host_loopback", "host's loopback" },
		{ "link_protocols", "link protocols" }, { "port_isolation", "port isolation" }
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct json_object *flag = text_member(adapter, flags[i][0], json_type_boolean);

		if (flag && json_object_get_boolean(flag))
			append(text, ", ", "%s", flags[i][1]);
	}
}

static void text_append_vlan(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE])
{
	struct json_object *vlan = text_member(adapter, "vlan", json_type_object);
	struct json_object *access = text_member(vlan, "access", json_type_int);
	struct json_object *trunk = text_member(vlan, "trunk", json_type_array);
	struct json_object *native = text_member(vlan, "native", json_type_int);

	if (access)
		append(text, ", ", "VLAN %s", json_object_get_string(access));
	for (size_t i = 0; trunk && i < json_object_array_length(trunk); i++)
		append(text, i == 0 ? ", " : " ", "%s%s", i == 0 ? "VLANs " : "",
		       json_object_get_string(json_object_array_get_idx(trunk, i)));
	if (native)
		append(text, " ", "(native %s)", json_object_get_string(native));
}

/* Bits a second, as options take them: "10M". */
static void text_append_rate(const char *name, uint64_t bits, char text[ADAPTER_TEXT_SIZE])
{
	static const char units[] = "KMG";
	char unit[2] = "";

	for (size_t i = 0; units[i] != '\0' && bits % 1000 == 0 && bits > 0; i++) {
		bits /= 1000;
		unit[0] = units[i];
	}
	append(text, ", ", "%s %" PRIu64 "%s", name, bits, unit);
}

static void text_append_limits(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE])
{
	static const char *const limits[] = { "egress", "ingress" };
	struct json_object *bandwidth = text_member(adapter, "bandwidth", json_type_object);

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct json_object *limit = text_member(bandwidth, limits[i], json_type_int);

		if (limit && json_object_get_uint64(limit) > 0)
			text_append_rate(limits[i], json_object_get_uint64(limit), text);
	}
}

/* An array of texts, with blanks between them. */
static void adapter_text_format_list(struct json_object *adapter, const char *key,
				     char text[ADAPTER_TEXT_SIZE])
{
	struct json_object *list = text_member(adapter, key, json_type_array);

	text[0] = '\0';
	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		append(text, " ", "%s", json_object_get_string(json_object_array_get_idx(list, i)));
}

void adapter_text_forwards(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE])
{
	adapter_text_format_list(adapter, "forward", text);
}

void adapter_text_settings(struct json_object *adapter, char text[ADAPTER_TEXT_SIZE])
{
	static const char *const lists[][2] = { { "forward", "forwards" },
						{ "addresses", "addresses" } };
	char list[ADAPTER_TEXT_SIZE];

	text[0] = '\0';
	text_append_flags(adapter, text);
	text_append_vlan(adapter, text);
	text_append_limits(adapter, text);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		adapter_text_format_list(adapter, lists[i][0], list);
		if (list[0] != '\0')
			append(text, ", ", "%s %s", lists[i][1], list);
	}
}
