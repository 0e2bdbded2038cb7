/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The screen of the fake worker (fake_worker_screen.c). */
#pragma once

#include "tests/fake/fake_worker.h"

struct control_message;

/* Does what the request asks for. Return: NULL, or the code of an error. */
const char *method_show_screen(struct fake *fake, struct control_message *message,
			       const struct control_arguments *arguments);
