/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parser says of definitions: one on each line of standard input, and of each "ok", or key
 * and reason, on a line of standard output.
 */
#include "common/definition/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	ssize_t length;

	while ((length = getline(&line, &size, stdin)) > 0) {
		CLEANUP(definition_freep) struct definition *definition = NULL;
		struct json_error error;
		int r;

		r = definition_parse(line, (size_t)length, &definition, &error);
		if (r == -EINVAL)
			printf("%s: %s\n", error.key, error.message);
		else
			puts(r == 0 ? "ok" : "out of memory");
	}
	return 0;
}
