/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network adapter of a VM that has a worker: making, changing and removing its back end. */
#include "vmms/vm/adapter.h"

#include "common/base/log.h"
#include "vmms/base/fault.h"
#include "vmms/base/plain_socket.h"
#include "vmms/network/network.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_record.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DELAY_MAX 60 /* seconds between attempts to start passt */
#define STEADY    60 /* seconds that it has to run for the attempts to begin anew */

void adapter_descriptors_close(struct adapter_descriptors *descriptors)
{
	struct vm *vm = descriptors->vm;

	plain_sockets_let_go(vm ? vm->manager->helpers : NULL, vm ? vm_owner(vm) : NULL,
			     descriptors->fds, descriptors->count);
	descriptors->count = 0;
}

static void adapter_set_reason(struct adapter *adapter, const char *reason)
{
	if (strcmp(adapter->reason, reason) == 0)
		return;
	snprintf(adapter->reason, sizeof(adapter->reason), "%s", reason);
	if (reason[0] != '\0')
		vm_log(adapter->vm, VM_EVENT_NETWORK, LOG_LEVEL_WARNING, "adapter %s is down: %s",
		       adapter->name, reason);
	vm_notify(adapter->vm, "Adapters", NULL);
}

/* ---- A tap ---- */

static void adapter_format_alias(const struct adapter *adapter,
				 char alias[static NETWORK_ALIAS_MAX + 1])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(&adapter->vm->definition->uuid, uuid);
	snprintf(alias, NETWORK_ALIAS_MAX + 1, "vmms:%s:%s", uuid, adapter->name);
}

/* Others may have that name, or number, by now. */
static bool adapter_is_tap_of(const struct adapter *adapter, const struct network_link *link)
{
	char alias[NETWORK_ALIAS_MAX + 1];

	adapter_format_alias(adapter, alias);
	return strcmp(link->kind, "tun") == 0 && strcmp(link->alias, alias) == 0;
}

/*
 * Its own MAC address, which is not the guest's, is the highest there can be: a bridge that was not
 * given one takes the lowest of its ports', and the administrator's must not change it for a guest.
 */
static int adapter_mark_tap(struct adapter *adapter, const struct definition_adapter *definition,
			    struct network *network)
{
	char alias[NETWORK_ALIAS_MAX + 1];
	uint8_t mac[DEFINITION_MAC_SIZE];
	int r;

	memcpy(mac, definition->mac, sizeof(mac));
	mac[0] = 0xfe;
	if (memcmp(mac, definition->mac, sizeof(mac)) == 0)
		mac[1] ^= 0xff;
	r = network_set_mac(network, adapter->tap.index, mac);
	if (r < 0)
		return r;
	adapter_format_alias(adapter, alias);
	return network_set_alias(network, adapter->tap.index, alias);
}

static int adapter_open_tap(struct adapter *adapter, const struct definition_adapter *definition,
			    struct network *network, struct adapter_descriptors *descriptors)
{
	unsigned queues =
		definition_adapter_queues(definition, adapter->vm->definition->processors.count);
	char name[IFNAMSIZ];
	int r;

	r = network_tap_open(queues, name, descriptors->fds);
	if (r < 0)
		return r;
	descriptors->count = queues;
	fault_point(FAULT_TAP_OPENED);
	r = network_find_link(network, name, &adapter->tap);
	return r == 0 ? adapter_mark_tap(adapter, definition, network) : r;
}

static int adapter_connect_tap(struct adapter *adapter, const struct definition_adapter *definition,
			       struct adapter_descriptors *descriptors, struct failure *failure)
{
	struct vswitches *switches = adapter->vm->manager->switches;
	struct vswitch *vswitch;
	int r;

	r = vswitches_have(switches, definition->switch_name, &vswitch, failure);
	if (r < 0 && strcmp(failure->name, DBUS_ERROR_NO_SUCH_SWITCH) == 0)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_SWITCH,
				   "adapter '%s' of VM '%s': there is no virtual switch '%s'; "
				   "'vmctl switch add' makes it, 'vmctl net set' connects the "
				   "adapter to another",
				   adapter->name, adapter->vm->definition->name,
				   definition->switch_name);
	if (r == 0)
		r = vswitch_check_adapter(vswitch, definition, failure);
	if (r < 0)
		return r;
	adapter->backend = ADAPTER_TAP;
	r = adapter_open_tap(adapter, definition, switches->network, descriptors);
	if (r < 0)
		return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
				   "cannot make a tap for adapter '%s' of VM '%s': %s; load the "
				   "module tun",
				   adapter->name, adapter->vm->definition->name, strerror(-r));
	return vswitch_connect(vswitch, &adapter->tap, definition, failure);
}

int adapter_apply(struct adapter *adapter, const struct definition_adapter *definition,
		  struct failure *failure)
{
	struct vswitch *vswitch;
	int r;

	if (adapter->backend != ADAPTER_TAP)
		return 0;
	r = vswitches_have(adapter->vm->manager->switches, definition->switch_name, &vswitch,
			   failure);
	if (r == 0)
		r = vswitch_connect(vswitch, &adapter->tap, definition, failure);
	if (r == 0)
		adapter_set_reason(adapter, "");
	return r;
}

void adapter_reconnect(struct adapter *adapter, const struct definition_adapter *definition)
{
	struct failure failure;

	/* One without a tap gets another, with which it is connected. */
	if (adapter_is_whole(adapter) && adapter_apply(adapter, definition, &failure) < 0)
		adapter_set_reason(adapter, failure.message);
}

bool adapter_is_whole(const struct adapter *adapter)
{
	struct network_link link;

	return adapter->backend != ADAPTER_TAP ||
	       (adapter->tap.index != 0 &&
		network_get_link(adapter->vm->manager->switches->network, adapter->tap.index,
				 &link) == 0 &&
		adapter_is_tap_of(adapter, &link));
}

/* It goes with its last descriptor; but the worker may be slow to close its own. */
static void adapter_remove_tap(struct adapter *adapter)
{
	struct vswitches *switches = adapter->vm->manager->switches;
	struct network_link link;

	if (adapter->tap.index == 0)
		return;
	if (switches->guard)
		network_guard_forget(switches->guard, adapter->tap.name);
	if (network_get_link(switches->network, adapter->tap.index, &link) == 0 &&
	    adapter_is_tap_of(adapter, &link) &&
	    network_delete_link(switches->network, link.index) < 0)
		log_debug("%s has gone by itself", adapter->tap.name);
}

/* ---- The user-mode network ---- */

static int adapter_start_passt(struct adapter *adapter, const struct definition_adapter *definition,
			       struct adapter_descriptors *descriptors);
static void adapter_start_later(struct adapter *adapter);

/* The worker has another back end in the place of one that has ended. */
static void adapter_send_backend(struct adapter *adapter,
				 const struct adapter_descriptors *descriptors)
{
	AUTO_JSON struct json_object *arguments =
		json_make("name", json_object_new_string(adapter->name), "backend",
			  json_object_new_string(adapter_backend_name(adapter)), NULL);
	int r;

	r = arguments ? worker_request(adapter->vm->run.worker, "connect_adapter", arguments,
				       descriptors->fds, descriptors->count,
				       adapter->vm->manager->settings.answer_timeout, NULL, NULL)
		      : -ENOMEM;
	if (r < 0)
		adapter_set_reason(adapter, strerror(-r));
	vm_record_save(adapter->vm);
}

static void reconnect(struct adapter *adapter)
{
	CLEANUP(adapter_descriptors_close) struct adapter_descriptors descriptors = { 0 };
	struct definition_adapter *definition =
		definition_find_adapter(&adapter->vm->definition->network, adapter->name);
	int r;

	if (!definition || !adapter->vm->run.worker)
		return;
	r = adapter_start_passt(adapter, definition, &descriptors);
	if (r == 0 && descriptors.count > 0)
		adapter_send_backend(adapter, &descriptors);
}

static int adapter_restart_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct adapter *adapter = data;

	adapter->restart = sd_event_source_disable_unref(adapter->restart);
	if (adapter->vm->state == VM_STARTING)
		adapter_start_later(adapter);
	else
		reconnect(adapter);
	return 0;
}

static void adapter_start_later(struct adapter *adapter)
{
	adapter->delay = MIN(MAX(2 * adapter->delay, 1u), (unsigned)DELAY_MAX);
	if (!adapter->restart &&
	    sd_event_add_time_relative(adapter->vm->manager->loop, &adapter->restart,
				       CLOCK_MONOTONIC, adapter->delay * UINT64_C(1000000), 0,
				       adapter_restart_due, adapter) < 0)
		log_error("out of memory");
}

static uint64_t adapter_now(const struct adapter *adapter)
{
	uint64_t time = 0;

	(void)sd_event_now(adapter->vm->manager->loop, CLOCK_MONOTONIC, &time);
	return time;
}

static void adapter_passt_ended(void *owner, const char *words)
{
	struct adapter *adapter = owner;
	char reason[ADAPTER_REASON_MAX];

	if (adapter_now(adapter) - adapter->started > STEADY * UINT64_C(1000000))
		adapter->delay = 0;

	passt_free(TAKE_PTR(adapter->passt));
	/* With the worker, whose end has not been noticed yet. */
	if (adapter->vm->state == VM_STOPPING)
		return;
	snprintf(reason, sizeof(reason), "passt has ended: %s", words);
	adapter_set_reason(adapter, reason);
	adapter_start_later(adapter);
}

/*
 * One adapter that may reach the host's loopback is enough: they are one guest's, and one user's.
 * fresh: one that takes the place of that of its name, or NULL.
 */
static bool adapter_may_reach_loopback(const struct vm *vm, const struct definition_adapter *fresh)
{
	const struct definition_network *network = &vm->definition->network;

	if (fresh && fresh->host_loopback)
		return true;
	for (unsigned i = 0; i < network->adapter_count; i++) {
		const struct definition_adapter *adapter = &network->adapters[i];

		if (adapter->host_loopback && (!fresh || strcmp(adapter->name, fresh->name) != 0))
			return true;
	}
	return false;
}

/* Without privilege, or nftables, what passt(1) itself does about it is all there is. */
static void adapter_close_loopback(struct vm *vm, bool closed)
{
	struct vswitches *switches = vm->manager->switches;
	struct network_guard *guard;
	struct failure failure;
	int r;

	if (vm->run.user == 0 || !switches->network)
		return;
	r = vswitches_guard(switches, &guard, &failure);
	if (r == 0)
		r = network_guard_close_loopback(guard, vm->run.user, closed);
	else
		log_debug("%s", failure.message);
	if (r < 0)
		log_warning("VM %s: nftables do not keep its guest from the host's loopback: %s",
			    vm->definition->name, strerror(-r));
}

void adapter_guard_loopback(struct vm *vm)
{
	bool used = false;

	list_for_each (link, &vm->adapters)
		used = used || container_of(link, struct adapter, link)->backend == ADAPTER_USER;
	if (used || vm->manager->switches->guard)
		adapter_close_loopback(vm, used && !adapter_may_reach_loopback(vm, NULL));
}

static int adapter_start_passt(struct adapter *adapter, const struct definition_adapter *definition,
			       struct adapter_descriptors *descriptors)
{
	char profile[APPARMOR_NAME_SIZE];
	struct passt_config config = { .program = adapter->vm->manager->settings.passt,
				       .adapter = definition,
				       .user = adapter->vm->run.user,
				       .profile = vm_confinement_profile(adapter->vm,
									 APPARMOR_NETWORK, profile),
				       .ended = adapter_passt_ended,
				       .owner = adapter };
	char reason[ADAPTER_REASON_MAX];
	int r;

	adapter_close_loopback(adapter->vm, !adapter_may_reach_loopback(adapter->vm, definition));
	r = passt_start(adapter->vm->manager->loop, &config, &adapter->passt, descriptors->fds);
	if (r == 0) {
		descriptors->count = 1;
		descriptors->vm = adapter->vm;
		adapter->started = adapter_now(adapter);
		adapter_set_reason(adapter, "");
		return 0;
	}
	snprintf(reason, sizeof(reason), "cannot run %s: %s%s", config.program, strerror(-r),
		 r == -ENOENT ? "; install the package passt" : "");
	adapter_set_reason(adapter, reason);
	adapter_start_later(adapter);
	return r;
}

/* ---- A tap that somebody has deleted ---- */

void adapter_restore(struct adapter *adapter)
{
	CLEANUP(adapter_descriptors_close) struct adapter_descriptors descriptors = { 0 };
	const struct definition_adapter *definition =
		definition_find_adapter(&adapter->vm->definition->network, adapter->name);
	struct vswitch *vswitch =
		definition ? vswitches_find(adapter->vm->manager->switches, definition->switch_name)
			   : NULL;
	struct failure failure;

	capture_free(TAKE_PTR(adapter->capture));
	adapter_set_reason(adapter, "its interface was deleted");
	adapter_remove_tap(adapter);
	adapter->tap = (struct network_link){ 0 };
	/* A switch that is down is not tried for that: it tells when it is up again. */
	if (!vswitch || !vswitch_is_up(vswitch))
		return;
	if (adapter_connect_tap(adapter, definition, &descriptors, &failure) < 0) {
		adapter_set_reason(adapter, failure.message);
		return;
	}
	adapter_set_reason(adapter, "");
	adapter_send_backend(adapter, &descriptors);
}

/* ---- Life ---- */

static int adapter_connect_backend(struct adapter *adapter,
				   const struct definition_adapter *definition,
				   struct adapter_descriptors *descriptors, struct failure *failure)
{
	if (strcmp(definition->switch_name, DEFINITION_SWITCH_NONE) == 0) {
		snprintf(adapter->reason, sizeof(adapter->reason), "not connected");
		return 0;
	}
	if (strcmp(definition->switch_name, DEFINITION_SWITCH_DEFAULT) != 0)
		return adapter_connect_tap(adapter, definition, descriptors, failure);
	adapter->backend = ADAPTER_USER;
	(void)adapter_start_passt(adapter, definition, descriptors);
	return 0;
}

static struct adapter *adapter_make(struct vm *vm, const char *name)
{
	struct adapter *adapter = calloc(1, sizeof(*adapter));

	if (!adapter)
		return NULL;
	list_init(&adapter->link);
	adapter->vm = vm;
	snprintf(adapter->name, sizeof(adapter->name), "%s", name);
	return adapter;
}

int adapter_new(struct vm *vm, const struct definition_adapter *definition,
		struct adapter **ret_adapter, struct adapter_descriptors *ret_descriptors,
		struct failure *failure)
{
	CLEANUP(adapter_freep) struct adapter *adapter = adapter_make(vm, definition->name);
	int r;

	if (!adapter)
		return failure_no_memory(failure);
	r = adapter_connect_backend(adapter, definition, ret_descriptors, failure);
	if (r < 0)
		return r;
	*ret_adapter = TAKE_PTR(adapter);
	return 0;
}

void adapter_free(struct adapter *adapter)
{
	if (!adapter)
		return;
	list_unlink(&adapter->link);
	capture_free(adapter->capture);
	sd_event_source_disable_unref(adapter->restart);
	passt_free(adapter->passt);
	adapter_remove_tap(adapter);
	free(adapter);
}

/* ---- From one daemon to the next ---- */

struct json_object *adapter_to_json(const struct adapter *adapter)
{
	const struct process none = { 0 };
	const struct process *process = adapter->passt ? passt_process(adapter->passt) : &none;

	return json_make("name", json_object_new_string(adapter->name), "backend",
			 json_object_new_int64(adapter->backend), "tap",
			 json_object_new_string(adapter->tap.name), "pid",
			 json_object_new_int64(process->pid), "start_time",
			 json_object_new_uint64(process->start_time), NULL);
}

struct record {
	char *name, *tap;
	unsigned backend;
	uint64_t pid, start_time;
};

#define MEMBER(member, reader, most)                                                        \
	{                                                                                   \
		.name = #member, .read = reader, .offset = offsetof(struct record, member), \
		.maximum = most, .required = true                                           \
	}

static const struct json_key record_keys[] = {
	MEMBER(name, json_read_string, DEFINITION_ADAPTER_NAME_MAX),
	MEMBER(backend, json_read_unsigned, ADAPTER_USER),
	MEMBER(tap, json_read_string, IFNAMSIZ - 1),
	MEMBER(pid, json_read_uint64, INT_MAX),
	MEMBER(start_time, json_read_uint64, UINT64_MAX),
};

static int adapter_adopt_tap(struct adapter *adapter, const struct definition_adapter *definition,
			     const char *tap)
{
	struct vswitches *switches = adapter->vm->manager->switches;
	struct network_link link;
	struct failure failure;

	if (!switches->network)
		return -EPERM;
	if (network_find_link(switches->network, tap, &link) < 0 ||
	    !adapter_is_tap_of(adapter, &link)) {
		adapter_set_reason(adapter, "its interface was deleted");
		return 0; /* another is made when the worker answers */
	}
	adapter->tap = link;
	if (adapter_apply(adapter, definition, &failure) < 0)
		adapter_set_reason(adapter, failure.message);
	return 0;
}

static void adapter_adopt_passt(struct adapter *adapter, const struct process *process)
{
	const struct passt_config config = { .ended = adapter_passt_ended, .owner = adapter };

	adapter->started = adapter_now(adapter);
	adapter_close_loopback(adapter->vm, !adapter_may_reach_loopback(adapter->vm, NULL));
	if (passt_adopt(adapter->vm->manager->loop, &config, process, &adapter->passt) == 0)
		return;
	adapter_set_reason(adapter, "passt has ended");
	adapter_start_later(adapter);
}

static int adopt(struct adapter *adapter, const struct record *record)
{
	const struct process process = { (pid_t)record->pid, record->start_time };
	const struct definition_adapter *definition =
		definition_find_adapter(&adapter->vm->definition->network, adapter->name);

	if (!definition)
		return -EINVAL;
	adapter->backend = (enum adapter_backend)record->backend;
	if (adapter->backend == ADAPTER_TAP)
		return adapter_adopt_tap(adapter, definition, record->tap);
	if (adapter->backend == ADAPTER_USER)
		adapter_adopt_passt(adapter, &process);
	else
		snprintf(adapter->reason, sizeof(adapter->reason), "not connected");
	return 0;
}

int adapter_adopt(struct vm *vm, struct json_object *tree, struct adapter **ret_adapter)
{
	CLEANUP(adapter_freep) struct adapter *adapter = NULL;
	struct record record = { 0 };
	struct json_error error;
	struct json_reader reader = JSON_READER(&error);
	int r;

	r = json_read(&reader, tree, record_keys, ARRAY_SIZE(record_keys), &record);
	if (r == 0) {
		adapter = adapter_make(vm, record.name);
		r = adapter ? adopt(adapter, &record) : -ENOMEM;
	}
	free(record.name);
	free(record.tap);
	if (r < 0)
		return r;
	*ret_adapter = TAKE_PTR(adapter);
	return 0;
}

const char *adapter_backend_name(const struct adapter *adapter)
{
	if (adapter->backend == ADAPTER_TAP)
		return "tap";
	return adapter->passt ? "socket" : "none";
}

struct adapter *adapter_find(const struct vm *vm, const char *name)
{
	list_for_each (link, (struct list *)&vm->adapters) {
		struct adapter *adapter = container_of(link, struct adapter, link);

		if (strcmp(adapter->name, name) == 0)
			return adapter;
	}
	return NULL;
}

/* The one way to write an address. A zone ("fe80::1%3") means something in the guest alone. */
static bool adapter_read_address(const char *text, char address[static ADAPTER_ADDRESS_SIZE])
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	struct in6_addr bytes;
	char plain[ADAPTER_ADDRESS_SIZE];
	size_t length = strcspn(text, "%");

	if (length >= sizeof(plain))
		return false;
	memcpy(plain, text, length);
	plain[length] = '\0';
	return inet_pton(family, plain, &bytes) == 1 &&
	       inet_ntop(family, &bytes, address, ADAPTER_ADDRESS_SIZE);
}

void adapter_set_addresses(struct adapter *adapter, const char *const *addresses, size_t count)
{
	char fresh[ADAPTER_ADDRESSES_MAX][ADAPTER_ADDRESS_SIZE] = { 0 };
	size_t fresh_count = 0;

	for (size_t i = 0; i < count && fresh_count < ADAPTER_ADDRESSES_MAX; i++)
		fresh_count += adapter_read_address(addresses[i], fresh[fresh_count]);
	if (fresh_count == adapter->address_count &&
	    memcmp(fresh, adapter->addresses, sizeof(fresh)) == 0)
		return;
	memcpy(adapter->addresses, fresh, sizeof(fresh));
	adapter->address_count = fresh_count;
	vm_notify(adapter->vm, "Addresses", NULL);
}
