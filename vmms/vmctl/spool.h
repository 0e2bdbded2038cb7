/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files without a name, for what comes or goes by a pipe where vmms takes a file alone.
 *
 * They are in $TMPDIR, or /var/tmp, and nobody else can open them.
 */
#pragma once

/* Return: a descriptor, closed by the caller; -errno. */
int spool_new(void);

/* To the end of what is read. Return: 0; -errno. */
int spool_copy(int from, int to);

/* A new one with all that standard input has, to be read from its beginning. Return: as above. */
int spool_input(void);
