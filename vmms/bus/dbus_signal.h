/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals: to each connection that has asked for them (Subscribe), those that its user may know of,
 * and to nobody else.
 *
 * The bus would give a signal without an addressee to whoever listens, so none is sent: each goes to one
 * connection. A user is told of what GetManagedObjects would list: VMs of their own with their
 * jobs, and jobs of their own; whoever had the right to see all when they subscribed, of all. What
 * a connection does not take in time is the message bus's to drop; nothing waits for it here.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/list.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* Connections of one user, and of all users; those of root are not bounded. */
#define DBUS_SUBSCRIBERS_MAX 16
#define DBUS_SUBSCRIBERS_ALL 128

struct dbus_service;
struct job;
struct vm;

/* Whom a signal is about. Both NULL: all of the host, for whoever sees all. */
struct dbus_audience {
	const struct vm *vm;
	const struct job *job; /* a user's own, or vm's */
};

/* An object as it is on the bus; all is borrowed. */
struct dbus_object {
	const char *path, *interface;
	const sd_bus_vtable *vtable;
	void *data; /* the getters' */
};

/* Methods of the manager. data: the service. */
int dbus_subscribe(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_unsubscribe(sd_bus_message *call, void *data, sd_bus_error *error);

/* Subscriptions are forgotten, as when the bus is gone. */
void dbus_signal_forget(struct dbus_service *service);

/* Signals of the object manager and of properties. What cannot be sent is logged. */
void dbus_object_added(struct dbus_service *service, struct dbus_audience audience,
		       const struct dbus_object *object);
void dbus_object_removed(struct dbus_service *service, struct dbus_audience audience,
			 const struct dbus_object *object);
void dbus_object_changed(struct dbus_service *service, struct dbus_audience audience,
			 const struct dbus_object *object, const char *const *properties);

/* A VM may have another owner: to the one before it is gone, to the other new. */
void dbus_signal_check_owner(struct dbus_service *service, const struct vm *vm,
			     const struct dbus_object *object);

/* Any other signal: fill appends its arguments. */
typedef int (*dbus_signal_fill_fn)(sd_bus_message *message, const void *data);

void dbus_signal_send(struct dbus_service *service, struct dbus_audience audience,
		      const struct dbus_object *object, const char *member,
		      dbus_signal_fill_fn fill, const void *data);
