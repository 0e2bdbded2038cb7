/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who configures an interface of the host: NetworkManager, systemd-networkd or ifupdown.
 *
 * An interface with such an owner is not taken for a switch: the owner would take it back, or
 * lose what it configured. Each has its own way to make a bridge, which is then joined.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stddef.h>

struct interface_owner {
	const char *name;
	/* What to do instead, by that owner's own means. '@' stands for the interface. */
	const char *steps;
};

/*
 * The owner of that interface, or NULL. root: goes before all paths, "" but for tests. What the
 * owners leave in /run is read: no bus, no program.
 */
const struct interface_owner *interface_owner_find(const char *root, const char *interface,
						   int index);

/* Writes the steps with the interface's name in them. */
void interface_owner_steps(const struct interface_owner *owner, const char *interface, char *buffer,
			   size_t size);
