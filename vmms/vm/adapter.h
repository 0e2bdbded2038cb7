/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network adapter of a VM that has a worker: its back end on the host.
 *
 *     a virtual switch   a tap, which is a port of the switch, with its guards and limits
 *     "default"          passt(1), which is started again when it ends by itself
 *     "none"             nothing: its link is down
 *
 * The user-mode network is optional: where it cannot start, because there is no passt(1) or the host
 * has no network, the VM starts all the same, with this adapter down and the reason in its properties.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/control_contract.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/network/network.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

struct vm;
struct passt;
struct capture;

#define ADAPTER_REASON_MAX    512
#define ADAPTER_ADDRESSES_MAX CONTROL_ADDRESSES_MAX
#define ADAPTER_ADDRESS_SIZE  INET6_ADDRSTRLEN

enum adapter_backend { ADAPTER_NONE, ADAPTER_TAP, ADAPTER_USER };

struct adapter {
	struct list link; /* in its VM's list */
	struct vm *vm;
	char name[DEFINITION_ADAPTER_NAME_MAX + 1];
	enum adapter_backend backend;
	struct network_link tap;         /* of ADAPTER_TAP */
	struct passt *passt;             /* of ADAPTER_USER; NULL: it does not run */
	sd_event_source *restart;        /* when it will be started again */
	uint64_t started;                /* when it was, CLOCK_MONOTONIC, microseconds */
	unsigned delay;                  /* seconds until it is started again */
	char reason[ADAPTER_REASON_MAX]; /* why the link is down; "": it is up */
	char addresses[ADAPTER_ADDRESSES_MAX][ADAPTER_ADDRESS_SIZE]; /* as the guest reports them */
	size_t address_count;
	struct capture *capture; /* NULL: none */
};

/* Descriptors of a back end, as the worker gets them. */
struct adapter_descriptors {
	struct vm *vm; /* of ADAPTER_USER: whose passt may fill the socket with files; else NULL */
	unsigned count;
	int fds[DEFINITION_ADAPTER_QUEUES_MAX];
};

void adapter_descriptors_close(struct adapter_descriptors *descriptors);

/*
 * Makes the back end that the definition asks for. The caller closes the descriptors, also on
 * failure, when the worker has them. Return: 0; negative with *failure filled, nothing is left.
 */
int adapter_new(struct vm *vm, const struct definition_adapter *definition,
		struct adapter **ret_adapter, struct adapter_descriptors *ret_descriptors,
		struct failure *failure) MUST_CHECK;

/*
 * What the next daemon has to know of it, and an adapter as that daemon finds it: with its tap, as
 * the definition has it now, or with its passt; what has ended meanwhile is made again. record:
 * borrowed. Return: 0; -EINVAL: it makes no sense; -errno.
 */
struct json_object *adapter_to_json(const struct adapter *adapter);
int adapter_adopt(struct vm *vm, struct json_object *record,
		  struct adapter **ret_adapter) MUST_CHECK;

/* Takes the back end away. */
void adapter_free(struct adapter *adapter);
DEFINE_CLEANUP(struct adapter *, adapter_free)

/* VLAN, guards and limits are those of the definition now. */
int adapter_apply(struct adapter *adapter, const struct definition_adapter *definition,
		  struct failure *failure) MUST_CHECK;

/* Its switch has another bridge: it is connected again, or down with a reason. */
void adapter_reconnect(struct adapter *adapter, const struct definition_adapter *definition);

/* Its tap, if it is to have one, is there. */
bool adapter_is_whole(const struct adapter *adapter);

/* Makes another tap in the place of one that is gone, and gives it to the worker. */
void adapter_restore(struct adapter *adapter);

/*
 * Whether what the VM's passt(1) sends to the host's loopback is refused, as its adapters are now.
 */
void adapter_guard_loopback(struct vm *vm);

/* "tap", "socket" or "none", as the worker is told. */
const char *adapter_backend_name(const struct adapter *adapter);

/* The adapter of that name of a VM with a worker, or NULL. */
struct adapter *adapter_find(const struct vm *vm, const char *name);

/* What the guest reports: addresses as text, perhaps with a zone; what is none is left out. */
void adapter_set_addresses(struct adapter *adapter, const char *const *addresses, size_t count);
