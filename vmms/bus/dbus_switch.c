/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.Switch, and what the manager does with switches: docs/dbus/org.vmms1.Switch.md. */
#include "vmms/bus/dbus_internal.h"

#include <errno.h>
#include <string.h>

/* ---- Paths ---- */

static void switch_path(const struct vswitch *vswitch, char path[DBUS_OBJECT_PATH_SIZE])
{
	dbus_object_path(DBUS_SWITCH_PREFIX, &vswitch->definition->uuid, path);
}

static int dbus_switch_find_switch(sd_bus *bus, const char *path, const char *interface, void *data,
				   void **ret_found, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct guid uuid;

	if (dbus_object_path_parse(path, DBUS_SWITCH_PREFIX, &uuid) < 0)
		return 0;
	*ret_found = vswitches_find_uuid(service->manager->switches, &uuid);
	return *ret_found != NULL;
}

static const struct guid *dbus_switch_link_uuid(const struct list *link)
{
	return &container_of(link, struct vswitch, link)->definition->uuid;
}

/* Switches are nobody's own. */
static bool dbus_switch_is_seen(const struct dbus_service *service, const struct list *link)
{
	return dbus_caller_sees(service, NULL);
}

static int dbus_switch_list_paths(sd_bus *bus, const char *prefix, void *data, char ***ret_nodes,
				  sd_bus_error *error)
{
	const struct dbus_service *service = data;
	const struct dbus_object_list objects = { DBUS_SWITCH_PREFIX,
						  &service->manager->switches->list,
						  dbus_switch_link_uuid, dbus_switch_is_seen };

	return dbus_list_paths(service, &objects, ret_nodes);
}

/* ---- Reading calls ---- */

/* The definition in a call, "s", and its options, "a{sv}". */
static int dbus_switch_read_definition(sd_bus_message *call,
				       struct vswitch_definition **ret_definition, bool *ret_force,
				       struct failure *failure)
{
	CLEANUP(vswitch_definition_freep) struct vswitch_definition *definition = NULL;
	int force = false;
	const struct dbus_option options[] = { { "force", 'b', &force } };
	struct json_error why;
	const char *text;
	int r;

	r = sd_bus_message_read(call, "s", &text);
	if (r < 0)
		return r;
	r = vswitch_definition_parse(text, strlen(text), &definition, &why);
	if (r == -EINVAL)
		return dbus_refuse_definition(failure, text, &why);
	if (r == 0)
		r = dbus_read_options(call, options, ARRAY_SIZE(options), failure);
	if (r < 0)
		return r;
	*ret_force = force;
	*ret_definition = TAKE_PTR(definition);
	return 0;
}

static int dbus_switch_reply_error(sd_bus_message *call, int r, const struct failure *failure)
{
	return failure->name ? dbus_reply_failure(call, failure) : r;
}

static int dbus_switch_read_name(sd_bus_message *call, struct dbus_service *service,
				 struct vswitch **ret_vswitch, struct failure *failure)
{
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	*ret_vswitch = vswitches_find(service->manager->switches, name);
	if (!*ret_vswitch)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_SWITCH,
				   "there is no virtual switch '%s'; 'vmctl switch list' shows "
				   "which there are",
				   name);
	return 0;
}

/* ---- Methods of the manager ---- */

int dbus_create_switch(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct vswitch_definition *definition;
	struct failure failure = { 0 };
	char path[DBUS_OBJECT_PATH_SIZE];
	struct vswitch *vswitch;
	bool force;
	int r;

	r = dbus_switch_read_definition(call, &definition, &force, &failure);
	if (r == 0)
		r = vswitches_create(service->manager->switches, definition, force, &vswitch,
				     &failure);
	if (r < 0)
		return dbus_switch_reply_error(call, r, &failure);
	switch_path(vswitch, path);
	return sd_bus_reply_method_return(call, "o", path);
}

int dbus_get_switch(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure = { 0 };
	char path[DBUS_OBJECT_PATH_SIZE];
	struct vswitch *vswitch;
	int r;

	r = dbus_switch_read_name(call, data, &vswitch, &failure);
	if (r < 0)
		return dbus_switch_reply_error(call, r, &failure);
	switch_path(vswitch, path);
	return sd_bus_reply_method_return(call, "o", path);
}

static int dbus_switch_append_switch(sd_bus_message *reply, const struct vswitch *vswitch)
{
	char path[DBUS_OBJECT_PATH_SIZE], uuid[GUID_TEXT_SIZE];

	switch_path(vswitch, path);
	guid_format(&vswitch->definition->uuid, uuid);
	return sd_bus_message_append(reply, "(ssso)", vswitch->definition->name, uuid,
				     vswitch_type_names[vswitch->definition->type], path);
}

static int dbus_switch_append_switches(sd_bus_message *reply, const struct dbus_service *service)
{
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssso)");
	if (r < 0)
		return r;
	list_for_each (link, &service->manager->switches->list) {
		if (!dbus_switch_is_seen(service, link))
			continue;
		r = dbus_switch_append_switch(reply, container_of(link, struct vswitch, link));
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

int dbus_list_switches(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	sd_bus_message *reply = NULL;
	int r;

	r = sd_bus_message_new_method_return(call, &reply);
	if (r >= 0)
		r = dbus_switch_append_switches(reply, service);
	if (r >= 0)
		r = sd_bus_message_send(reply);
	sd_bus_message_unref(reply);
	return r;
}

int dbus_delete_switch(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct failure failure = { 0 };
	struct vswitch *vswitch;
	int r;

	r = dbus_switch_read_name(call, service, &vswitch, &failure);
	if (r == 0)
		r = vswitches_delete(service->manager->switches, vswitch, &failure);
	return r < 0 ? dbus_switch_reply_error(call, r, &failure)
		     : sd_bus_reply_method_return(call, "");
}

int dbus_get_broken_switches(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error)
{
	struct dbus_service *service = data;
	int r;

	r = sd_bus_message_open_container(reply, 'a', "(ssuss)");
	if (r < 0)
		return r;
	list_for_each (link, &service->manager->switches->broken) {
		if (!dbus_reader_sees_all(service))
			break;
		struct broken_vswitch *broken = container_of(link, struct broken_vswitch, link);

		r = sd_bus_message_append(reply, "(ssuss)", broken->name, broken->path,
					  (uint32_t)broken->error.line, broken->error.key,
					  broken->error.message);
		if (r < 0)
			return r;
	}
	return sd_bus_message_close_container(reply);
}

/* ---- Methods of a switch ---- */

static int dbus_switch_change(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vswitch_definition *definition;
	struct failure failure = { 0 };
	struct vswitch *vswitch = data;
	bool force;
	int r;

	r = dbus_switch_read_definition(call, &definition, &force, &failure);
	if (r == 0)
		r = vswitches_change(vswitch->switches, vswitch, definition, force, &failure);
	return r < 0 ? dbus_switch_reply_error(call, r, &failure)
		     : sd_bus_reply_method_return(call, "");
}

static int dbus_switch_delete_switch(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vswitch *vswitch = data;
	struct failure failure;

	if (vswitches_delete(vswitch->switches, vswitch, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

/* ---- Properties ---- */

#define PROPERTY(name, signature, ...)                                                 \
	static int get_##name(sd_bus *bus, const char *path, const char *interface,    \
			      const char *property, sd_bus_message *reply, void *data, \
			      sd_bus_error *error)                                     \
	{                                                                              \
		const struct vswitch *vswitch = data;                                  \
                                                                                       \
		return sd_bus_message_append(reply, signature, __VA_ARGS__);           \
	}

PROPERTY(name, "s", vswitch->definition->name)
PROPERTY(notes, "s", vswitch->definition->notes)
PROPERTY(type, "s", vswitch_type_names[vswitch->definition->type])
PROPERTY(state, "s", vswitch_works(vswitch) ? "up" : "down")
PROPERTY(state_reason, "s", vswitch->reason)
PROPERTY(bridge, "s", vswitch->bridge.name)
PROPERTY(vlans, "b", (int)vswitch->bridge.vlan_filtering)

static int dbus_switch_get_uuid(sd_bus *bus, const char *path, const char *interface,
				const char *property, sd_bus_message *reply, void *data,
				sd_bus_error *error)
{
	const struct vswitch *vswitch = data;
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vswitch->definition->uuid, uuid);
	return sd_bus_message_append(reply, "s", uuid);
}

static int dbus_switch_get_definition(sd_bus *bus, const char *path, const char *interface,
				      const char *property, sd_bus_message *reply, void *data,
				      sd_bus_error *error)
{
	const struct vswitch *vswitch = data;
	AUTO_FREE char *text = vswitch_definition_to_text(vswitch->definition);

	return text ? sd_bus_message_append(reply, "s", text) : -ENOMEM;
}

#define VALUE(name, signature, getter) \
	SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable switch_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD_WITH_ARGS("Change", SD_BUS_ARGS("s", definition, "a{sv}", options),
				SD_BUS_NO_RESULT, dbus_switch_change, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
				dbus_switch_delete_switch, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("UUID", "s", dbus_switch_get_uuid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Type", "s", get_type, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	VALUE("Notes", "s", get_notes),
	VALUE("State", "s", get_state),
	VALUE("StateReason", "s", get_state_reason),
	VALUE("Bridge", "s", get_bridge),
	VALUE("VLANs", "b", get_vlans),
	VALUE("Definition", "s", dbus_switch_get_definition),
	SD_BUS_VTABLE_END,
};

int dbus_switch_register(struct dbus_service *service)
{
	return dbus_register_objects(service, DBUS_SWITCH_PREFIX, DBUS_INTERFACE_SWITCH,
				     switch_vtable, dbus_switch_find_switch,
				     dbus_switch_list_paths);
}

/* ---- Signals ---- */

struct switch_object {
	struct dbus_object object;
	char path[DBUS_OBJECT_PATH_SIZE];
};

/* Of the host: whoever sees all is told. */
static const struct dbus_audience switch_audience = { 0 };

static const struct dbus_object *dbus_switch_object(struct switch_object *object,
						    struct vswitch *vswitch)
{
	switch_path(vswitch, object->path);
	object->object =
		(struct dbus_object){ object->path, DBUS_INTERFACE_SWITCH, switch_vtable, vswitch };
	return &object->object;
}

void dbus_switch_added(struct dbus_service *service, struct vswitch *vswitch)
{
	struct switch_object object;

	dbus_object_added(service, switch_audience, dbus_switch_object(&object, vswitch));
}

void dbus_switch_removed(struct dbus_service *service, struct vswitch *vswitch)
{
	struct switch_object object;

	dbus_object_removed(service, switch_audience, dbus_switch_object(&object, vswitch));
}

void dbus_switch_changed(struct dbus_service *service, struct vswitch *vswitch)
{
	static const char *const properties[] = { "Notes", "State",      "StateReason", "Bridge",
						  "VLANs", "Definition", NULL };
	struct switch_object object;

	dbus_object_changed(service, switch_audience, dbus_switch_object(&object, vswitch),
			    properties);
}
