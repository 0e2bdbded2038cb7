/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who calls, and what they may: docs/dbus/authorisation.md.
 *
 * Every method call passes dbus_access_check() before the objects see it. Root may do everything, and
 * so may the user whose daemon it is. Others may manage VMs of their own; for the rest
 * polkit is asked, while the call waits. What a handler has to know beyond is who the caller is,
 * and which VMs they see.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/user_lookup.h"
#include "vmms/bus/dbus_question.h"

#include <systemd/sd-bus.h>

/* Bytes of a call, by which the definition before and after a change fit. */
#define DBUS_CALL_MAX (2 * DEFINITION_SIZE_MAX + 64 * 1024)

struct dbus_service;
struct failure;
struct vm;

struct dbus_access {
	struct list questions; /* of struct dbus_question */
	struct user_lookups *lookups;

	/* Of the call that is handled. */
	const struct user_found *user; /* who makes it; NULL: who may everything */
	bool sees_all;                 /* not only VMs of their own */
	struct dbus_answers answers;
	size_t call_size; /* bytes */

	uint64_t refusals_since; /* microseconds */
	unsigned refusals;       /* since then */
};

/* group: whose members may have VMs of their own; borrowed. */
int dbus_access_init(struct dbus_access *access, sd_event *loop, struct helpers *helpers,
		     const char *group) MUST_CHECK;
void dbus_access_deinit(struct dbus_access *access);

/* Calls that wait are forgotten, as when the bus is gone. */
void dbus_access_forget(struct dbus_access *access);

/* The same of those that have come over that connection. */
void dbus_access_forget_bus(struct dbus_access *access, const sd_bus *bus);

/* An sd_bus_message_handler_t for sd_bus_add_filter(). data: the service. */
int dbus_access_check(sd_bus_message *message, void *data, sd_bus_error *error);

/* ---- For handlers of calls ---- */

/* Who calls; NULL: somebody who may everything. */
/* Whose object it is of. */
struct dbus_service *dbus_access_service_of(sd_bus_message *call);

const struct user_found *dbus_caller(sd_bus_message *call);

/*
 * Whoever is to own a VM is a user of this host, whose number is kept. before: what the VM had
 * until now, whose owner may not be one; NULL: it is new. Return: 0; 1: the call is put aside, and
 * comes again: nothing is to be answered; negative with *failure filled.
 */
int dbus_check_owner(sd_bus_message *call, const struct definition *before,
		     struct definition *wanted, struct failure *failure) MUST_CHECK;

/* Whether the caller is that user, or sees all. */
bool dbus_caller_is(const struct dbus_service *service, uid_t user);

/* Whether that VM is in lists that the caller gets. */
bool dbus_caller_sees(const struct dbus_service *service, const struct vm *vm);

/*
 * For getters: false if the property is being read by somebody who sees only VMs of their own.
 * Signals that have all go to who sees all (vmms/bus/dbus_signal.h).
 */
bool dbus_reader_sees_all(const struct dbus_service *service);
