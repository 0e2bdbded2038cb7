/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who calls, and what they may: docs/dbus/authorisation.md.
 *
 * Every method call passes dbus_access_check() before the objects see it. Root may everything, and
 * so may the user whose daemon it is. Others may what is about VMs of their own; for the rest
 * polkit is asked, while the call waits. What a handler has to know beyond is who the caller is,
 * and which VMs they see.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"
#include "common/base/list.h"
#include "vmms/polkit.h"
#include "vmms/user.h"

#include <systemd/sd-bus.h>

struct dbus_service;
struct vm;

/* A call that waits for polkit. */
struct access_question {
	struct list link;
	struct dbus_service *service;
	sd_bus_message *call;
	sd_bus_slot *slot;
	struct polkit_question polkit;
	uid_t uid;
	struct guid vm;            /* which it is about; null: none */
	enum polkit_answer answer; /* once it has been read again */
};

struct dbus_access {
	struct list questions; /* of struct access_question */
	struct user *user;     /* who makes the call that is handled; NULL: who may everything */
	bool sees_all;         /* not only VMs of their own */

	uint64_t refusals_since; /* microseconds */
	unsigned refusals;       /* since then */
};

void dbus_access_init(struct dbus_access *access);

/* Calls that wait are forgotten, as when the bus is gone. */
void dbus_access_deinit(struct dbus_access *access);

/* An sd_bus_message_handler_t for sd_bus_add_filter(). data: the service. */
int dbus_access_check(sd_bus_message *message, void *data, sd_bus_error *error);

/* ---- For handlers of calls ---- */

/* Who calls; NULL: somebody who may everything. */
const struct user *dbus_caller(sd_bus_message *call);

/* Whether that VM is in lists that the caller gets. */
bool dbus_caller_sees(const struct dbus_service *service, const struct vm *vm);

/*
 * For getters: false if the property is being read by somebody who sees only VMs of their own.
 * Signals have all, and go to root alone.
 */
bool dbus_reader_sees_all(const struct dbus_service *service);
