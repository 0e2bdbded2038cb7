/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What vmms tells of a VM, as read from the bus.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/vmctl/service.h"

#include <stdint.h>

#define VM_INFO_CRASH_PARAMETERS 5

struct vm_info {
	char *name, *uuid, *owner, *notes, *state, *reason, *engine, *heartbeat, *vmbus_version;
	char *crash_text, *guest_problem;
	char *unit, *profile, *limits_problem, *socket_folder;
	char *guest_os, *guest_host_name, *guest_addresses,
		*file_systems; /* addresses: blanks between */
	uint32_t processors, worker_pid, resets;
	char *memory_state;                                     /* "" without dynamic memory */
	uint64_t memory;                                        /* bytes */
	uint64_t memory_target, memory_assigned, memory_demand; /* bytes; while it runs */
	uint64_t started_at; /* CLOCK_REALTIME, microseconds; 0: not running */
	uint64_t crash_parameters[VM_INFO_CRASH_PARAMETERS];
	bool crashed;
	int cluster;                        /* boolean, as D-Bus has them: it is a cluster's */
	struct json_object *tags, *pending; /* arrays of strings */
	struct json_object *addresses; /* [{"adapter": "nic0", "address": "…"}, …]; NULL: none */
};

void vm_info_deinit(struct vm_info *info);

/*
 * Reads an a{sv} of properties over what the struct holds, as a PropertiesChanged signal has them.
 * Return: 0; -errno.
 */
int vm_info_read(sd_bus_message *message, struct vm_info *info) MUST_CHECK;

/* One VM. The caller deinits *ret_info, also on failure. */
enum status vm_info_get(struct invocation *invocation, const char *path, struct vm_info *ret_info);

struct vm_list {
	struct vm_info *vms;
	size_t count;
};

/* All VMs, by name. The caller deinits *ret_list, also on failure. */
enum status vm_list_get(struct invocation *invocation, struct vm_list *ret_list);
void vm_list_deinit(struct vm_list *list);

/*
 * The guest's addresses, as it reports them, with blanks between them; cut where it does not fit.
 * adapter: those that it has there; NULL: all.
 */
void vm_info_format_addresses(const struct vm_info *info, const char *adapter, char *text,
			      size_t size);

/* Strings, such as tags, with commas between them; cut where it does not fit. */
void vm_info_format_words(struct json_object *array, char *text, size_t size);

bool vm_info_has_tag(const struct vm_info *info, const char *tag);

/* As --json prints it; NULL without memory. */
struct json_object *vm_info_to_json(const struct vm_info *info);
