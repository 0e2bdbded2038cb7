/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All virtual switches of the daemon: what becomes of the host's network behind its back.
 *
 * A bridge of ours that somebody deletes is made again, and what was connected to it is again. An
 * interface that a switch has taken may go, as those on a USB do: the bridge stays for the VMs
 * among themselves, and takes it again when it is back. So is a bridge of the administrator's
 * joined again.
 *
 * An attempt is made when what a switch leads to has come, not whenever something changes: one that
 * fails changes something, too. Nor is an interface that somebody takes out of a switch by hand
 * taken back before somebody says so.
 */
#include "common/base/log.h"
#include "vmms/network/vswitches_internal.h"

#include <stdio.h>

static void watch_lose_interface(struct vswitches *switches, struct vswitch *vswitch)
{
	snprintf(vswitch->reason, sizeof(vswitch->reason),
		 vswitch->named == 0
			 ? "interface %s is gone from this host; it is taken again when it is back"
			 : "interface %s is not part of it any more; 'vmctl reload' takes it again",
		 vswitch->definition->interface);
	log_warning("switch %s: %s", vswitch->definition->name, vswitch->reason);
	switches->observer->changed(switches->observer_data, vswitch);
}

static void watch_lose_bridge(struct vswitches *switches, struct vswitch *vswitch)
{
	struct failure failure;

	log_warning("switch %s: %s", vswitch->definition->name, vswitch->reason);
	if (vswitches_bring_up(switches, vswitch, true, &failure) < 0)
		switches->vms->reconnect(switches->vms_data, vswitch);
}

/*
 * named: what it was before. One that was renamed is still a port: another of its name is not it.
 */
static bool watch_has_come(const struct vswitch *vswitch, int named)
{
	return vswitch->named != 0 && vswitch->named != named &&
	       (vswitch->definition->bridge || vswitch->uplink == 0);
}

static void watch_look_at(struct vswitches *switches, struct vswitch *vswitch)
{
	bool was_up = vswitch_is_up(vswitch), led = vswitch->uplink != 0;
	int named = vswitch->named;
	struct failure failure;

	vswitch_refresh(vswitch);
	vswitch_find_uplink(vswitch);
	if (was_up && !vswitch_is_up(vswitch))
		watch_lose_bridge(switches, vswitch);
	else if (watch_has_come(vswitch, named) &&
		 vswitches_bring_up(switches, vswitch, true, &failure) < 0)
		log_warning("%s", failure.message);
	else if (was_up && led && vswitch->uplink == 0)
		watch_lose_interface(switches, vswitch);
}

void vswitches_look(struct vswitches *switches)
{
	if (!switches->network)
		return;
	list_for_each (link, &switches->list)
		watch_look_at(switches, container_of(link, struct vswitch, link));
	if (!switches->vms->check(switches->vms_data) && switches->monitor)
		network_monitor_again(switches->monitor);
}

static void watch_host_changed(void *data)
{
	vswitches_look(data);
}

int vswitches_watch(struct vswitches *switches, sd_event *loop)
{
	return switches->network
		       ? network_monitor_new(loop, watch_host_changed, switches, &switches->monitor)
		       : 0;
}
