/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scripts by which shells complete vmctl's command line, printed from the table of commands.
 *
 * What the table says is the project's own text; all of it is quoted all the same.
 */
#pragma once

#include "vmms/vmctl/command.h"

void completion_print_bash(void);
void completion_print_fish(void);
void completion_print_zsh(void);

/* ---- What the shells have in common ---- */

/* The first word of a command of two; 0 bytes: it has one. */
size_t completion_group_length(const struct command *command);

/* It is the first of its group. */
bool completion_begins_group(const struct command *command);

/* It is of the group that the other one begins. */
bool completion_is_in_group(const struct command *command, const struct command *first);

/* What the choices of VALUE_CHOICE are: words with | between them. length: their bytes. */
const char *completion_option_choices(const struct option_row *row, size_t *ret_length);
const char *completion_argument_choices(const struct command *command, size_t *ret_length);

/* Words with | between them, each followed by a blank. */
void completion_print_choices(const char *choices, size_t length);

/* Text between the quotes ' of bash and zsh, and of fish; backslash: of characters that get one. */
void completion_print_quoted(const char *text, const char *backslash);
