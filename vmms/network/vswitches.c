/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All virtual switches of the daemon. vswitches_load.c reads them from their folder. */
#include "vmms/network/vswitches.h"

#include "common/base/log.h"
#include "common/base/text.h"
#include "vmms/base/folder.h"
#include "vmms/network/vswitches_internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Life ---- */

static bool vswitches_have_privilege(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 && data[0].effective & 1u << CAP_NET_ADMIN;
}

int vswitches_new(const char *directory, const struct vswitches_vms *vms, void *vms_data,
		  struct vswitches **ret_switches)
{
	CLEANUP(vswitches_freep) struct vswitches *switches = calloc(1, sizeof(*switches));
	int r;

	if (!switches)
		return -ENOMEM;
	list_init(&switches->list);
	list_init(&switches->broken);
	switches->vms = vms;
	switches->vms_data = vms_data;
	vswitches_observe(switches, NULL, NULL);
	switches->directory = strdup(directory);
	if (!switches->directory)
		return -ENOMEM;
	r = folder_open(directory, "switches", &switches->folder);
	if (r < 0)
		return r;
	if (vswitches_have_privilege() && network_open(&switches->network) < 0)
		log_warning("the host's network cannot be changed: there are no virtual switches");
	r = vswitches_load(switches);
	if (r < 0)
		return r;
	vswitches_remove_stale(switches);
	vswitches_bring_up_all(switches);
	*ret_switches = TAKE_PTR(switches);
	return 0;
}

void vswitches_free(struct vswitches *switches)
{
	if (!switches)
		return;
	network_monitor_free(switches->monitor);
	list_for_each (link, &switches->list) {
		struct vswitch *vswitch = container_of(link, struct vswitch, link);

		vswitch_take_down(vswitch);
		vswitch_free(vswitch);
	}
	vswitches_forget_broken(switches);
	network_guard_free(switches->guard);
	if (switches->network)
		network_free(switches->network);
	folder_free(switches->folder);
	free(switches->directory);
	free(switches);
}

static void ignore(void *data, struct vswitch *vswitch)
{
}

static const struct vswitches_observer nobody = { ignore, ignore, ignore };

void vswitches_observe(struct vswitches *switches, const struct vswitches_observer *observer,
		       void *data)
{
	switches->observer = observer ? observer : &nobody;
	switches->observer_data = data;
}

int vswitches_check_privilege(const struct vswitches *switches, struct failure *failure)
{
	if (switches->network)
		return 0;
	return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
			   "this vmms may not change the host's network (CAP_NET_ADMIN): virtual "
			   "switches need the one of the system; the user-mode network, switch "
			   "'default', needs no privilege");
}

int vswitches_guard(struct vswitches *switches, struct network_guard **ret_guard,
		    struct failure *failure)
{
	int r;

	if (!switches->guard) {
		r = network_guard_new(switches->directory, &switches->guard);
		if (r < 0)
			return failure_set(failure, DBUS_ERROR_HOST_NOT_CAPABLE,
					   "this host's kernel has no nftables for bridges "
					   "(CONFIG_NF_TABLES_BRIDGE), which keep guests apart: %s",
					   strerror(-r));
	}
	*ret_guard = switches->guard;
	return 0;
}

void vswitches_settle(struct vswitches *switches)
{
	struct network_guard *guard;
	struct failure failure;

	if (!switches->network || (!switches->guard && !network_guard_is_left(switches->directory)))
		return;
	if (vswitches_guard(switches, &guard, &failure) < 0)
		log_error("%s", failure.message);
	else
		network_guard_sweep(guard);
}

/* ---- Finding ---- */

struct vswitch *vswitches_find(const struct vswitches *switches, const char *name)
{
	list_for_each (link, (struct list *)&switches->list) {
		struct vswitch *vswitch = container_of(link, struct vswitch, link);

		if (strcmp(vswitch->definition->name, name) == 0)
			return vswitch;
	}
	return NULL;
}

struct vswitch *vswitches_find_uuid(const struct vswitches *switches, const struct guid *uuid)
{
	list_for_each (link, (struct list *)&switches->list) {
		struct vswitch *vswitch = container_of(link, struct vswitch, link);

		if (guid_equal(&vswitch->definition->uuid, uuid))
			return vswitch;
	}
	return NULL;
}

int vswitches_have(struct vswitches *switches, const char *name, struct vswitch **ret_vswitch,
		   struct failure *failure)
{
	struct vswitch *vswitch = vswitches_find(switches, name);
	int r;

	r = vswitches_check_privilege(switches, failure);
	if (r < 0)
		return r;
	if (!vswitch)
		return failure_set(failure, DBUS_ERROR_NO_SUCH_SWITCH,
				   "there is no virtual switch '%s'; 'vmctl switch list' shows "
				   "which there are",
				   name);
	vswitch_refresh(vswitch);
	if (!vswitch_is_up(vswitch)) {
		/* That it may take its interface was settled when it was made. */
		r = vswitches_bring_up(switches, vswitch, true, failure);
		if (r < 0)
			return r;
	}
	*ret_vswitch = vswitch;
	return 0;
}

int vswitches_bring_up(struct vswitches *switches, struct vswitch *vswitch, bool force,
		       struct failure *failure)
{
	bool was_up = vswitch_is_up(vswitch);
	int r;

	r = vswitch_bring_up(vswitch, force, failure);
	switches->observer->changed(switches->observer_data, vswitch);
	if (r == 0 && !was_up)
		switches->vms->reconnect(switches->vms_data, vswitch);
	return r;
}

void vswitches_insert(struct vswitches *switches, struct vswitch *vswitch)
{
	struct list *next = &switches->list;

	list_for_each (link, &switches->list) {
		struct vswitch *other = container_of(link, struct vswitch, link);

		if (strcmp(other->definition->name, vswitch->definition->name) > 0) {
			next = link;
			break;
		}
	}
	list_append(next, &vswitch->link);
}

void vswitches_forget(struct vswitches *switches, struct vswitch *vswitch)
{
	vswitch_take_down(vswitch);
	switches->observer->removed(switches->observer_data, vswitch);
	vswitch_free(vswitch);
}

/* ---- Creating ---- */

static int vswitches_check_new(struct vswitches *switches,
			       const struct vswitch_definition *definition, struct failure *failure)
{
	struct vswitch *twin;

	if (vswitches_find(switches, definition->name) ||
	    folder_has(switches->folder, definition->name))
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "there is a switch '%s' already; delete it first or choose "
				   "another name",
				   definition->name);
	twin = vswitches_find_uuid(switches, &definition->uuid);
	if (twin)
		return failure_set(failure, DBUS_ERROR_EXISTS,
				   "switch '%s' has that uuid already; leave the uuid out to get a "
				   "new one",
				   twin->definition->name);
	return 0;
}

static int vswitches_save(struct vswitches *switches, const struct vswitch_definition *definition,
			  struct failure *failure)
{
	AUTO_JSON struct json_object *tree = vswitch_definition_to_json(definition);
	int r;

	r = tree ? folder_save(switches->folder, definition->name, tree) : -ENOMEM;
	return r < 0 ? failure_set(failure, DBUS_ERROR_STORE,
				   "cannot save switch '%s' in %s: %s; nothing has been changed",
				   definition->name, folder_path(switches->folder), strerror(-r))
		     : 0;
}

static int create(struct vswitches *switches, struct vswitch *vswitch, bool force,
		  struct failure *failure)
{
	struct vswitch_definition *definition = vswitch->definition;
	int r;

	r = vswitches_check_privilege(switches, failure);
	if (r < 0)
		return r;
	if (guid_is_null(&definition->uuid) && guid_generate(&definition->uuid) < 0)
		return failure_set(failure, DBUS_ERROR_INTERNAL, "cannot make a uuid");
	r = vswitches_check_new(switches, definition, failure);
	if (r == 0)
		r = vswitches_save(switches, definition, failure);
	if (r < 0)
		return r;
	r = vswitch_bring_up(vswitch, force, failure);
	if (r < 0 && folder_delete(switches->folder, definition->name) < 0)
		log_warning("switch %s: its file cannot be deleted", definition->name);
	return r;
}

int vswitches_create(struct vswitches *switches, struct vswitch_definition *definition, bool force,
		     struct vswitch **ret_vswitch, struct failure *failure)
{
	CLEANUP(vswitch_freep) struct vswitch *vswitch = NULL;
	int r;

	r = vswitch_new(switches, definition, &vswitch);
	if (r < 0)
		return failure_no_memory(failure);
	r = create(switches, vswitch, force, failure);
	if (r < 0)
		return r;
	vswitches_insert(switches, vswitch);
	log_info("switch %s: created", vswitch->definition->name);
	switches->observer->added(switches->observer_data, vswitch);
	*ret_vswitch = TAKE_PTR(vswitch);
	return 0;
}

/* ---- Changing ---- */

/* The switch is another bridge with the other definition. */
static bool vswitches_moves(const struct vswitch_definition *a, const struct vswitch_definition *b)
{
	return !text_equal(a->bridge, b->bridge) || !text_equal(a->interface, b->interface);
}

static int vswitches_check_change(const struct vswitches *switches, const struct vswitch *vswitch,
				  const struct vswitch_definition *definition,
				  struct failure *failure)
{
	const struct vswitch_definition *old = vswitch->definition;
	const char *user;

	if (strcmp(old->name, definition->name) != 0 ||
	    !guid_equal(&old->uuid, &definition->uuid) || old->type != definition->type)
		return failure_set(failure, DBUS_ERROR_INVALID_ARGUMENT,
				   "name, uuid and type of switch '%s' stay; make another switch",
				   old->name);
	user = vswitches_moves(old, definition)
		       ? switches->vms->find_user(switches->vms_data, old->name)
		       : NULL;
	if (user)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VM '%s' is connected to switch '%s'; disconnect it first", user,
				   old->name);
	return 0;
}

/* The switch becomes what its definition says. old: what it was. */
static int vswitches_follow(struct vswitch *vswitch, const struct vswitch_definition *old,
			    bool force, struct failure *failure)
{
	if (!vswitch_is_up(vswitch))
		return vswitch_bring_up(vswitch, force, failure);
	return vswitch->definition->type == VSWITCH_INTERNAL
		       ? vswitch_set_addresses(vswitch, old, failure)
		       : 0;
}

/* The definition is swapped first, and back on failure; with it goes the bridge. */
static int vswitches_swap(struct vswitch *vswitch, struct vswitch_definition **other, bool force,
			  struct failure *failure)
{
	struct vswitch_definition *old = vswitch->definition;
	struct failure ignored;
	int r;

	if (vswitches_moves(old, *other))
		vswitch_take_down(vswitch);
	vswitch->definition = *other;
	*other = old;
	r = vswitches_follow(vswitch, old, force, failure);
	if (r == 0)
		return 0;
	*other = vswitch->definition;
	vswitch->definition = old;
	/* It had been so before, so that no route counts. */
	if (vswitches_follow(vswitch, *other, true, &ignored) < 0)
		log_error("%s", ignored.message);
	return r;
}

int vswitches_change(struct vswitches *switches, struct vswitch *vswitch,
		     struct vswitch_definition *definition, bool force, struct failure *failure)
{
	CLEANUP(vswitch_definition_freep) struct vswitch_definition *other = definition;
	struct failure ignored;
	int r;

	if (guid_is_null(&definition->uuid))
		definition->uuid = vswitch->definition->uuid;
	r = vswitches_check_change(switches, vswitch, definition, failure);
	if (r == 0)
		r = vswitches_swap(vswitch, &other, force, failure);
	if (r < 0)
		return r;
	r = vswitches_save(switches, vswitch->definition, failure);
	if (r < 0 && vswitches_swap(vswitch, &other, true, &ignored) < 0)
		log_error("%s", ignored.message);
	switches->observer->changed(switches->observer_data, vswitch);
	return r;
}

/* ---- Deleting ---- */

int vswitches_delete(struct vswitches *switches, struct vswitch *vswitch, struct failure *failure)
{
	const char *name = vswitch->definition->name;
	const char *user = switches->vms->find_defined(switches->vms_data, name);
	int r;

	if (user)
		return failure_set(failure, DBUS_ERROR_BUSY,
				   "VM '%s' is connected to switch '%s'; disconnect it first: "
				   "vmctl net set %s ADAPTER --switch none",
				   user, name, user);
	r = folder_delete(switches->folder, name);
	if (r < 0 && r != -ENOENT)
		return failure_set(failure, DBUS_ERROR_STORE, "cannot delete switch '%s' in %s: %s",
				   name, folder_path(switches->folder), strerror(-r));
	log_info("switch %s: deleted", name);
	vswitches_forget(switches, vswitch);
	return 0;
}
