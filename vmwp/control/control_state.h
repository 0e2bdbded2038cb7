/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The methods "save", "cancel_save", "hand_over" and "restore" of the control socket, and what else can be asked
 * of a VM meanwhile.
 *
 * Thread: the loop's.
 */
#pragma once

#include "common/control_contract.h"
#include "vmwp/control/control_methods.h"

#include <stdbool.h>

struct control_state;

/* All answer later, unless they cannot begin. */
void control_state_save(struct control_server *server, struct worker *worker,
			struct control_message *request, struct reply *reply);
void control_state_restore(struct control_server *server, struct worker *worker,
			   struct control_message *request, struct reply *reply);

void control_state_hand_over(struct control_server *server, struct worker *worker,
			     struct control_message *request, struct reply *reply);

/* What is under way ends soon. One that has been saved stays so. */
void control_state_cancel(struct worker *worker);

/* Whether the VM was saved or restored, and has not run since. */
bool control_state_is_saved(const struct worker *worker);

/* It runs again. */
void control_state_resumed(struct worker *worker);

/* Whether that can be asked for now; if not, the reply says why. */
bool control_state_allows(const struct worker *worker, enum control_method_id method,
			  struct reply *reply);

/* After the loop has been freed. NULL is allowed. */
void control_state_free(struct control_state *state);
