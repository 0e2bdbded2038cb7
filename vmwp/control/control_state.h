/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods "save", "hand_over", "restore", "send" and "receive" of the control socket, and what
 * else can be asked of a VM meanwhile.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/control_contract.h"
#include "vmwp/control/control_call.h"
#include "vmwp/control/control_methods.h"

#include <stdbool.h>

struct control_state;

/* All answer later, unless they cannot begin. */
void control_state_save(struct call *call, const struct control_arguments *arguments);
void control_state_hand_over(struct call *call, const struct control_arguments *arguments);
void control_state_restore(struct call *call, const struct control_arguments *arguments);
void control_state_send(struct call *call, const struct control_arguments *arguments);
void control_state_receive(struct call *call, const struct control_arguments *arguments);

/* What is under way ends soon. One that has been saved stays so. */
void control_state_cancel(struct worker *worker);

/* Whether the VM was saved or restored, and has not run since. */
bool control_state_is_saved(const struct worker *worker);

/*
 * It is to run again, whatever has become of it: the disks of a VM with an unknown outcome have no
 * locks any more, and are another's if they cannot be had. Return: 0; -errno and *failure.
 */
int control_state_prepare_resume(struct worker *worker, struct failure *failure) MUST_CHECK;

/* It runs again. */
void control_state_resumed(struct worker *worker);

/* Whether that can be asked for now; if not, the reply says why. */
bool control_state_allows(const struct worker *worker, enum control_method_id method,
			  struct reply *reply);

/* After the loop has been freed. NULL is allowed. */
void control_state_free(struct control_state *state);
