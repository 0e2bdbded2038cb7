/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual switch: its definition, and the bridge that it is while it is up.
 *
 * A private or internal switch, and an external one that has taken an interface, is a bridge of
 * ours, "vmsw-" and the beginning of the switch's uuid, whose alias tells that it is
 * (vswitch_alias_format()). An external switch by bridge is the administrator's bridge, of which
 * nothing is changed but that our taps join.
 *
 * An interface that is taken brings its addresses and routes to the bridge, and gets them back when
 * the switch goes down. What fails in between is taken back.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/network/network_guard.h"
#include "vmms/network/network_link.h"
#include "vmms/network/vswitch_definition.h"

#include <stdbool.h>

struct vswitches;

struct vswitch {
	struct list link;
	struct vswitches *switches;
	unsigned reading; /* when its file was last read */
	struct vswitch_definition *definition;
	struct network_link bridge; /* index 0: the switch is down */
	int named; /* index of what is called as the definition's bridge or interface; 0: nothing */
	int uplink; /* index of what it leads to: that, or a port of the bridge; 0: none */
	char reason[FAILURE_MESSAGE_MAX]; /* why it does not work; "": it does */
};

/* Takes over the definition, also on failure. Return: 0; -ENOMEM. */
int vswitch_new(struct vswitches *switches, struct vswitch_definition *definition,
		struct vswitch **ret_vswitch) MUST_CHECK;

/* The bridge stays as it is. */
void vswitch_free(struct vswitch *vswitch);
DEFINE_CLEANUP(struct vswitch *, vswitch_free)

static inline bool vswitch_is_up(const struct vswitch *vswitch)
{
	return vswitch->bridge.index != 0;
}

/* It is up, and leads to where it is to. */
static inline bool vswitch_works(const struct vswitch *vswitch)
{
	return vswitch_is_up(vswitch) && vswitch->reason[0] == '\0';
}

/*
 * Makes or finds the bridge; one of ours that is there already, after a crash say, is taken over
 * and finished. Of a switch that is up without its interface: takes that. force: take an interface
 * even if it carries a default route and the like. Return: 0; negative with *failure filled,
 * nothing changed, and the reason kept.
 */
int vswitch_bring_up(struct vswitch *vswitch, bool force, struct failure *failure) MUST_CHECK;

/* Learns what has become of the bridge meanwhile; a switch whose bridge is gone is down. */
void vswitch_refresh(struct vswitch *vswitch);

/* Learns what vswitch->named and vswitch->uplink are now. */
void vswitch_find_uplink(struct vswitch *vswitch);

/* Takes away what vswitch_bring_up() made. What cannot be is logged. */
void vswitch_take_down(struct vswitch *vswitch);

/* The host's addresses of an internal switch that is up are those of its definition now. */
int vswitch_set_addresses(struct vswitch *vswitch, const struct vswitch_definition *old,
			  struct failure *failure) MUST_CHECK;

/*
 * A port of the switch, which is up, from now on as the adapter has it: VLAN, guards, limits. Also
 * for a port that is one already. On failure the port may be connected, but not up.
 */
int vswitch_connect(struct vswitch *vswitch, const struct network_link *port,
		    const struct definition_adapter *adapter, struct failure *failure) MUST_CHECK;

/* What the adapter asks for can be had here. */
int vswitch_check_adapter(const struct vswitch *vswitch, const struct definition_adapter *adapter,
			  struct failure *failure) MUST_CHECK;

/* ---- Whose a bridge is ---- */

#define VSWITCH_ALIAS_SIZE (NETWORK_ALIAS_MAX + 1)

struct vswitch_alias {
	struct guid uuid;
	char interface[IFNAMSIZ]; /* that it has taken; "": none */
};

/*
 * "vmms:switch:UUID:INTERFACE:DIRECTORY". directory: where the daemon's state is, by which daemons
 * tell theirs apart; only its end if it is very long.
 */
void vswitch_alias_format(const struct vswitch_alias *alias, const char *directory,
			  char text[static VSWITCH_ALIAS_SIZE]);

/* Return: false if it is not one of this daemon's. */
bool vswitch_alias_parse(const char *text, const char *directory, struct vswitch_alias *ret_alias);

/* It is one of some daemon's. */
bool vswitch_alias_is_of_a_switch(const char *text);

/* Gives back the interface that a bridge of ours has taken, if any, and deletes the bridge. */
int vswitch_dismantle(struct network *network, const struct network_link *bridge,
		      const char *interface) MUST_CHECK;
