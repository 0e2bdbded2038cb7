/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a vmctl that another host's vmctl runs here, when that one has gone.
 *
 * Without a terminal, sshd then only closes the standard streams. A vmctl that waits for a guest or a
 * job would notice that late, or never.
 */
#pragma once

#define HANGUP_VARIABLE "VMCTL_ENDS_WITH_OUTPUT"

/*
 * If the environment has the variable: from now on the process interrupts itself, as ^C does, once
 * nobody can read its standard output any more.
 */
void hangup_watch(void);
