/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which adapter has which addresses.
 *
 * One question is under way at a time, so that those of others find room in the service's queue.
 * Questions follow a refresh: what cannot be asked then is asked after the next.
 */
#include "vmwp/device/devices.h"

#include "common/base/state.h"
#include "common/base/text.h"
#include "vsp/ic/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the adapter with the same number. */
struct guest_adapter {
	char addresses[IC_KVP_ADDRESSES_MAX]; /* as last told */
	bool outdated;                        /* it has to be asked */
	bool pending;                         /* what it answers has to be told, changed or not */
};

struct guest_addresses {
	struct guest_addresses_config config;
	struct guest_adapter adapters[DEFINITION_ADAPTERS_MAX];
	bool asking;
	unsigned asked; /* while asking: whom */
};

static void set_addresses(struct guest_addresses *addresses, unsigned number, const char *text)
{
	struct guest_adapter *adapter = &addresses->adapters[number];
	const char *name = adapters_name(addresses->config.adapters, number);

	if (!adapter->pending && strcmp(adapter->addresses, text) == 0)
		return;
	adapter->pending = false;
	strcpy(adapter->addresses, text);
	if (name)
		addresses->config.changed(addresses->config.data, name, text);
}

/* ---- Asking ---- */

static void answered_addresses(void *data, const struct ic_kvp_addresses *answer)
{
	struct guest_addresses *addresses = data;

	if (!addresses->adapters[addresses->asked].outdated)
		set_addresses(addresses, addresses->asked, answer->addresses);
}

static void ask_next(struct guest_addresses *addresses);

static void answered(void *data, int result)
{
	struct guest_addresses *addresses = data;

	addresses->asking = false;
	if (result == IC_E_ABSENT && !addresses->adapters[addresses->asked].outdated)
		set_addresses(addresses, addresses->asked, "");
	if (result != IC_E_GONE)
		ask_next(addresses);
}

/* Return: as ic_kvp_get_addresses(); 0 too if there is no such adapter. */
static int ask(struct guest_addresses *addresses, unsigned number)
{
	static const struct ic_kvp_handler handler = { .addresses = answered_addresses,
						       .done = answered };

	addresses->adapters[number].outdated = false;
	if (!adapters_name(addresses->config.adapters, number))
		return 0;
	addresses->asking = true;
	addresses->asked = number;
	return ic_kvp_get_addresses(addresses->config.kvp,
				    adapters_mac(addresses->config.adapters, number), &handler,
				    addresses);
}

static void ask_next(struct guest_addresses *addresses)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && !addresses->asking && i < DEFINITION_ADAPTERS_MAX; i++) {
		if (!addresses->adapters[i].outdated)
			continue;
		r = ask(addresses, i);
		if (r < 0)
			addresses->asking = false;
		if (r < 0 && r != -EOPNOTSUPP)
			addresses->adapters[i].outdated = true;
	}
}

static bool has_addresses(const struct guest_addresses *addresses)
{
	const struct ic_kvp_guest *guest = ic_kvp_guest(addresses->config.kvp);

	return guest->ipv4[0] != '\0' || guest->ipv6[0] != '\0';
}

/* ---- What happens ---- */

void guest_addresses_guest(struct guest_addresses *addresses)
{
	for (unsigned i = 0; i < DEFINITION_ADAPTERS_MAX; i++)
		addresses->adapters[i].outdated = true;
	if (!has_addresses(addresses))
		guest_addresses_refreshed(addresses);
}

void guest_addresses_refreshed(struct guest_addresses *addresses)
{
	if (has_addresses(addresses)) {
		ask_next(addresses);
		return;
	}
	for (unsigned i = 0; i < DEFINITION_ADAPTERS_MAX; i++)
		set_addresses(addresses, i, "");
}

void guest_addresses_connected(struct guest_addresses *addresses, const char *adapter)
{
	for (unsigned i = 0; i < DEFINITION_ADAPTERS_MAX; i++) {
		const char *name = adapters_name(addresses->config.adapters, i);

		if (!name || strcmp(name, adapter) != 0)
			continue;
		addresses->adapters[i].outdated = true;
		addresses->adapters[i].pending = true;
	}
	ic_kvp_refresh_soon(addresses->config.kvp);
}

int guest_addresses_new(const struct guest_addresses_config *config,
			struct guest_addresses **ret_addresses)
{
	struct guest_addresses *addresses = calloc(1, sizeof(*addresses));

	if (!addresses)
		return -ENOMEM;
	addresses->config = *config;
	*ret_addresses = addresses;
	return 0;
}

void guest_addresses_free(struct guest_addresses *addresses)
{
	free(addresses);
}

/* ---- State ---- */

#define ADDRESSES_STATE_VERSION 1

/* A record: for each adapter of which something was told, this and the addresses. */
struct addresses_state {
	char name[DEFINITION_ADAPTER_NAME_MAX]; /* the adapter's, with zeros behind it */
	uint32_t size;                          /* bytes of addresses */
	uint32_t reserved;
};
_Static_assert(sizeof(struct addresses_state) == 40, "stored format");

void guest_addresses_save(const struct guest_addresses *addresses, struct state_writer *writer)
{
	state_begin(writer, guest_addresses_ops.name, ADDRESSES_STATE_VERSION);
	for (unsigned i = 0; i < DEFINITION_ADAPTERS_MAX; i++) {
		const char *name = adapters_name(addresses->config.adapters, i);
		const char *text = addresses->adapters[i].addresses;
		struct addresses_state state = { .size = (uint32_t)strlen(text) };

		if (!name || state.size == 0)
			continue;
		memcpy(state.name, name, strlen(name));
		state_put(writer, &state, sizeof(state));
		state_put(writer, text, state.size);
	}
	state_end(writer);
}

/* Whose name it is; DEFINITION_ADAPTERS_MAX: nobody's here. */
static unsigned adapter_number(const struct guest_addresses *addresses,
			       const struct addresses_state *state)
{
	char wanted[DEFINITION_ADAPTER_NAME_MAX + 1] = "";
	unsigned i;

	memcpy(wanted, state->name, sizeof(state->name));
	for (i = 0; i < DEFINITION_ADAPTERS_MAX; i++) {
		const char *name = adapters_name(addresses->config.adapters, i);

		if (name && strcmp(name, wanted) == 0)
			break;
	}
	return i;
}

/* Return: 0; STATE_E_. */
static int addresses_restore_one(struct guest_addresses *addresses, struct state_record *record)
{
	char text[IC_KVP_ADDRESSES_MAX];
	struct addresses_state state;
	const char *bytes;
	unsigned number;

	if (state_get(record, &state, sizeof(state)) || state.size >= sizeof(text))
		return STATE_E_INVALID;
	bytes = state_take(record, state.size);
	number = adapter_number(addresses, &state);
	if (!bytes || number == DEFINITION_ADAPTERS_MAX)
		return STATE_E_INVALID;
	text_repair(text, sizeof(text), bytes, state.size);
	set_addresses(addresses, number, text);
	return 0;
}

int guest_addresses_restore(struct guest_addresses *addresses, const struct state_reader *reader)
{
	struct state_record record;
	int r;

	r = state_find(reader, guest_addresses_ops.name, ADDRESSES_STATE_VERSION, &record);
	while (r == 0 && record.left > 0)
		r = addresses_restore_one(addresses, &record);
	return r;
}

static int guest_addresses_device_save(void *device, struct state_writer *writer)
{
	guest_addresses_save(device, writer);
	return 0;
}

static int guest_addresses_device_restore(void *device, struct state_reader *reader,
					  struct failure *failure)
{
	return device_restore_result(guest_addresses_restore(device, reader),
				     guest_addresses_ops.name, failure);
}

/* ---- The device ---- */

/* Asks no guest on behalf of nobody. */
static int guest_addresses_make(struct device_config *config, void **ret_device,
				struct failure *failure)
{
	const struct guest_addresses_config addresses = {
		.adapters = devices_get(config->devices, DEVICE_NETWORK),
		.kvp = devices_get(config->devices, DEVICE_KVP),
		.changed = config->callbacks->addresses,
		.data = config->data,
	};

	if (config->alone || !addresses.kvp)
		return 0;
	return guest_addresses_new(&addresses, (struct guest_addresses **)ret_device);
}

static void guest_addresses_end(void *device)
{
	guest_addresses_free(device);
}

const struct device_ops guest_addresses_ops = {
	.name = "addresses",
	.kind = DEVICE_SYNTHETIC,
	.make = guest_addresses_make,
	.free = guest_addresses_end,
	.save = guest_addresses_device_save,
	.restore = guest_addresses_device_restore,
};
