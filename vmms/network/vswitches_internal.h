/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What vswitches.c and vswitches_load.c share.
 */
#pragma once

#include "vmms/network/vswitches.h"

/* Reads the folder, without bringing anything up. Return: 0, -errno. */
int vswitches_load(struct vswitches *switches) MUST_CHECK;

/* Bridges and taps that a daemon with the same state left, and that are nobody's now. */
void vswitches_remove_stale(struct vswitches *switches);

/*
 * Brings up one that is not, or takes its interface again, tells the observer, and has VMs
 * connected again. force: as vswitch_bring_up().
 */
int vswitches_bring_up(struct vswitches *switches, struct vswitch *vswitch, bool force,
		       struct failure *failure) MUST_CHECK;

/* What has become of the host's network is noticed, and followed. */
void vswitches_look(struct vswitches *switches);

/* Those that are down; why one stays so is its reason. */
void vswitches_bring_up_all(struct vswitches *switches);

/* Into the list, at its place by name. */
void vswitches_insert(struct vswitches *switches, struct vswitch *vswitch);

/* Takes down, out of the list, with the observer told, and frees. */
void vswitches_forget(struct vswitches *switches, struct vswitch *vswitch);

void vswitches_forget_broken(struct vswitches *switches);
