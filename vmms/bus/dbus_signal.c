/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals to those who have subscribed. */
#include "vmms/bus/dbus_signal.h"

#include "common/base/log.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/bus/permit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROPERTIES     "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"

struct subscriber {
	struct list link;
	char *name;          /* of the connection, unique on the bus */
	sd_bus_track *track; /* of it */
	struct user_found user;
	bool is_root; /* or the user whose daemon it is */
	bool sees_all;

	/* VMs that they were told of, if they do not see all. */
	struct guid *vms;
	size_t vm_count;
};

static void subscriber_free(struct subscriber *subscriber)
{
	list_unlink(&subscriber->link);
	sd_bus_track_unref(subscriber->track);
	free(subscriber->vms);
	free(subscriber->name);
	free(subscriber);
}

void dbus_signal_forget(struct dbus_service *service)
{
	list_for_each (link, &service->subscribers)
		subscriber_free(container_of(link, struct subscriber, link));
}

/* ---- Who is told ---- */

static bool subscriber_sees(const struct subscriber *subscriber, struct dbus_audience audience)
{
	if (subscriber->sees_all)
		return true;
	if (audience.job && audience.job->has_user)
		return audience.job->user == subscriber->user.uid;
	return audience.vm && permit_is_owner(&subscriber->user, audience.vm->definition);
}

static struct guid *subscriber_find_vm(const struct subscriber *subscriber, const struct vm *vm)
{
	for (size_t i = 0; i < subscriber->vm_count; i++) {
		if (guid_equal(&subscriber->vms[i], &vm->definition->uuid))
			return &subscriber->vms[i];
	}
	return NULL;
}

/* One that is not noted, for want of memory, is not said to be gone when it gets another owner. */
static void subscriber_add_vm(struct subscriber *subscriber, const struct vm *vm)
{
	struct guid *vms;

	if (subscriber->sees_all || subscriber_find_vm(subscriber, vm))
		return;
	vms = reallocarray(subscriber->vms, subscriber->vm_count + 1, sizeof(*vms));
	if (!vms)
		return;
	subscriber->vms = vms;
	vms[subscriber->vm_count++] = vm->definition->uuid;
}

static void subscriber_remove_vm(struct subscriber *subscriber, const struct vm *vm)
{
	struct guid *known = subscriber_find_vm(subscriber, vm);

	if (known)
		*known = subscriber->vms[--subscriber->vm_count];
}

/* For those who see that VM. */
static void subscribers_note(struct dbus_service *service, const struct vm *vm,
			     void (*note)(struct subscriber *subscriber, const struct vm *vm))
{
	list_for_each (link, &service->subscribers) {
		struct subscriber *subscriber = container_of(link, struct subscriber, link);

		if (subscriber_sees(subscriber, (struct dbus_audience){ .vm = vm }))
			note(subscriber, vm);
	}
}

/* ---- What they are told ---- */

struct signal {
	const char *path, *interface, *member;
	dbus_signal_fill_fn fill;
	const void *data;
};

static void signal_send_to(struct dbus_service *service, const struct subscriber *subscriber,
			   const struct signal *signal)
{
	sd_bus_message *message = NULL;
	int r;

	r = sd_bus_message_new_signal(service->bus, &message, signal->path, signal->interface,
				      signal->member);
	if (r >= 0)
		r = sd_bus_message_set_destination(message, subscriber->name);
	if (r >= 0)
		r = signal->fill(message, signal->data);
	if (r >= 0)
		r = sd_bus_send(service->bus, message, NULL);
	if (r < 0 && r != -ENOTCONN)
		log_warning("a signal cannot be sent: %s", strerror(-r));
	sd_bus_message_unref(message);
}

static void signal_send(struct dbus_service *service, struct dbus_audience audience,
			const struct signal *signal)
{
	list_for_each (link, &service->subscribers) {
		struct subscriber *subscriber = container_of(link, struct subscriber, link);

		if (subscriber_sees(subscriber, audience))
			signal_send_to(service, subscriber, signal);
	}
}

void dbus_signal_send(struct dbus_service *service, struct dbus_audience audience,
		      const struct dbus_object *object, const char *member,
		      dbus_signal_fill_fn fill, const void *data)
{
	const struct signal signal = { object->path, object->interface, member, fill, data };

	signal_send(service, audience, &signal);
}

/* ---- Properties ---- */

static int property_append(sd_bus_message *message, const struct dbus_object *object,
			   const sd_bus_vtable *row)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_message_open_container(message, 'e', "sv");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", row->x.property.member);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'v', row->x.property.signature);
	if (r >= 0)
		r = row->x.property.get(sd_bus_message_get_bus(message), object->path,
					object->interface, row->x.property.member, message,
					object->data, &error);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	sd_bus_error_free(&error);
	return r;
}

/* NULL: there is none of that name. */
static const sd_bus_vtable *property_find(const struct dbus_object *object, const char *name)
{
	for (const sd_bus_vtable *row = object->vtable; row->type != _SD_BUS_VTABLE_END; row++) {
		if (row->type == _SD_BUS_VTABLE_PROPERTY &&
		    strcmp(row->x.property.member, name) == 0)
			return row;
	}
	return NULL;
}

struct change {
	const struct dbus_object *object;
	const char *const *names;
};

static int change_fill(sd_bus_message *message, const void *data)
{
	const struct change *change = data;
	const struct dbus_object *object = change->object;
	int r;

	r = sd_bus_message_append(message, "s", object->interface);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "{sv}");
	for (const char *const *name = change->names; r >= 0 && *name; name++) {
		const sd_bus_vtable *row = property_find(object, *name);

		if (row && (row->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE))
			r = property_append(message, object, row);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "s");
	for (const char *const *name = change->names; r >= 0 && *name; name++) {
		const sd_bus_vtable *row = property_find(object, *name);

		if (row && (row->flags & SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION))
			r = sd_bus_message_append(message, "s", *name);
	}
	return r < 0 ? r : sd_bus_message_close_container(message);
}

void dbus_object_changed(struct dbus_service *service, struct dbus_audience audience,
			 const struct dbus_object *object, const char *const *properties)
{
	const struct change change = { object, properties };
	const struct signal signal = { object->path, PROPERTIES, "PropertiesChanged", change_fill,
				       &change };

	signal_send(service, audience, &signal);
}

/* ---- Objects ---- */

/* What every object of the bus library has, beside its own. */
static const char *const standard_interfaces[] = { "org.freedesktop.DBus.Peer",
						   "org.freedesktop.DBus.Introspectable",
						   PROPERTIES };

static int added_append_own(sd_bus_message *message, const struct dbus_object *object)
{
	int r;

	r = sd_bus_message_open_container(message, 'e', "sa{sv}");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", object->interface);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "{sv}");
	for (const sd_bus_vtable *row = object->vtable; r >= 0 && row->type != _SD_BUS_VTABLE_END;
	     row++) {
		if (row->type == _SD_BUS_VTABLE_PROPERTY &&
		    !(row->flags & SD_BUS_VTABLE_PROPERTY_EXPLICIT))
			r = property_append(message, object, row);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int added_fill(sd_bus_message *message, const void *data)
{
	const struct dbus_object *object = data;
	int r;

	r = sd_bus_message_append(message, "o", object->path);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "{sa{sv}}");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(standard_interfaces); i++)
		r = sd_bus_message_append(message, "{sa{sv}}", standard_interfaces[i], 0);
	if (r >= 0)
		r = added_append_own(message, object);
	return r < 0 ? r : sd_bus_message_close_container(message);
}

static int removed_fill(sd_bus_message *message, const void *data)
{
	const struct dbus_object *object = data;

	return sd_bus_message_append(message, "oas", object->path, 4, standard_interfaces[0],
				     standard_interfaces[1], standard_interfaces[2],
				     object->interface);
}

static struct signal added_signal(const struct dbus_object *object)
{
	return (struct signal){ DBUS_PATH, OBJECT_MANAGER, "InterfacesAdded", added_fill, object };
}

static struct signal removed_signal(const struct dbus_object *object)
{
	return (struct signal){ DBUS_PATH, OBJECT_MANAGER, "InterfacesRemoved", removed_fill,
				object };
}

void dbus_object_added(struct dbus_service *service, struct dbus_audience audience,
		       const struct dbus_object *object)
{
	const struct signal signal = added_signal(object);

	if (audience.vm && !audience.job)
		subscribers_note(service, audience.vm, subscriber_add_vm);
	signal_send(service, audience, &signal);
}

void dbus_object_removed(struct dbus_service *service, struct dbus_audience audience,
			 const struct dbus_object *object)
{
	const struct signal signal = removed_signal(object);

	signal_send(service, audience, &signal);
	if (audience.vm && !audience.job)
		subscribers_note(service, audience.vm, subscriber_remove_vm);
}

void dbus_signal_check_owner(struct dbus_service *service, const struct vm *vm,
			     const struct dbus_object *object)
{
	const struct dbus_audience audience = { .vm = vm };
	const struct signal added = added_signal(object), removed = removed_signal(object);

	list_for_each (link, &service->subscribers) {
		struct subscriber *subscriber = container_of(link, struct subscriber, link);
		bool sees = subscriber_sees(subscriber, audience);

		if (subscriber->sees_all || sees == (subscriber_find_vm(subscriber, vm) != NULL))
			continue;
		if (sees)
			subscriber_add_vm(subscriber, vm);
		else
			subscriber_remove_vm(subscriber, vm);
		signal_send_to(service, subscriber, sees ? &added : &removed);
	}
}

/* ---- Subscribing ---- */

static struct subscriber *subscriber_find(const struct dbus_service *service, const char *name)
{
	list_for_each (link, (struct list *)&service->subscribers) {
		struct subscriber *subscriber = container_of(link, struct subscriber, link);

		if (strcmp(subscriber->name, name) == 0)
			return subscriber;
	}
	return NULL;
}

static bool subscriber_has_room(const struct dbus_service *service, const struct user_found *user)
{
	unsigned own = 0, all = 0;

	list_for_each (link, (struct list *)&service->subscribers) {
		const struct subscriber *other = container_of(link, struct subscriber, link);

		all += !other->is_root;
		own += !other->is_root && other->user.uid == user->uid;
	}
	return own < DBUS_SUBSCRIBERS_MAX && all < DBUS_SUBSCRIBERS_ALL;
}

static int subscriber_gone(sd_bus_track *track, void *data)
{
	subscriber_free(data);
	return 0;
}

static int subscriber_new(struct dbus_service *service, const char *name,
			  struct subscriber **ret_subscriber)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));
	int r;

	if (!subscriber)
		return -ENOMEM;
	list_append(&service->subscribers, &subscriber->link);
	subscriber->name = strdup(name);
	r = subscriber->name ? sd_bus_track_new(service->bus, &subscriber->track, subscriber_gone,
						subscriber)
			     : -ENOMEM;
	if (r >= 0)
		r = sd_bus_track_add_name(subscriber->track, name);
	if (r < 0) {
		subscriber_free(subscriber);
		return r;
	}
	*ret_subscriber = subscriber;
	return 0;
}

/* What they may know from now on, and what they know already. */
static void subscriber_set_rights(struct subscriber *subscriber, const struct dbus_service *service)
{
	const struct user_found *user = service->access.user;

	subscriber->is_root = user == NULL;
	subscriber->sees_all = service->access.sees_all;
	if (user)
		subscriber->user = *user;
	subscriber->vm_count = 0;
	list_for_each (link, &service->manager->vms) {
		const struct vm *vm = container_of(link, struct vm, link);

		if (dbus_caller_sees(service, vm))
			subscriber_add_vm(subscriber, vm);
	}
}

int dbus_subscribe(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	const struct user_found *user = service->access.user;
	const char *name = sd_bus_message_get_sender(call);
	struct subscriber *subscriber = subscriber_find(service, name);
	int r;

	if (!subscriber && user && !subscriber_has_room(service, user))
		return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_LIMITS_EXCEEDED,
						  "too many connections, %d of a user, are told of "
						  "what happens",
						  DBUS_SUBSCRIBERS_MAX);
	if (!subscriber) {
		r = subscriber_new(service, name, &subscriber);
		if (r < 0)
			return r;
	}
	subscriber_set_rights(subscriber, service);
	return sd_bus_reply_method_return(call, "");
}

int dbus_unsubscribe(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct subscriber *subscriber = subscriber_find(service, sd_bus_message_get_sender(call));

	if (subscriber)
		subscriber_free(subscriber);
	return sd_bus_reply_method_return(call, "");
}
