/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of one virtual switch (vmms/network/vswitch*.c) share.
 */
#pragma once

#include "vmms/network/vswitch.h"

/* "switch 'NAME': cannot WHAT: …". Return: as failure_set(). */
int vswitch_cannot(const struct vswitch *vswitch, const char *what, int error,
		   struct failure *failure);

/* Return: 0; -ENODEV: there is none; -errno. */
int vswitch_find_bridge(const struct vswitch *vswitch, struct network_link *ret_bridge) MUST_CHECK;

/* Makes the bridge, with that MAC address, or finds it, and names it. */
int vswitch_have_bridge(struct vswitch *vswitch, const uint8_t *mac,
			struct network_link *ret_bridge, struct failure *failure) MUST_CHECK;

/* ---- External, by interface (vswitch_outside.c) ---- */

/* As vswitch_bring_up(). Of a switch that is up it takes the interface again. */
int vswitch_bring_up_outside(struct vswitch *vswitch, bool force,
			     struct failure *failure) MUST_CHECK;

/*
 * The interface that the bridge has taken. *ret_port: index 0: it is not there any more, or not
 * part of the bridge.
 */
int vswitch_find_taken(struct network *network, const struct network_link *bridge,
		       const char *interface, struct network_link *ret_port) MUST_CHECK;
