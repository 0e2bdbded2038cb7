/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fake worker's backups: a process that serves the images of its disks, which nobody writes, as the
 * real one serves views of them.
 */
#pragma once

#include "tests/fake/fake_worker.h"

/* Each returns NULL, or the code of an error. */
const char *method_begin_backup(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments);
const char *method_serve_backup(struct fake *fake, struct control_message *message,
				const struct control_arguments *arguments);
const char *method_end_backup(struct fake *fake, struct control_message *message,
			      const struct control_arguments *arguments);
