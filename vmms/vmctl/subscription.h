/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Being told of what happens: vmms sends signals to connections that have asked for them.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/vmctl/command.h"

/*
 * From now on this connection gets the signals that its user may have, also of a vmms that comes
 * in place of this one. Nothing is waited for: whoever has no right to signals gets none. Return: 0, or
 * more; -errno.
 */
int subscription_begin(struct invocation *invocation) MUST_CHECK;
