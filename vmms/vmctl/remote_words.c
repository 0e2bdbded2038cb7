/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words of a command line for another host's login shell.
 *
 * Between quotes nothing but the quote ends the text, and in fish the backslash: those two stand
 * outside, each behind a backslash.
 */
#include "vmms/vmctl/remote_words.h"

#include <string.h>

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@+:,./-="

static void words_print_quoted(FILE *line, const char *word)
{
	while (*word != '\0') {
		size_t length = strcspn(word, "'\\");

		if (length > 0)
			fprintf(line, "'%.*s'", (int)length, word);
		else
			fprintf(line, "\\%c", word[length++]);
		word += length;
	}
}

void remote_word_print(FILE *line, const char *word)
{
	if (ftell(line) > 0)
		putc(' ', line);
	/* zsh looks for a program that is named behind =. */
	if (word[0] != '=' && word[0] != '\0' && word[strspn(word, PLAIN)] == '\0')
		fputs(word, line);
	else if (word[0] == '\0')
		fputs("''", line);
	else
		words_print_quoted(line, word);
}
