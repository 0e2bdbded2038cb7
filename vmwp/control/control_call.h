/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the control socket's methods share: a request, while it is handled. */
#pragma once

#include "common/control_contract.h"
#include "vmwp/control/control_methods.h"

struct call {
	struct control_server *server;
	struct worker *worker;
	struct control_message *request; /* as the contract has it, with its descriptors */
	const struct control_method *method;
	struct reply *reply;
};

/* A function of the worker's has failed. */
void reply_failure(struct reply *reply, int error, const struct failure *failure);
