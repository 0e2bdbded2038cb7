/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network adapters as they are written on the command line. */
#include "vmms/vmctl/adapter_options.h"

#include "common/base/parse.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <string.h>

#define VLAN_MAX    4094
#define RATE_MAX    UINT64_C(1000000000000) /* bits a second */
#define TRUNK_WORD  "trunk:"
#define NATIVE_WORD "native:"

/* ---- Values that are written in another way than in a definition ---- */

int adapter_rate_parse(const char *text, uint64_t *ret_bits)
{
	static const struct {
		char letter;
		uint64_t factor;
	} units[] = { { 'k', 1000 },    { 'K', 1000 },       { 'm', 1000000 },
		      { 'M', 1000000 }, { 'g', 1000000000 }, { 'G', 1000000000 } };
	char digits[24];
	size_t count = strspn(text, "0123456789");
	uint64_t number, factor = 1;

	if (count == 0 || count >= sizeof(digits))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (text[count] == units[i].letter && text[count + 1] == '\0')
			factor = units[i].factor;
	}
	if (text[count] != '\0' && factor == 1)
		return -EINVAL;
	memcpy(digits, text, count);
	digits[count] = '\0';
	if (parse_unsigned(digits, 0, RATE_MAX, &number) < 0 ||
	    MUL_OVERFLOWS(number, factor, &number) || number > RATE_MAX)
		return -EINVAL;
	*ret_bits = number;
	return 0;
}

static int options_trunk_parse(char *text, struct json_object **ret_vlan)
{
	struct json_object *trunk = json_object_new_array(), *vlan;
	uint64_t native = 0, number;
	char *word;
	int r = 0;

	while (r == 0 && (word = strsep(&text, ","))) {
		if (strncmp(word, NATIVE_WORD, strlen(NATIVE_WORD)) == 0) {
			r = parse_unsigned(word + strlen(NATIVE_WORD), 1, VLAN_MAX, &native);
			continue;
		}
		r = parse_unsigned(word, 1, VLAN_MAX, &number);
		if (r == 0)
			json_append(&trunk, json_object_new_int64((int64_t)number));
	}
	vlan = json_make("trunk", trunk, NULL);
	if (r == 0 && native > 0)
		json_add(&vlan, "native", json_object_new_int64((int64_t)native));
	if (r == 0 && vlan) {
		*ret_vlan = vlan;
		return 0;
	}
	json_object_put(vlan);
	return r < 0 ? -EINVAL : -ENOMEM;
}

int adapter_vlan_parse(const char *text, struct json_object **ret_vlan)
{
	AUTO_FREE char *copy = NULL;
	struct json_object *vlan;
	uint64_t number;

	if (strcmp(text, "none") == 0) {
		*ret_vlan = NULL;
		return 0;
	}
	if (strncmp(text, TRUNK_WORD, strlen(TRUNK_WORD)) == 0) {
		copy = strdup(text + strlen(TRUNK_WORD));
		return copy ? options_trunk_parse(copy, ret_vlan) : -ENOMEM;
	}
	if (parse_unsigned(text, 1, VLAN_MAX, &number) < 0)
		return -EINVAL;
	vlan = json_make("access", json_object_new_int64((int64_t)number), NULL);
	if (!vlan)
		return -ENOMEM;
	*ret_vlan = vlan;
	return 0;
}

struct json_object *adapter_options_forwards(const struct invocation *invocation)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value;

		if (strcmp(invocation->options[i].row->name, "forward") == 0 &&
		    strcmp(value, "none") != 0)
			json_append(&array, json_object_new_string(value));
	}
	return array;
}

/* ---- The options ---- */

static void options_set(struct json_object **adapter, const char *key, struct json_object *value)
{
	if (*adapter)
		json_object_object_del(*adapter, key);
	json_add(adapter, key, value);
}

/* "192.0.2.5,2001:db8::5", or "none". */
static struct json_object *options_read_list(const char *text)
{
	struct json_object *array = json_object_new_array();
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy, *word;

	while (rest && (word = strsep(&rest, ",")) && strcmp(text, "none") != 0)
		json_append(&array, json_object_new_string(word));
	return array;
}

static void options_apply_texts(const struct invocation *invocation, struct json_object **adapter)
{
	static const char *const texts[] = { "name", "mac", "switch" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (invocation_has(invocation, texts[i]))
			options_set(adapter, texts[i],
				    json_object_new_string(invocation_value(invocation, texts[i])));
	}
	if (invocation_has(invocation, "addresses"))
		options_set(adapter, "addresses",
			    options_read_list(invocation_value(invocation, "addresses")));
	if (invocation_has(invocation, "forward"))
		options_set(adapter, "forward", adapter_options_forwards(invocation));
	/* What was another network's. */
	else if (invocation_has(invocation, "switch") && *adapter) {
		json_object_object_del(*adapter, "forward");
		json_object_object_del(*adapter, "host_loopback");
	}
}

static enum status options_apply_numbers(struct invocation *invocation,
					 struct json_object **adapter)
{
	static const char *const numbers[] = { "mtu", "queues" };
	unsigned number = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (!invocation_number(invocation, numbers[i], UINT16_MAX, &number))
			return STATUS_USAGE;
		if (invocation_has(invocation, numbers[i]))
			options_set(adapter, numbers[i], json_object_new_int64(number));
	}
	return STATUS_OK;
}

static enum status options_apply_switches(struct invocation *invocation,
					  struct json_object **adapter)
{
	static const char *const switches[][2] = {
		{ "mac-spoofing", "mac_spoofing" },     { "dhcp-guard", "dhcp_guard" },
		{ "router-guard", "router_guard" },     { "host-loopback", "host_loopback" },
		{ "link-protocols", "link_protocols" }, { "port-isolation", "port_isolation" }
	};

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		const char *value = invocation_value(invocation, switches[i][0]);

		if (!value)
			continue;
		if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
			return usage_error(invocation, "--%s must be on or off, not '%s'",
					   switches[i][0], value);
		options_set(adapter, switches[i][1],
			    json_object_new_boolean(strcmp(value, "on") == 0));
	}
	return STATUS_OK;
}

static enum status options_apply_vlan(struct invocation *invocation, struct json_object **adapter)
{
	const char *text = invocation_value(invocation, "vlan");
	struct json_object *vlan;
	int r;

	if (!text)
		return STATUS_OK;
	r = adapter_vlan_parse(text, &vlan);
	if (r == -EINVAL)
		return usage_error(invocation,
				   "--vlan must be a number from 1 to %d, trunk:N,N[,native:N], or "
				   "none, not '%s'",
				   VLAN_MAX, text);
	if (r < 0)
		return service_failed(r, NULL);
	if (vlan)
		options_set(adapter, "vlan", vlan);
	else
		json_object_object_del(*adapter, "vlan");
	return STATUS_OK;
}

/* Limits are members of one object; one that is 0 is left out. */
static enum status options_apply_limits(struct invocation *invocation, struct json_object **adapter)
{
	static const char *const limits[] = { "egress", "ingress" };
	struct json_object *bandwidth, *copy = json_object_new_object(), *old;
	uint64_t bits;

	json_object_object_get_ex(*adapter, "bandwidth", &bandwidth);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		const char *text = invocation_value(invocation, limits[i]);

		if (!text && bandwidth && json_object_object_get_ex(bandwidth, limits[i], &old))
			json_add(&copy, limits[i], json_object_get(old));
		if (!text || strcmp(text, "none") == 0)
			continue;
		if (adapter_rate_parse(text, &bits) < 0) {
			json_object_put(copy);
			return usage_error(invocation,
					   "--%s must be bits a second, such as 10M, or none, not "
					   "'%s'",
					   limits[i], text);
		}
		json_add(&copy, limits[i], json_object_new_uint64(bits));
	}
	options_set(adapter, "bandwidth", copy);
	return STATUS_OK;
}

enum status adapter_options_apply(struct invocation *invocation, struct json_object **adapter)
{
	enum status status;

	options_apply_texts(invocation, adapter);
	status = options_apply_numbers(invocation, adapter);
	if (status == STATUS_OK)
		status = options_apply_switches(invocation, adapter);
	if (status == STATUS_OK && *adapter)
		status = options_apply_vlan(invocation, adapter);
	if (status == STATUS_OK && *adapter)
		status = options_apply_limits(invocation, adapter);
	return status == STATUS_OK && !*adapter ? service_failed(-ENOMEM, NULL) : status;
}
