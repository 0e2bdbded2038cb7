/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the client wants run: common/wire/exec.h, up to EXEC_RUN. */
#pragma once

#include "common/wire/exec.h"

struct request {
	bool opened, complete;
	bool terminal;
	struct exec_size size;
	char term[64];                       /* "": none was named */
	char *words[EXEC_ARGUMENTS_MAX + 1]; /* in `text`, closed by NULL */
	size_t count, text_size;
	char text[EXEC_WORDS_MAX];
	const char *failure; /* why it cannot be done; NULL: nothing is wrong */
};

/* Takes one frame; until `complete`. Return: whether it is in its place and makes sense. */
bool request_take(struct request *request, const struct exec_frame *frame) MUST_CHECK;
