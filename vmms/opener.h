/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening what a definition names, by a process that is the VM's owner (vmms/errand.h): it has the
 * owner's rights and no others, and a file system that does not answer holds up nobody else.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "vmms/errand.h"
#include "vmms/resources.h"

struct opener;

/*
 * Called once, never before opener_new() has returned; the opener is gone then. failure: NULL: the
 * resources are the callee's, who sets their count to 0 if it takes them.
 */
typedef void (*opener_done_fn)(void *data, struct resources *resources,
			       const struct failure *failure);

/* timeout: seconds; 0: for ever. The wish is borrowed while this runs. */
int opener_new(struct errands *errands, unsigned timeout, const struct resources_wish *wish,
	       opener_done_fn done, void *data, struct opener **ret_opener,
	       struct failure *failure) MUST_CHECK;

/* It ends soon, with a failure. */
void opener_cancel(struct opener *opener);

/* Nobody is told. */
void opener_free(struct opener *opener);
