/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user's editor on a temporary file.
 */
#pragma once

#include "common/base/cc.h"

struct editor {
	char *path;          /* of the file; private to the user */
	const char *command; /* $VISUAL, $EDITOR, or Debian's "editor"; for a shell */
};

/* Writes the text to a new file, whose name begins with `name`. Return: 0, -errno. */
int editor_begin(struct editor *ret_editor, const char *name, const char *text) MUST_CHECK;

/*
 * Runs the editor, and waits. *ret_text: what the file holds then, without the newline that ends
 * it; freed by the caller. Return: 0; -ECANCELED: it failed; -errno.
 */
int editor_run(struct editor *editor, char **ret_text) MUST_CHECK;

/* Deletes the file. */
void editor_remove(struct editor *editor);

/* Leaves the file where it is. */
void editor_deinit(struct editor *editor);
