/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pkttyagent(1), polkit's agent that asks for a password on the terminal.
 *
 * It does so for calls of this process alone, and leaves that to another agent, such as the
 * desktop's, if there is one.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* There is somebody to be asked: a terminal on standard input. Root is not asked. */
bool agent_is_of_use(void);

/*
 * Starts it, and waits until polkit knows it. *agent: 0, or one that runs. Return: true if it has
 * been started now; false if it runs already, is not installed or cannot be had.
 */
bool agent_start(pid_t *agent);

/* Ends it, if it runs. */
void agent_end(pid_t *agent);
