/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which adapter has which addresses.
 *
 * One question is under way at a time, so that those of others find room in the service's queue.
 * Questions follow a refresh: what cannot be asked then is asked after the next.
 */
#include "vmwp/device/devices.h"

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
};
