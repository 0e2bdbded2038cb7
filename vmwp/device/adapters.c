/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network adapters of a machine. */
#include "vmwp/device/devices.h"

#include "common/base/state.h"
#include "vmwp/resource/resources.h"
#include "vsp/network/network.h"
#include "vsp/vmbus/vmbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REMOVAL_TIMEOUT UINT64_C(20000000000) /* nanoseconds: a guest may be busy */

struct adapter {
	struct adapters *adapters;
	struct network_adapter *network; /* NULL: the place is free */
	char name[DEFINITION_ADAPTER_NAME_MAX + 1];
	bool leaving;
	void (*gone)(void *data);
	void *gone_data;
};

struct adapters {
	const struct device_config *config;
	struct adapter list[DEFINITION_ADAPTERS_MAX];
	struct network_counters past; /* of adapters that have left */
	struct device_quiet quiet;
};

/* ---- Identity ---- */

/* FNV-1a: the same for the same VM and name, and different for others as far as 64 bits go. */
static uint64_t adapter_hash(const struct guid *machine, const char *name, uint64_t seed)
{
	const uint8_t *bytes = (const uint8_t *)machine;
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ seed;

	for (size_t i = 0; i < sizeof(*machine); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 29;
}

/* Guests know an adapter again by its instance, and by its MAC address. */
static void adapter_identify(const struct guid *machine,
			     const struct definition_adapter *definition,
			     struct network_options *options)
{
	static const uint8_t prefix[] = { DEFINITION_MAC_PREFIX };
	const uint64_t hashes[2] = { adapter_hash(machine, definition->name, 1),
				     adapter_hash(machine, definition->name, 2) };

	options->instance = definition->instance;
	if (guid_is_null(&options->instance))
		memcpy(&options->instance, hashes, sizeof(options->instance));
	memcpy(options->mac, definition->mac, sizeof(options->mac));
	if (definition_mac_is_null(options->mac)) {
		memcpy(options->mac, prefix, sizeof(prefix));
		memcpy(options->mac + sizeof(prefix), &hashes[0], 3);
	}
}

/* ---- Networks ---- */

static int adapter_open_backend(struct adapters *adapters, const char *name,
				enum control_backend kind, const int *fds, unsigned fd_count,
				struct net_backend **ret_backend, struct failure *failure)
{
	struct loop *loop = adapters->config->loop;
	int r = -EINVAL;

	if (kind == CONTROL_BACKEND_TAP)
		r = net_tap_new(loop, fds, fd_count, ret_backend);
	else if (kind == CONTROL_BACKEND_SOCKET && fd_count == 1)
		r = net_socket_new(loop, fds[0], ret_backend);
	if (r == -EINVAL && kind == CONTROL_BACKEND_SOCKET && fd_count == 1)
		r = net_null_new(fds[0], ret_backend);
	if (r == -EINVAL) {
		failure_set(failure, 0,
			    "The %u descriptors for adapter %s are no %s that can be used.",
			    fd_count, name, control_backend_names[kind]);
		return ADAPTERS_E_REFUSED;
	}
	if (r < 0)
		failure_set(failure, r, "The network of adapter %s cannot be used: %s.", name,
			    strerror(-r));
	return r;
}

static void adapters_tell_connected(struct adapters *adapters, const char *name)
{
	adapters->config->callbacks->network_connected(adapters->config->data, name);
}

static void adapter_network_ended(void *data)
{
	struct adapter *adapter = data;

	adapter->adapters->config->callbacks->network_ended(adapter->adapters->config->data,
							    adapter->name);
}

static void adapter_connect(struct adapter *adapter, struct net_backend *backend)
{
	network_adapter_connect(adapter->network, backend);
	adapters_tell_connected(adapter->adapters, adapter->name);
}

/* ---- Coming and going ---- */

static struct adapter *adapters_find(struct adapters *adapters, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network && strcmp(adapters->list[i].name, name) == 0)
			return &adapters->list[i];
	return NULL;
}

static struct adapter *adapters_find_place(struct adapters *adapters)
{
	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (!adapters->list[i].network)
			return &adapters->list[i];
	return NULL;
}

static int adapter_init(struct adapter *adapter, struct adapters *adapters,
			const struct definition_adapter *definition)
{
	struct network_options options = {
		.name = adapter->name,
		.channel_max = definition_adapter_queues(
			definition, adapters->config->definition->processors.count),
		.mtu = definition->mtu,
		.mac_changeable = definition->mac_spoofing,
		.ended = adapter_network_ended,
		.data = adapter,
	};

	*adapter = (struct adapter){ .adapters = adapters };
	strcpy(adapter->name, definition->name);
	adapter_identify(&adapters->config->definition->uuid, definition, &options);
	return network_adapter_new(adapters->config->bus, &options, &adapter->network);
}

int adapters_attach(struct adapters *adapters, const struct definition_adapter *definition,
		    enum control_backend kind, const int *fds, unsigned fd_count,
		    struct failure *failure)
{
	struct adapter *adapter = adapters_find_place(adapters);
	struct net_backend *backend;
	int r;

	if (adapters_find(adapters, definition->name)) {
		failure_set(failure, 0, "There is an adapter %s already.", definition->name);
		return ADAPTERS_E_TAKEN;
	}
	if (!adapter) {
		failure_set(failure, 0, "A VM can have %d adapters and no more.",
			    DEFINITION_ADAPTERS_MAX);
		return ADAPTERS_E_REFUSED;
	}
	r = adapter_init(adapter, adapters, definition);
	if (r < 0)
		return failure_set(failure, r, "Adapter %s cannot be offered: %s.",
				   definition->name, strerror(-r));
	if (kind == CONTROL_BACKEND_NONE) {
		adapters_tell_connected(adapters, definition->name);
		return 0;
	}
	r = adapter_open_backend(adapters, definition->name, kind, fds, fd_count, &backend,
				 failure);
	if (r) {
		network_adapter_remove(TAKE_PTR(adapter->network), 0, NULL, NULL);
		return r;
	}
	adapter_connect(adapter, backend);
	return 0;
}

static struct adapter *adapters_find_present(struct adapters *adapters, const char *name,
					     struct failure *failure)
{
	struct adapter *adapter = adapters_find(adapters, name);

	if (adapter && !adapter->leaving)
		return adapter;
	failure_set(failure, 0, "There is no adapter %s.", name);
	return NULL;
}

static void adapter_removed(void *data)
{
	struct adapter *adapter = data;
	void (*gone)(void *data) = adapter->gone;

	adapter->network = NULL;
	if (gone)
		gone(adapter->gone_data);
}

static void add_counters(const struct adapter *adapter, struct network_counters *sum)
{
	struct network_counters counters;

	network_adapter_counters(adapter->network, &counters);
	sum->sent_frames += counters.sent_frames;
	sum->sent_bytes += counters.sent_bytes;
	sum->sent_dropped += counters.sent_dropped;
	sum->received_frames += counters.received_frames;
	sum->received_bytes += counters.received_bytes;
	sum->received_dropped += counters.received_dropped;
}

int adapters_detach(struct adapters *adapters, const char *name, void (*done)(void *data),
		    void *data, struct failure *failure)
{
	struct adapter *adapter = adapters_find_present(adapters, name, failure);

	if (!adapter)
		return ADAPTERS_E_ABSENT;
	add_counters(adapter, &adapters->past);
	adapter->leaving = true;
	adapter->gone = done;
	adapter->gone_data = data;
	network_adapter_remove(adapter->network, REMOVAL_TIMEOUT, adapter_removed, adapter);
	return 0;
}

int adapters_connect(struct adapters *adapters, const char *name, enum control_backend kind,
		     const int *fds, unsigned fd_count, struct failure *failure)
{
	struct adapter *adapter = adapters_find_present(adapters, name, failure);
	struct net_backend *backend;
	int r;

	if (!adapter)
		return ADAPTERS_E_ABSENT;
	if (kind == CONTROL_BACKEND_NONE) {
		network_adapter_disconnect(adapter->network);
		return 0;
	}
	r = adapter_open_backend(adapters, name, kind, fds, fd_count, &backend, failure);
	if (r)
		return r;
	adapter_connect(adapter, backend);
	return 0;
}

const char *adapters_name(const struct adapters *adapters, unsigned number)
{
	const struct adapter *adapter = &adapters->list[number];

	return adapter->network && !adapter->leaving ? adapter->name : NULL;
}

const uint8_t *adapters_mac(const struct adapters *adapters, unsigned number)
{
	return network_adapter_current_mac(adapters->list[number].network);
}

/* ---- All of them ---- */

/* What the resources have for an adapter. Return: its kind. */
static enum control_backend take_descriptors(struct resources *resources, const char *name,
					     int *fds, unsigned *ret_count)
{
	char resource[RESOURCES_NAME_MAX];
	unsigned count = 0;

	resources_socket_name(name, resource);
	fds[0] = resources_take(resources, resource);
	*ret_count = 1;
	if (fds[0] >= 0)
		return CONTROL_BACKEND_SOCKET;
	while (count < DEFINITION_ADAPTER_QUEUES_MAX) {
		resources_tap_name(name, count, resource);
		fds[count] = resources_take(resources, resource);
		if (fds[count] < 0)
			break;
		count++;
	}
	*ret_count = count;
	return count > 0 ? CONTROL_BACKEND_TAP : CONTROL_BACKEND_NONE;
}

static int adapters_add(struct adapters *adapters, const struct definition_adapter *definition,
			struct resources *resources, struct failure *failure)
{
	int fds[DEFINITION_ADAPTER_QUEUES_MAX];
	enum control_backend kind;
	unsigned count;
	int r;

	kind = take_descriptors(resources, definition->name, fds, &count);
	r = adapters_attach(adapters, definition, kind, fds, count, failure);
	for (unsigned i = 0; r && kind != CONTROL_BACKEND_NONE && i < count; i++)
		close(fds[i]);
	return r > 0 ? -EINVAL : r;
}

static int adapters_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	const struct definition_network *network = &config->definition->network;
	struct adapters *adapters = calloc(1, sizeof(*adapters));
	int r = 0;

	if (!adapters)
		return -ENOMEM;
	adapters->config = config;
	*ret_device = adapters;
	for (unsigned i = 0; r == 0 && i < network->adapter_count; i++)
		r = adapters_add(adapters, &network->adapters[i], config->resources, failure);
	if (r < 0)
		return failure_set(failure, r, "The network adapters cannot be offered: %s.",
				   strerror(-r));
	return 0;
}

static void adapters_free(void *device)
{
	struct adapters *adapters = device;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		network_adapter_free(adapters->list[i].network);
	free(adapters);
}

/* What the loop still holds is freed by and by. */
static void adapters_discard(void *device)
{
	struct adapters *adapters = device;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network)
			network_adapter_remove(adapters->list[i].network, 0, NULL, NULL);
	free(adapters);
}

/* ---- State ---- */

static void adapters_quiesce(void *device, void (*done)(void *data), void *data)
{
	struct adapters *adapters = device;

	device_quiet_begin(&adapters->quiet, done, data);
	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++) {
		if (!adapters->list[i].network)
			continue;
		device_quiet_await(&adapters->quiet);
		network_adapter_quiesce(adapters->list[i].network, device_quiet_one,
					&adapters->quiet);
	}
	device_quiet_one(&adapters->quiet);
}

static void adapters_resume(void *device)
{
	struct adapters *adapters = device;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network)
			network_adapter_resume(adapters->list[i].network);
}

/* "network/", and the instance. */
static void adapter_record_name(const struct adapter *adapter, char name[STATE_NAME_MAX + 1])
{
	struct guid instance = network_adapter_instance(adapter->network);
	char text[GUID_TEXT_SIZE];

	guid_format(&instance, text);
	snprintf(name, STATE_NAME_MAX + 1, "%s/%s", adapters_ops.name, text);
}

static int adapters_save(void *device, struct state_writer *writer)
{
	struct adapters *adapters = device;
	char name[STATE_NAME_MAX + 1];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(adapters->list); i++) {
		if (!adapters->list[i].network)
			continue;
		adapter_record_name(&adapters->list[i], name);
		r = network_adapter_save(adapters->list[i].network, name, writer);
	}
	return r;
}

static int adapters_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	struct adapters *adapters = device;
	char name[STATE_NAME_MAX + 1];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(adapters->list); i++) {
		if (!adapters->list[i].network)
			continue;
		adapter_record_name(&adapters->list[i], name);
		r = device_restore_result(
			network_adapter_restore(adapters->list[i].network, name, reader), name,
			failure);
	}
	return r;
}

/* ---- Reports ---- */

static struct json_object *adapter_status(const struct adapter *adapter)
{
	const char *backend = network_adapter_backend(adapter->network);
	struct network_counters counters;
	char mac[DEFINITION_MAC_TEXT_SIZE];

	network_adapter_counters(adapter->network, &counters);
	definition_mac_format(network_adapter_mac(adapter->network), mac);
	return json_make("name", json_object_new_string(adapter->name), "mac",
			 json_object_new_string(mac), "backend", json_object_new_string(backend),
			 "link", json_object_new_boolean(strcmp(backend, "none") != 0), "channels",
			 json_object_new_int64(counters.channels), "received",
			 json_make("frames", json_object_new_uint64(counters.received_frames),
				   "bytes", json_object_new_uint64(counters.received_bytes),
				   "dropped", json_object_new_uint64(counters.received_dropped),
				   NULL),
			 "sent",
			 json_make("frames", json_object_new_uint64(counters.sent_frames), "bytes",
				   json_object_new_uint64(counters.sent_bytes), "dropped",
				   json_object_new_uint64(counters.sent_dropped), NULL),
			 "refused", json_object_new_uint64(counters.refused), NULL);
}

static void adapters_status(void *device, struct json_object **tree)
{
	struct json_object *list = json_object_new_array();
	struct adapters *adapters = device;

	for (size_t i = 0; adapters && i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network && !adapters->list[i].leaving)
			json_append(&list, adapter_status(&adapters->list[i]));
	json_add(tree, "network", list);
}

/* With those that are leaving. */
static void adapters_inspect(void *device, struct json_object **tree)
{
	struct json_object *list = json_object_new_array();
	struct adapters *adapters = device;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++) {
		const struct adapter *adapter = &adapters->list[i];

		if (adapter->network)
			json_append(&list,
				    json_make("name", json_object_new_string(adapter->name),
					      "adapter", network_adapter_inspect(adapter->network),
					      NULL));
	}
	json_add(tree, "network", list);
}

/* The sum of all, those that are gone too. */
static void adapters_counters(void *device, struct json_object **tree)
{
	struct adapters *adapters = device;
	struct network_counters sum = adapters->past;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network && !adapters->list[i].leaving)
			add_counters(&adapters->list[i], &sum);
	json_add(tree, "network",
		 json_make("sent_frames", json_object_new_uint64(sum.sent_frames), "sent_bytes",
			   json_object_new_uint64(sum.sent_bytes), "sent_dropped",
			   json_object_new_uint64(sum.sent_dropped), "received_frames",
			   json_object_new_uint64(sum.received_frames), "received_bytes",
			   json_object_new_uint64(sum.received_bytes), "received_dropped",
			   json_object_new_uint64(sum.received_dropped), NULL));
}

static int adapters_hand_over(void *device, struct handover *handover, struct failure *failure)
{
	const struct adapters *adapters = device;

	for (size_t i = 0; i < ARRAY_SIZE(adapters->list); i++)
		if (adapters->list[i].network)
			return failure_set(failure, -ENOTSUP,
					   "Adapter %s cannot be handed over: no network can, "
					   "until now.",
					   adapters->list[i].name);
	return 0;
}

const struct device_ops adapters_ops = {
	.name = "network",
	.kind = DEVICE_SYNTHETIC,
	.make = adapters_make,
	.free = adapters_free,
	.discard = adapters_discard,
	.quiesce = adapters_quiesce,
	.resume = adapters_resume,
	.save = adapters_save,
	.restore = adapters_restore,
	.hand_over = adapters_hand_over,
	.status = adapters_status,
	.inspect = adapters_inspect,
	.counters = adapters_counters,
};
