/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl key, type: what is typed on a guest's keyboard. */
#include "common/base/cleanup.h"
#include "vmms/vmctl/key_codes.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <string.h>

#define KEYS_AT_ONCE 128 /* of a call: half of what may wait for the guest */

static enum status keyboard_press(struct invocation *invocation, const char *path,
				  const uint32_t *keys, size_t count)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status = service_new_call(invocation, path, "PressKeys", &call);
	int r;

	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append_array(call, 'u', keys, count * sizeof(keys[0]));
	return r < 0 ? service_failed(r, NULL)
		     : service_send(invocation, call, SERVICE_TIMEOUT, NULL);
}

/* ---- key ---- */

enum status command_key(struct invocation *invocation)
{
	const char *name = invocation->arguments[0];
	AUTO_FREE char *path = NULL;
	struct key_codes codes;
	enum status status;

	for (size_t i = 1; i < invocation->argument_count; i++)
		if (key_codes_of_combination(invocation->arguments[i], &codes) < 0)
			return usage_error(invocation, "there are no keys '%s'",
					   invocation->arguments[i]);
	status = service_find_vm(invocation, name, &path);
	for (size_t i = 1; status == STATUS_OK && i < invocation->argument_count; i++)
		if (key_codes_of_combination(invocation->arguments[i], &codes) == 0)
			status = keyboard_press(invocation, path, codes.codes, codes.count);
	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' was sent the keys", name);
	return status;
}

/* ---- type ---- */

static enum status type_text(struct invocation *invocation, const char *path, const char *text)
{
	uint32_t keys[KEYS_AT_ONCE + KEY_CODES_MAX];
	enum status status = STATUS_OK;
	struct key_codes codes;
	size_t count = 0;

	for (; *text && status == STATUS_OK; text++) {
		if (key_codes_of_character(*text, &codes) < 0)
			continue; /* there is none: all have been looked at */
		memcpy(keys + count, codes.codes, codes.count * sizeof(keys[0]));
		count += codes.count;
		if (count < KEYS_AT_ONCE && text[1])
			continue;
		status = keyboard_press(invocation, path, keys, count);
		count = 0;
	}
	return status;
}

enum status command_type(struct invocation *invocation)
{
	const char *name = invocation->arguments[0], *text = invocation->arguments[1];
	AUTO_FREE char *path = NULL;
	struct key_codes codes;
	enum status status;

	for (const char *at = text; *at; at++)
		if (key_codes_of_character(*at, &codes) < 0)
			return usage_error(invocation,
					   "a US keyboard does not have all characters of '%s'",
					   text);
	status = service_find_vm(invocation, name, &path);
	if (status == STATUS_OK)
		status = type_text(invocation, path, text);
	if (status == STATUS_OK && invocation_has(invocation, "enter"))
		status = type_text(invocation, path, "\n");
	if (status == STATUS_OK)
		output_say(invocation, "VM '%s' was sent the text", name);
	return status;
}
