/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words of a command line for another host's login shell, to which ssh passes one line of text.
 *
 * Which shell that is nobody knows: sh, bash, zsh, csh and fish all read these words as they are.
 */
#pragma once

#include <stdio.h>

/* Prints a word, and a blank before it unless it is the line's first. */
void remote_word_print(FILE *line, const char *word);
