/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Questions to polkit: may the caller of a method do that?
 *
 * The interface is org.freedesktop.PolicyKit1.Authority, on the same bus; the actions are those of
 * packaging/polkit/.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#define POLKIT_ACTION_READ    "org.vmms1.read"
#define POLKIT_ACTION_CONSOLE "org.vmms1.console"
#define POLKIT_ACTION_SCREEN  "org.vmms1.screen"
#define POLKIT_ACTION_KEYS    "org.vmms1.keys"
#define POLKIT_ACTION_MANAGE  "org.vmms1.manage"

enum polkit_answer {
	POLKIT_NO,
	POLKIT_YES,
	POLKIT_CHALLENGE, /* if somebody authenticated, who cannot be asked */
	POLKIT_ABSENT,    /* there is no polkit, or none that answers */
	POLKIT_LATE,      /* a person was asked, who did not answer in time */
};

typedef void (*polkit_answer_fn)(void *data, enum polkit_answer answer);

struct polkit_question {
	const char *sender; /* unique name of the caller */
	const char *action;
	const char *vm;   /* for rules of the administrator's; NULL: no VM */
	bool interactive; /* the user may be asked for a password, which takes its time */
	unsigned timeout; /* seconds that it may take */
	uint64_t id;      /* is filled */
	polkit_answer_fn answered;
	void *data;
};

/*
 * Asks. answered: called once, never before this returns, unless the slot is unreferenced before.
 * question: borrowed until then, its strings only until this returns.
 */
int polkit_ask(sd_bus *bus, struct polkit_question *question, sd_bus_slot **ret_slot) MUST_CHECK;

/* Nobody waits for an answer any more: polkit need not ask a person, either. */
void polkit_cancel(sd_bus *bus, const struct polkit_question *question);
