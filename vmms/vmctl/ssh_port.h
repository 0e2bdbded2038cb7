/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port of this host for a guest's ssh.
 */
#pragma once

#include "vmms/vmctl/command.h"

/*
 * The lowest from 2222 on that nobody listens on now, and that no VM which the caller sees has
 * forwarded, be it off. Who takes it later is first; the VM then has no network until that ends.
 */
enum status ssh_port_choose(struct invocation *invocation, unsigned *ret_port);
