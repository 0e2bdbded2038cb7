/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All virtual switches of the daemon: kept as files, brought up with it and taken down with it.
 *
 * They are in the folder "switches" of the daemon's state, as vmms-vm.json(5) tells. A daemon
 * without the privilege to change the host's network (CAP_NET_ADMIN) has none.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/json.h"
#include "vmms/network/network_monitor.h"
#include "vmms/network/vswitch.h"

struct folder;

/* A file that holds no definition. */
struct broken_vswitch {
	struct list link;
	char *name, *path; /* as UTF-8 */
	struct json_error error;
};

/* All required. The switch is there during all. */
struct vswitches_observer {
	void (*added)(void *data, struct vswitch *vswitch);
	void (*removed)(void *data, struct vswitch *vswitch);
	void (*changed)(void *data, struct vswitch *vswitch);
};

/* The VMs, as switches see them. All required. */
struct vswitches_vms {
	/* The name of a running VM that is connected to the switch of that name, or NULL. */
	const char *(*find_user)(void *data, const char *name);

	/* Likewise, and be it off: a VM whose definition names it. */
	const char *(*find_defined)(void *data, const char *name);

	/* The switch has another bridge, or none: what is connected to it is to be so again. */
	void (*reconnect)(void *data, struct vswitch *vswitch);

	/* Interfaces of adapters may have gone. Return: false: to be asked again. */
	bool (*check)(void *data);
};

struct vswitches {
	struct network *network;     /* NULL: no privilege */
	struct network_guard *guard; /* NULL: not needed yet, or not to be had */
	struct folder *folder;
	char *directory;    /* of the daemon's state */
	struct list list;   /* of struct vswitch, by name */
	struct list broken; /* of struct broken_vswitch */
	unsigned reading;
	struct network_monitor *monitor; /* NULL: not watched */
	const struct vswitches_vms *vms;
	void *vms_data;
	const struct vswitches_observer *observer;
	void *observer_data;
};

/*
 * Reads the definitions, removes what a daemon before left, and brings all switches up; those that
 * cannot be are down, with a reason. Return: 0; -errno: the folder cannot be used.
 */
int vswitches_new(const char *directory, const struct vswitches_vms *vms, void *vms_data,
		  struct vswitches **ret_switches) MUST_CHECK;

/* From now on switches follow what becomes of the host's interfaces. */
int vswitches_watch(struct vswitches *switches, sd_event *loop) MUST_CHECK;

/* Takes all down. */
void vswitches_free(struct vswitches *switches);
DEFINE_CLEANUP(struct vswitches *, vswitches_free)

/* One observer at a time; NULL: none. */
void vswitches_observe(struct vswitches *switches, const struct vswitches_observer *observer,
		       void *data);

/* Return: 0, or negative with *failure filled. */
int vswitches_check_privilege(const struct vswitches *switches, struct failure *failure) MUST_CHECK;

struct vswitch *vswitches_find(const struct vswitches *switches, const char *name);
struct vswitch *vswitches_find_uuid(const struct vswitches *switches, const struct guid *uuid);

/* The same, up, and brought up if it was not; or why it cannot be. */
int vswitches_have(struct vswitches *switches, const char *name, struct vswitch **ret_vswitch,
		   struct failure *failure) MUST_CHECK;

/*
 * Makes a switch of a definition, which is taken over, also on failure, and brings it up. One
 * without a uuid gets one. force: as vswitch_bring_up().
 */
int vswitches_create(struct vswitches *switches, struct vswitch_definition *definition, bool force,
		     struct vswitch **ret_vswitch, struct failure *failure) MUST_CHECK;

/*
 * Gives a switch another definition, which is taken over, also on failure. Name, uuid and type
 * stay. While VMs are connected the bridge or interface stays too.
 */
int vswitches_change(struct vswitches *switches, struct vswitch *vswitch,
		     struct vswitch_definition *definition, bool force,
		     struct failure *failure) MUST_CHECK;

/* Takes the switch down and deletes it, and frees it. Refused while VMs are connected. */
int vswitches_delete(struct vswitches *switches, struct vswitch *vswitch,
		     struct failure *failure) MUST_CHECK;

/*
 * Reads the folder again: new files become switches, those whose file is gone go, changes are
 * taken over, unless VMs are connected. The host's network is looked at, and switches that are down
 * are tried again.
 */
int vswitches_reload(struct vswitches *switches, struct failure *failure) MUST_CHECK;

/* When workers that an earlier daemon left have been found: guards of others are not needed. */
void vswitches_settle(struct vswitches *switches);

/* ---- For switches ---- */

/* Made when it is first needed. Borrowed. */
int vswitches_guard(struct vswitches *switches, struct network_guard **ret_guard,
		    struct failure *failure) MUST_CHECK;
